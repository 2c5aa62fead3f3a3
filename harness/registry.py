"""Names to things: tasks, adapters and metrics, found lazily.

Three ways in, one table each: the built-in `module:attr` strings below, entry points of installed packages
(groups `speech_eval.tasks`, `speech_eval.adapters`, `speech_eval.metrics`), and decorators in a plug-in file
named on the command line. A name is loaded only when asked for, so listing names imports nothing heavy.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from speech_eval.errors import BadInput, UnknownName

T = TypeVar("T")
_PLUGIN = "speech_eval_plugin_"  # names of modules that are files of the user's


class Registry(Generic[T]):
    """One kind of thing by name. `group` is the entry-point group, `builtin` maps names to `module:attr`."""

    def __init__(self, kind: str, group: str, builtin: dict[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._lazy: dict[str, str] = dict(builtin)
        self._loaded: dict[str, T] = {}
        self._scanned = False

    def add(self, name: str, thing: T) -> None:
        """Register `thing`. A name that is taken by something else is an error, never a silent override."""
        if self._loaded.get(name) is thing:
            return
        if name in self._loaded:
            raise BadInput(f"The {self.kind} name '{name}' is already registered.", "Choose another name.")
        self._loaded[name] = thing

    def replace(self, name: str, thing: T) -> None:
        """Register `thing` in place of whatever has the name."""
        self._loaded[name] = thing

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""

        def decorate(thing: T) -> T:
            self.add(name, thing)
            return thing

        return decorate

    def get(self, name: str) -> T:
        """The thing registered under `name`; raises `UnknownName` with the nearest names."""
        if name in self._loaded:
            return self._loaded[name]
        self._scan()
        if name in self._lazy:
            thing = load_attr(self._lazy[name])
            self._loaded.setdefault(name, thing)
            return self._loaded[name]
        near = difflib.get_close_matches(name, self.names(), n=3)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(self.names())}."
        raise UnknownName(f"No {self.kind} is named '{name}'.", hint)

    def names(self) -> list[str]:
        self._scan()
        return sorted({*self._lazy, *self._loaded})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._lazy or name in self._loaded

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        for point in entry_points(group=self.group):
            self._lazy.setdefault(point.name, point.value)


def load_attr(target: str) -> Any:
    """Import `module:attr`."""
    module, _, attr = target.partition(":")
    return getattr(importlib.import_module(module), attr)


def load_file(path: str | Path) -> Any:
    """Execute a Python file once and return its module. The file is the user's own code, run with their rights."""
    path = Path(path).resolve()
    if not path.is_file():
        raise BadInput(f"{path}: no such Python file.", "Give the path of a file that exists.")
    name = f"{_PLUGIN}{path.stem}_{abs(hash(str(path))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path}: not a Python file.", "Give a file ending in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise BadInput(f"{path}: {type(error).__name__} while loading: {error}", "Run the file by itself.") from error
    return module


def plugin_file(thing: Any) -> str | None:
    """The absolute path of the user's file that defines a class or function; None for installed code."""
    name = str(getattr(thing, "__module__", ""))
    return sys.modules[name].__file__ if name.startswith(_PLUGIN) and name in sys.modules else None


