"""The model catalog: one entry per model family or preset, and the schemes of model specs. Imports no adapter.

A new family is one module with an adapter class and one `Entry` here. Other packages add to the catalog through entry
points: `speech_eval.models` names a list of entries (`module:ENTRIES`), `speech_eval.adapters` one adapter class
(`module:Class`), `speech_eval.schemes` a scheme. A file given with `--plugin` uses `register_adapter`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from speech_eval.adapters.base import Adapter, interfaces_of
from speech_eval.adapters.entry import AGENT, ANY, CHAT, CODEC, RECOGNIZER, SYNTHESIZER, Entry
from speech_eval.errors import BadInput
from speech_eval.registry import Registry, load_attr

A = TypeVar("A", bound=type[Adapter])

_ASR, _TTS, _CHAT = "speech_eval.adapters.asr", "speech_eval.adapters.tts", "speech_eval.adapters.chat"
_CODEC, _DUPLEX, _REMOTE = "speech_eval.adapters.codec", "speech_eval.adapters.duplex", "speech_eval.adapters.remote"
_STORED, _FAKES = "speech_eval.adapters.stored", "speech_eval.testing.fakes"
_BY_PATH = "hf:ORG/REPO or DIR"

ENTRIES = (
    # Recognizers
    Entry(
        "whisper",
        f"{_ASR}.whisper:Whisper",
        RECOGNIZER,
        "Whisper on transformers",
        "OpenAI",
        extra="asr",
        usage=_BY_PATH,
        model_types=("whisper",),
    ),
    Entry(
        "whisper-tiny.en",
        f"{_ASR}.whisper:Whisper",
        RECOGNIZER,
        "Whisper tiny.en on transformers, English, 39 M parameters",
        "OpenAI, bundled",
        extra="asr",
        arguments={"path": "asset:whisper-tiny.en"},
    ),
    Entry(
        "whisper-base",
        f"{_ASR}.whisper:Whisper",
        RECOGNIZER,
        "Whisper base on transformers, multilingual, 74 M parameters",
        "OpenAI, bundled",
        extra="asr",
        arguments={"path": "asset:whisper-base"},
    ),
    Entry(
        "faster-whisper",
        f"{_ASR}.faster_whisper:FasterWhisper",
        RECOGNIZER,
        "Whisper on CTranslate2, the quickest on a CPU",
        "OpenAI",
        extra="asr",
        usage="DIR",
        marker="model.bin",
    ),
    Entry(
        "faster-whisper-tiny.en",
        f"{_ASR}.faster_whisper:FasterWhisper",
        RECOGNIZER,
        "Whisper tiny.en on CTranslate2, English",
        "OpenAI, bundled",
        extra="asr",
        arguments={"path": "asset:whisper-tiny.en"},
    ),
    Entry(
        "faster-whisper-base",
        f"{_ASR}.faster_whisper:FasterWhisper",
        RECOGNIZER,
        "Whisper base on CTranslate2, multilingual",
        "OpenAI, bundled",
        extra="asr",
        arguments={"path": "asset:whisper-base"},
    ),
    Entry(
        "ctc",
        f"{_ASR}.ctc:CTC",
        RECOGNIZER,
        "Recognizers with a CTC head: wav2vec 2.0, HuBERT, WavLM, W2v-BERT, Parakeet and all others",
        "transformers",
        extra="asr",
        usage=_BY_PATH,
        auto_mapping="MODEL_FOR_CTC_MAPPING_NAMES",
    ),
    Entry(
        "seq2seq",
        f"{_ASR}.seq2seq:Seq2Seq",
        RECOGNIZER,
        "Recognizers with a decoder of their own: Moonshine, Kyutai STT, Canary, Cohere ASR",
        "transformers",
        extra="asr",
        usage=_BY_PATH,
        model_types=("moonshine", "moonshine_streaming", "kyutai_speech_to_text", "canary", "cohere_asr"),
    ),
    Entry(
        "voxtral-realtime",
        f"{_ASR}.voxtral_realtime:VoxtralRealtime",
        RECOGNIZER,
        "Voxtral Realtime on transformers, words while the speech goes on",
        "Mistral AI",
        extra="audio-chat",
        usage=_BY_PATH,
        model_types=("voxtral_realtime",),
    ),
    Entry(
        "funasr",
        f"{_ASR}.funasr:FunASR",
        RECOGNIZER,
        "Recognizers of FunASR, such as Paraformer and SenseVoice",
        "FunASR, Alibaba",
        extra="funasr",
        usage="{name}:MODEL",
        scheme=f"{_ASR}.funasr:scheme",
    ),
    # Synthesizers
    Entry(
        "hibari",
        f"{_TTS}.hibari:Hibari",
        SYNTHESIZER,
        "English, 24 kHz, 8 MB, many times faster than real time",
        "hibari-tts",
        extra="tts",
    ),
    Entry(
        "kokoro",
        f"{_TTS}.kokoro:Kokoro",
        SYNTHESIZER,
        "Kokoro-82M v1.0 in int8: English, 24 kHz, voices that can be blended",
        "hexgrad, bundled",
        extra="tts",
    ),
    Entry(
        "espeak-ng",
        f"{_TTS}.espeak:EspeakNG",
        SYNTHESIZER,
        "Formant synthesis, about a hundred languages",
        "eSpeak NG",
        extra="tts",
    ),
    Entry(
        "vits",
        f"{_TTS}.vits:Vits",
        SYNTHESIZER,
        "VITS and MMS-TTS on transformers",
        "transformers",
        extra="tts",
        usage=_BY_PATH,
        model_types=("vits",),
    ),
    Entry(
        "csm",
        f"{_TTS}.csm:Csm",
        SYNTHESIZER,
        "CSM on transformers, 24 kHz, in the voice of a prompt",
        "Sesame",
        extra="tts",
        usage=_BY_PATH,
        model_types=("csm",),
    ),
    Entry(
        "dia",
        f"{_TTS}.dia:Dia",
        SYNTHESIZER,
        "Dia on transformers, 44.1 kHz, dialogue, in the voice of a prompt",
        "Nari Labs",
        extra="tts",
        usage=_BY_PATH,
        model_types=("dia",),
    ),
    Entry(
        "higgs",
        f"{_TTS}.higgs:Higgs",
        SYNTHESIZER,
        "Higgs Audio v2 on transformers, 24 kHz, in the voice of a prompt",
        "Boson AI",
        extra="higgs",
        usage=_BY_PATH,
        model_types=("higgs_audio_v2",),
    ),
    Entry(
        "ground-truth",
        f"{_STORED}:GroundTruth",
        SYNTHESIZER,
        "The human recordings of the dataset, for the row that calibrates a board",
        "the dataset",
    ),
    # Chat
    Entry(
        "causal-lm",
        f"{_CHAT}.causal_lm:CausalLM",
        CHAT,
        "Text language models on transformers, the middle of a cascade",
        "transformers",
        extra="llm",
        usage=_BY_PATH,
        auto_mapping="MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    ),
    Entry(
        "smollm2",
        f"{_CHAT}.causal_lm:CausalLM",
        CHAT,
        "SmolLM2-135M-Instruct, text only",
        "Hugging Face, bundled",
        extra="llm",
        arguments={"path": "asset:smollm2"},
    ),
    Entry(
        "audio-chat",
        f"{_CHAT}.audio_chat:AudioChat",
        (*RECOGNIZER, *CHAT),
        "Audio LLMs on transformers: Qwen2-Audio, Audio Flamingo 3, Granite Speech, Voxtral and others",
        "transformers",
        extra="audio-chat",
        usage=_BY_PATH,
        model_types=(
            "qwen2_audio",
            "audioflamingo3",
            "musicflamingo",
            "granite_speech",
            "voxtral",
            "vibevoice_asr",
            "qwen3_asr",
            "glmasr",
            "fun_asr_nano",
        ),
    ),
    Entry(
        "qwen2.5-omni",
        f"{_CHAT}.omni:Omni",
        (*RECOGNIZER, *CHAT),
        "Qwen2.5-Omni on transformers, answers in text and 24 kHz speech",
        "Alibaba",
        extra="audio-chat",
        usage=_BY_PATH,
        model_types=("qwen2_5_omni",),
    ),
    Entry(
        "cascade",
        f"{_CHAT}.cascade:Cascade",
        CHAT,
        "A recognizer, a text model and a synthesizer in a row",
        "this project",
        usage="{name}:ASR+LLM+TTS or {name}:ASR+LLM",
        scheme=f"{_CHAT}.cascade:scheme",
    ),
    Entry(
        "openai",
        f"{_REMOTE}.openai:OpenAIEndpoint",
        (*RECOGNIZER, *SYNTHESIZER, *CHAT),
        "Any OpenAI-compatible server: transcription, speech, chat with audio",
        "the server",
        extra="api",
        usage="{name}:URL#MODEL",
        scheme=f"{_REMOTE}.openai:scheme",
    ),
    Entry(
        "realtime",
        f"{_REMOTE}.realtime:RealtimeEndpoint",
        (*RECOGNIZER, *AGENT),
        "Any server of /v1/realtime: conversation and streaming transcription over a websocket",
        "the server",
        extra="api",
        usage="{name}:URL#MODEL",
        scheme=f"{_REMOTE}.realtime:scheme",
    ),
    Entry(
        "worker",
        f"{_REMOTE}.worker.adapters:Worker",
        ANY,
        "A model in an environment of its own, such as a research repository",
        "the worker",
        usage="{name}:DIR",
        scheme=f"{_REMOTE}.worker.folder:scheme",
    ),
    # Codecs
    Entry(
        "opus",
        f"{_CODEC}.opus:Opus",
        CODEC,
        "Opus, the classical codec that neural ones are measured against",
        "libopus through PyAV",
        extra="codec",
    ),
    Entry(
        "encodec",
        f"{_CODEC}.transformers_codecs:Encodec",
        CODEC,
        "EnCodec on transformers",
        "Meta",
        extra="codec",
        usage=_BY_PATH,
        model_types=("encodec",),
    ),
    Entry(
        "dac",
        f"{_CODEC}.transformers_codecs:Dac",
        CODEC,
        "Descript Audio Codec on transformers",
        "Descript",
        extra="codec",
        usage=_BY_PATH,
        model_types=("dac",),
    ),
    Entry(
        "mimi",
        f"{_CODEC}.transformers_codecs:Mimi",
        CODEC,
        "Mimi on transformers, the codec of Moshi",
        "Kyutai",
        extra="codec",
        usage=_BY_PATH,
        model_types=("mimi",),
    ),
    Entry(
        "xcodec2",
        f"{_CODEC}.xcodec2:XCodec2",
        CODEC,
        "XCodec2 on transformers, 16 kHz, one stream at 50 Hz",
        "HKUST",
        extra="codec",
        usage=_BY_PATH,
        model_types=("xcodec2",),
    ),
    Entry(
        "neucodec",
        f"{_CODEC}.neucodec:NeuCodec",
        CODEC,
        "NeuCodec on transformers, 16 kHz in, 24 kHz out",
        "Neuphonic",
        extra="codec",
        usage=_BY_PATH,
        model_types=("neucodec",),
    ),
    Entry(
        "higgs-tokenizer",
        f"{_CODEC}.higgs:HiggsTokenizer",
        CODEC,
        "The audio tokenizer of Higgs Audio v2, 24 kHz, 8 codebooks at 25 Hz",
        "Boson AI",
        extra="higgs",
        usage=_BY_PATH,
        model_types=("higgs_audio_v2_tokenizer",),
    ),
    Entry(
        "snac",
        f"{_CODEC}.snac:Snac",
        CODEC,
        "SNAC, multi-scale codebooks",
        "the package snac",
        extra="snac",
        usage="{name},path=DIR or {name},path=ORG/REPO",
    ),
    # Duplex agents
    Entry(
        "vad-timeout",
        f"{_DUPLEX}.vad_timeout:VadTimeout",
        AGENT,
        "Takes the turn after `timeout` seconds without speech (Silero VAD)",
        "this project",
        extra="metrics",
    ),
    Entry(
        "moshi",
        f"{_DUPLEX}.moshi:Moshi",
        AGENT,
        "Moshi on transformers, driven frame by frame, 24 kHz",
        "Kyutai",
        extra="codec",
        usage=_BY_PATH,
        model_types=("moshi",),
    ),
    # Fakes
    Entry("oracle", f"{_FAKES}:Oracle", ANY, "Answers with the reference", "this project", fake=True),
    Entry("noisy", f"{_FAKES}:NoisyOracle", ANY, "The reference with errors at a set rate", "this project", fake=True),
    Entry("failing", f"{_FAKES}:FailingOracle", ANY, "Fails on a set share of the samples", "this project", fake=True),
    Entry(
        "turn-oracle",
        "speech_eval.testing.turn_oracle:TurnOracle",
        AGENT,
        "Takes every turn `delay` seconds after its annotated end",
        "this project",
        fake=True,
    ),
)


class _Models(Registry[Entry]):
    """Entries by name: the built-in ones, those of installed packages, and those of plug-ins."""

    def __init__(self) -> None:
        super().__init__("model", "speech_eval.adapters", {})
        self._loaded.update({entry.name: entry for entry in ENTRIES})

    def _discover(self) -> None:
        for point in entry_points(group="speech_eval.models"):
            try:
                found = load_attr(point.value)
            except (ImportError, AttributeError) as error:
                raise BadInput(
                    f"The entry point '{point.name}' of the installed package "
                    f"'{point.dist.name if point.dist else '?'}' cannot be loaded ({error}).",
                    "Reinstall or remove that package.",
                ) from error
            for entry in found:
                self._loaded.setdefault(entry.name, entry)
        for point in entry_points(group=self.group):
            source = f"the package {point.dist.name}" if point.dist else ""
            self._loaded.setdefault(point.name, Entry(point.name, point.value, source=source))


MODELS: Registry[Entry] = _Models()


class Scheme(Protocol):
    """How `NAME:REST` becomes a model. `options` are those after the commas, as keywords of the adapter."""

    def __call__(self, rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
        """The adapter class and all keywords of its constructor. Raises `BadInput` for a REST that it cannot read."""


Target = tuple[type[Adapter], dict[str, Any]]


class _Schemes(Registry[Scheme]):
    """Schemes by name: those of the catalog's entries, and `hf` and `outputs`, which choose the adapter themselves."""

    def _discover(self) -> None:
        self._lazy.update({name: scheme for name in MODELS if (scheme := MODELS.get(name).scheme)})
        super()._discover()


SCHEMES: Registry[Scheme] = _Schemes(
    "scheme",
    "speech_eval.schemes",
    {"hf": "speech_eval.adapters.checkpoints:hub_scheme", "outputs": f"{_STORED}:scheme"},
)


def register_adapter(name: str) -> Callable[[A], A]:
    """Decorator for an adapter class: `--model NAME` builds it, options after the name arrive as keywords."""

    def decorate(cls: A) -> A:
        summary = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
        entry = Entry(name, cls, tuple(interfaces_of(cls)), summary, source=f"the module {cls.__module__}")
        MODELS.add(name, entry, cls)
        return cls

    return decorate