adapters: Registry[Any] = Registry(
    "model",
    "speech_eval.adapters",
    {
        "oracle": "speech_eval.testing.fakes:Oracle",
        "noisy": "speech_eval.testing.fakes:Noisy",
        "failing": "speech_eval.testing.fakes:Failing",
        "ground-truth": "speech_eval.adapters.stored:GroundTruth",
        "whisper": "speech_eval.adapters.asr.whisper:Whisper",
        "whisper-tiny.en": "speech_eval.adapters.asr.whisper:WhisperTinyEn",
        "whisper-base": "speech_eval.adapters.asr.whisper:WhisperBase",
        "funasr": "speech_eval.adapters.asr.funasr:FunASR",
        "faster-whisper": "speech_eval.adapters.asr.faster_whisper:FasterWhisper",
        "faster-whisper-tiny.en": "speech_eval.adapters.asr.faster_whisper:FasterWhisperTinyEn",
        "faster-whisper-base": "speech_eval.adapters.asr.faster_whisper:FasterWhisperBase",
        "ctc": "speech_eval.adapters.asr.ctc:CTC",
        "vits": "speech_eval.adapters.tts.vits:Vits",
        "hibari": "speech_eval.adapters.tts.hibari:Hibari",
        "kokoro": "speech_eval.adapters.tts.kokoro:Kokoro",
        "espeak-ng": "speech_eval.adapters.tts.espeak:EspeakNG",
        "causal-lm": "speech_eval.adapters.chat.causal_lm:CausalLM",
        "smollm2": "speech_eval.adapters.chat.causal_lm:SmolLM2",
        "openai": "speech_eval.adapters.remote.openai:OpenAIEndpoint",
        "cascade": "speech_eval.adapters.chat.cascade:Cascade",
        "opus": "speech_eval.adapters.codec.opus:Opus",
        "encodec": "speech_eval.adapters.codec.transformers_codecs:Encodec",
        "dac": "speech_eval.adapters.codec.transformers_codecs:Dac",
        "mimi": "speech_eval.adapters.codec.transformers_codecs:Mimi",
        "xcodec2": "speech_eval.adapters.codec.semantic_codecs:XCodec2",
        "neucodec": "speech_eval.adapters.codec.semantic_codecs:NeuCodec",
        "snac": "speech_eval.adapters.codec.snac:Snac",
        "reference-codec": "speech_eval.reference_models.codec.adapter:ReferenceCodec",
        "dac-16k-2k": "speech_eval.reference_models.codec.adapter:Dac16k2k",
        "reference-tts": "speech_eval.reference_models.tts.adapter:ReferenceTTS",
        "llasa-3m-en": "speech_eval.reference_models.tts.adapter:Llasa3mEn",
        "llasa": "speech_eval.reference_models.tts.adapter:Llasa",
        "orpheus": "speech_eval.reference_models.tts.adapter:Orpheus",
        "neutts": "speech_eval.reference_models.tts.adapter:NeuTTS",
        "outetts": "speech_eval.reference_models.tts.adapter:OuteTTS",
        "vad-timeout": "speech_eval.adapters.duplex.turn_agents:VadTimeout",
        "turn-oracle": "speech_eval.adapters.duplex.turn_agents:TurnOracle",
    },
)

tasks: Registry[Any] = Registry(
    "task",
    "speech_eval.tasks",
    {
        "asr": "speech_eval.tasks.asr:asr",
        "open-asr": "speech_eval.tasks.asr:open_asr",
        "open-asr-multilingual": "speech_eval.tasks.asr:open_asr_multilingual",
        "seed-tts": "speech_eval.tasks.seed_tts:seed_tts",
        "seed-tts-en": "speech_eval.tasks.seed_tts:seed_tts_en",
        "seed-tts-zh": "speech_eval.tasks.seed_tts:seed_tts_zh",
        "seed-tts-hard": "speech_eval.tasks.seed_tts:seed_tts_hard",
        "latency": "speech_eval.tasks.latency:latency",
        "latency-load": "speech_eval.tasks.latency:latency_load",
        "turn-taking": "speech_eval.tasks.turn_taking:turn_taking",
        "turn-taking-policy": "speech_eval.tasks.turn_taking:turn_taking_policy",
        "codec-reconstruction": "speech_eval.tasks.codec_reconstruction:codec_reconstruction",
        "codec-modelability": "speech_eval.tasks.codec_modelability:codec_modelability",
        "codec-modelability-delay": "speech_eval.tasks.codec_modelability:codec_modelability_delay",
        "codec-modelability-h100": "speech_eval.tasks.codec_modelability:codec_modelability_h100",
        "codec-depth": "speech_eval.tasks.codec_reconstruction:codec_depth",
        "token-bill": "speech_eval.tasks.token_bill:token_bill",
        "voicebench-advbench": "speech_eval.tasks.voicebench:advbench",
        "voicebench-alpacaeval": "speech_eval.tasks.voicebench:alpacaeval",
        "voicebench-alpacaeval-full": "speech_eval.tasks.voicebench:alpacaeval_full",
        "voicebench-bbh": "speech_eval.tasks.voicebench:bbh",
        "voicebench-commoneval": "speech_eval.tasks.voicebench:commoneval",
        "voicebench-ifeval": "speech_eval.tasks.voicebench:ifeval",
        "voicebench-mmsu": "speech_eval.tasks.voicebench:mmsu",
        "voicebench-openbookqa": "speech_eval.tasks.voicebench:openbookqa",
        "voicebench-sd-qa": "speech_eval.tasks.voicebench:sd_qa",
        "voicebench-wildvoice": "speech_eval.tasks.voicebench:wildvoice",
    },
)

metrics: Registry[Any] = Registry(
    "metric",
    "speech_eval.metrics",
    {
        "wer[whisper-normalizer]": "speech_eval.metrics.wer:WhisperWER",
        "cer[whisper-normalizer]": "speech_eval.metrics.wer:WhisperCER",
        "wer[seed-tts-eval@2024-06]": "speech_eval.metrics.wer:SeedTTSWER",
        "sim[cam++@zh-en-common]": "speech_eval.metrics.similarity:CAMPlusPlusSimilarity",
        "sim[ge2e@resemblyzer]": "speech_eval.metrics.similarity:GE2ESimilarity",
        "sim[wavlm-large-ecapa@unispeech]": "speech_eval.metrics.similarity:WavLMSimilarity",
        "mos[dnsmos-p835]": "speech_eval.metrics.mos:DNSMOS",
        "mos[distillmos@7]": "speech_eval.metrics.mos:DistillMOS",
        "mos[utmos22-strong]": "speech_eval.metrics.mos:UTMOS",
        "mos[utmosv2@fusion-stage3]": "speech_eval.metrics.mos:UTMOSv2",
        "ttfa[first-audible@1]": "speech_eval.metrics.latency:TimeToFirstAudio",
        "rtf[answer@1]": "speech_eval.metrics.latency:RealTimeFactor",
        "response[first-text@1]": "speech_eval.metrics.latency:Response",
        "playback[buffer-0ms@1]": "speech_eval.metrics.latency:Playback0",
        "playback[buffer-100ms@1]": "speech_eval.metrics.latency:Playback",
        "playback[buffer-500ms@1]": "speech_eval.metrics.latency:Playback500",
        "codec-time[stream@1]": "speech_eval.metrics.latency:CodecTime",
        "throughput[closed-loop@1]": "speech_eval.metrics.latency:Throughput",
        "modelability[flattened@smoke-1]": "speech_eval.metrics.codec.modelability:FlattenedSmoke",
        "modelability[delay@smoke-1]": "speech_eval.metrics.codec.modelability:DelaySmoke",
        "modelability[flattened@h100-1]": "speech_eval.metrics.codec.modelability:FlattenedH100",
        "bitrate[measured@1]": "speech_eval.metrics.codec.bitrate:Bitrate",
        "codebook[corpus@1]": "speech_eval.metrics.codec.usage:CodebookUse",
        "token-bill[layouts@1]": "speech_eval.metrics.codec.tokens:TokenBill",
        "text-tokens[smollm2@1]": "speech_eval.metrics.codec.tokens:TextTokens",
        "stoi[pystoi]": "speech_eval.metrics.codec.stoi:STOI",
        "estoi[pystoi]": "speech_eval.metrics.codec.stoi:ESTOI",
        "pesq-wb[p862.2]": "speech_eval.metrics.codec.pesq:WidebandPESQ",
        "pesq-nb[p862]": "speech_eval.metrics.codec.pesq:NarrowbandPESQ",
        "visqol[speech@3.3]": "speech_eval.metrics.codec.visqol:ViSQOL",
        "si-sdr[torchmetrics-definition]": "speech_eval.metrics.codec.sisdr:SISDR",
        "mel-distance[multi-resolution]": "speech_eval.metrics.codec.spectral:MelDistance",
        "stft-distance[multi-resolution]": "speech_eval.metrics.codec.spectral:STFTDistance",
        "mcd[mel-13@1]": "speech_eval.metrics.codec.mcd:MelCepstralDistortion",
        "f0[yin@1]": "speech_eval.metrics.codec.pitch:PitchAccuracy",
        "sim-reference[cam++@zh-en-common]": "speech_eval.metrics.codec.speaker:CAMPlusPlusReferenceSimilarity",
        "wer-original[whisper-normalizer]": "speech_eval.metrics.codec.wer_delta:WERDelta",
        "wer[open-asr@A]": "speech_eval.metrics.open_asr:OpenASRA",
        "wer[open-asr@B]": "speech_eval.metrics.open_asr:OpenASRB",
        "wer[open-asr@C]": "speech_eval.metrics.open_asr:OpenASRC",
        "wer[open-asr@D]": "speech_eval.metrics.open_asr:OpenASRD",
        "wer[open-asr@E]": "speech_eval.metrics.open_asr:OpenASRE",
        "wer[open-asr-multilingual@E]": "speech_eval.metrics.open_asr_multilingual:OpenASRMultilingual",
        "rtfx[open-asr]": "speech_eval.metrics.open_asr:OpenASRThroughput",
        "turn-taking[fdb@1.0]": "speech_eval.metrics.dialogue.turn_taking:SmoothTurnTaking",
        "pause-handling[fdb@1.0]": "speech_eval.metrics.dialogue.turn_taking:PauseHandling",
        "interruption[fdb@1.0]": "speech_eval.metrics.dialogue.turn_taking:Interruption",
        "backchannel[fdb@1.0]": "speech_eval.metrics.dialogue.backchannel:Backchannel",
        "turn-taking[vad-segments@1]": "speech_eval.metrics.dialogue.turn_segments:SegmentTurnTaking",
        "turn-policy[timeout-rule@1]": "speech_eval.metrics.dialogue.turn_policy:TurnPolicy",
        "choice[voicebench]": "speech_eval.metrics.voicebench.choice:Choice",
        "bbh[voicebench]": "speech_eval.metrics.voicebench.bbh:BBH",
        "refusal[voicebench]": "speech_eval.metrics.voicebench.refusal:Refusal",
        "ifeval[voicebench]": "speech_eval.metrics.voicebench.ifeval:IFEval",
        "judge[voicebench]": "speech_eval.metrics.voicebench.judge:Judge",
        "qa[voicebench]": "speech_eval.metrics.voicebench.qa:QA",
        "pedant[voicebench]": "speech_eval.metrics.voicebench.qa:Pedant",
    },
)


# Architectures of transformers (`model_type` in a checkpoint's config.json) and the adapter that runs them.
model_types: dict[str, str] = {
    "whisper": "whisper",
    "wav2vec2": "ctc",
    "wav2vec2-bert": "ctc",
    "hubert": "ctc",
    "wavlm": "ctc",
    "vits": "vits",
    "encodec": "encodec",
    "dac": "dac",
    "mimi": "mimi",
    "xcodec2": "xcodec2",
    "neucodec": "neucodec",
    "llama": "causal-lm",
    "qwen2": "causal-lm",
    "qwen3": "causal-lm",
    "gemma3_text": "causal-lm",
}


def register_task(function: Callable[[], Any]) -> Callable[[], Any]:
    """Decorator for a function that returns a `Task`; it registers under the task's own name."""
    tasks.add(function().name, function)
    return function


def register_adapter(name: str) -> Callable[[Any], Any]:
    """Decorator for an adapter class: `--model NAME` builds it, options after the name arrive as keywords."""
    return adapters.register(name)


def register_metric(cls: Any) -> Any:
    """Decorator for a metric class; it registers under its `id`."""
    metrics.add(cls.id, cls)
    return cls
