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

from harness.errors import BadInput, UnknownName

T = TypeVar("T")


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
    name = f"speech_eval_plugin_{path.stem}_{abs(hash(str(path))):x}"
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


adapters: Registry[Any] = Registry(
    "model",
    "speech_eval.adapters",
    {
        "oracle": "harness.adapters.doubles:Oracle",
        "noisy": "harness.adapters.doubles:Noisy",
        "failing": "harness.adapters.doubles:Failing",
        "ground-truth": "harness.adapters.stored:GroundTruth",
        "whisper": "harness.adapters.whisper:Whisper",
        "whisper-tiny.en": "harness.adapters.whisper:WhisperTinyEn",
        "whisper-base": "harness.adapters.whisper:WhisperBase",
        "funasr": "harness.adapters.funasr:FunASR",
        "faster-whisper": "harness.adapters.faster_whisper:FasterWhisper",
        "faster-whisper-tiny.en": "harness.adapters.faster_whisper:FasterWhisperTinyEn",
        "faster-whisper-base": "harness.adapters.faster_whisper:FasterWhisperBase",
        "ctc": "harness.adapters.ctc:CTC",
        "vits": "harness.adapters.vits:Vits",
        "hibari": "harness.adapters.hibari:Hibari",
        "kokoro": "harness.adapters.kokoro:Kokoro",
        "espeak-ng": "harness.adapters.espeak:EspeakNG",
        "causal-lm": "harness.adapters.causal_lm:CausalLM",
        "smollm2": "harness.adapters.causal_lm:SmolLM2",
        "openai": "harness.adapters.openai:OpenAIEndpoint",
        "cascade": "harness.adapters.cascade:Cascade",
        "opus": "harness.adapters.opus:Opus",
        "encodec": "harness.adapters.transformers_codecs:Encodec",
        "dac": "harness.adapters.transformers_codecs:Dac",
        "mimi": "harness.adapters.transformers_codecs:Mimi",
        "xcodec2": "harness.adapters.semantic_codecs:XCodec2",
        "neucodec": "harness.adapters.semantic_codecs:NeuCodec",
        "snac": "harness.adapters.snac:Snac",
        "reference-codec": "reference_models.codec.adapter:ReferenceCodec",
        "dac-16k-2k": "reference_models.codec.adapter:Dac16k2k",
        "reference-tts": "reference_models.tts.adapter:ReferenceTTS",
        "llasa-3m-en": "reference_models.tts.adapter:Llasa3mEn",
        "llasa": "reference_models.tts.adapter:Llasa",
        "orpheus": "reference_models.tts.adapter:Orpheus",
        "neutts": "reference_models.tts.adapter:NeuTTS",
        "outetts": "reference_models.tts.adapter:OuteTTS",
        "vad-timeout": "harness.adapters.turn_agents:VadTimeout",
        "turn-oracle": "harness.adapters.turn_agents:TurnOracle",
    },
)

tasks: Registry[Any] = Registry(
    "task",
    "speech_eval.tasks",
    {
        "asr": "tasks.asr:asr",
        "open-asr": "tasks.asr:open_asr",
        "open-asr-multilingual": "tasks.asr:open_asr_multilingual",
        "seed-tts": "tasks.seed_tts:seed_tts",
        "seed-tts-en": "tasks.seed_tts:seed_tts_en",
        "seed-tts-zh": "tasks.seed_tts:seed_tts_zh",
        "seed-tts-hard": "tasks.seed_tts:seed_tts_hard",
        "latency": "tasks.latency:latency",
        "latency-load": "tasks.latency:latency_load",
        "turn-taking": "tasks.turn_taking:turn_taking",
        "turn-taking-policy": "tasks.turn_taking:turn_taking_policy",
        "codec-reconstruction": "tasks.codec_reconstruction:codec_reconstruction",
        "codec-modelability": "tasks.codec_modelability:codec_modelability",
        "codec-modelability-delay": "tasks.codec_modelability:codec_modelability_delay",
        "codec-modelability-h100": "tasks.codec_modelability:codec_modelability_h100",
        "codec-depth": "tasks.codec_reconstruction:codec_depth",
        "token-bill": "tasks.token_bill:token_bill",
        "voicebench-advbench": "tasks.voicebench:advbench",
        "voicebench-alpacaeval": "tasks.voicebench:alpacaeval",
        "voicebench-alpacaeval-full": "tasks.voicebench:alpacaeval_full",
        "voicebench-bbh": "tasks.voicebench:bbh",
        "voicebench-commoneval": "tasks.voicebench:commoneval",
        "voicebench-ifeval": "tasks.voicebench:ifeval",
        "voicebench-mmsu": "tasks.voicebench:mmsu",
        "voicebench-openbookqa": "tasks.voicebench:openbookqa",
        "voicebench-sd-qa": "tasks.voicebench:sd_qa",
        "voicebench-wildvoice": "tasks.voicebench:wildvoice",
    },
)

metrics: Registry[Any] = Registry(
    "metric",
    "speech_eval.metrics",
    {
        "wer[whisper-normalizer]": "harness.metrics.wer:WhisperWER",
        "cer[whisper-normalizer]": "harness.metrics.wer:WhisperCER",
        "wer[seed-tts-eval@2024-06]": "harness.metrics.wer:SeedTTSWER",
        "sim[cam++@zh-en-common]": "harness.metrics.similarity:CAMPlusPlusSimilarity",
        "sim[ge2e@resemblyzer]": "harness.metrics.similarity:GE2ESimilarity",
        "sim[wavlm-large-ecapa@unispeech]": "harness.metrics.similarity:WavLMSimilarity",
        "mos[dnsmos-p835]": "harness.metrics.mos:DNSMOS",
        "mos[distillmos@7]": "harness.metrics.mos:DistillMOS",
        "mos[utmos22-strong]": "harness.metrics.mos:UTMOS",
        "mos[utmosv2@fusion-stage3]": "harness.metrics.mos:UTMOSv2",
        "ttfa[first-audible@1]": "harness.metrics.latency:TimeToFirstAudio",
        "rtf[answer@1]": "harness.metrics.latency:RealTimeFactor",
        "response[first-text@1]": "harness.metrics.latency:Response",
        "playback[buffer-0ms@1]": "harness.metrics.latency:Playback0",
        "playback[buffer-100ms@1]": "harness.metrics.latency:Playback",
        "playback[buffer-500ms@1]": "harness.metrics.latency:Playback500",
        "codec-time[stream@1]": "harness.metrics.latency:CodecTime",
        "throughput[closed-loop@1]": "harness.metrics.latency:Throughput",
        "modelability[flattened@smoke-1]": "harness.metrics.codec.modelability:FlattenedSmoke",
        "modelability[delay@smoke-1]": "harness.metrics.codec.modelability:DelaySmoke",
        "modelability[flattened@h100-1]": "harness.metrics.codec.modelability:FlattenedH100",
        "bitrate[measured@1]": "harness.metrics.codec.bitrate:Bitrate",
        "codebook[corpus@1]": "harness.metrics.codec.usage:CodebookUse",
        "token-bill[layouts@1]": "harness.metrics.codec.tokens:TokenBill",
        "context[2048@1]": "harness.metrics.codec.tokens:Context2048",
        "context[8192@1]": "harness.metrics.codec.tokens:Context8192",
        "context[32768@1]": "harness.metrics.codec.tokens:Context32768",
        "context[131072@1]": "harness.metrics.codec.tokens:Context131072",
        "text-tokens[smollm2@1]": "harness.metrics.codec.tokens:TextTokens",
        "stoi[pystoi]": "harness.metrics.codec.stoi:STOI",
        "estoi[pystoi]": "harness.metrics.codec.stoi:ESTOI",
        "pesq-wb[p862.2]": "harness.metrics.codec.pesq:WidebandPESQ",
        "pesq-nb[p862]": "harness.metrics.codec.pesq:NarrowbandPESQ",
        "visqol[speech@3.3]": "harness.metrics.codec.visqol:ViSQOL",
        "si-sdr[torchmetrics-definition]": "harness.metrics.codec.sisdr:SISDR",
        "mel-distance[multi-resolution]": "harness.metrics.codec.spectral:MelDistance",
        "stft-distance[multi-resolution]": "harness.metrics.codec.spectral:STFTDistance",
        "mcd[mel-13@1]": "harness.metrics.codec.mcd:MelCepstralDistortion",
        "f0[yin@1]": "harness.metrics.codec.pitch:PitchAccuracy",
        "sim-reference[cam++@zh-en-common]": "harness.metrics.codec.speaker:CAMPlusPlusReferenceSimilarity",
        "wer-original[whisper-normalizer]": "harness.metrics.codec.words:WordsKept",
        "wer[open-asr@A]": "harness.metrics.open_asr:OpenASRA",
        "wer[open-asr@B]": "harness.metrics.open_asr:OpenASRB",
        "wer[open-asr@C]": "harness.metrics.open_asr:OpenASRC",
        "wer[open-asr@D]": "harness.metrics.open_asr:OpenASRD",
        "wer[open-asr@E]": "harness.metrics.open_asr:OpenASRE",
        "wer[open-asr-multilingual@E]": "harness.metrics.open_asr_multilingual:OpenASRMultilingual",
        "rtfx[open-asr]": "harness.metrics.open_asr:OpenASRThroughput",
        "turn-taking[fdb@1.0]": "harness.metrics.turn_taking:SmoothTurnTaking",
        "pause-handling[fdb@1.0]": "harness.metrics.turn_taking:PauseHandling",
        "interruption[fdb@1.0]": "harness.metrics.turn_taking:Interruption",
        "backchannel[fdb@1.0]": "harness.metrics.backchannel:Backchannel",
        "turn-taking[vad-segments@1]": "harness.metrics.turn_segments:SegmentTurnTaking",
        "turn-policy[timeout-rule@1]": "harness.metrics.turn_policy:TurnPolicy",
        "choice[voicebench]": "harness.metrics.voicebench.choice:Choice",
        "bbh[voicebench]": "harness.metrics.voicebench.bbh:BBH",
        "refusal[voicebench]": "harness.metrics.voicebench.refusal:Refusal",
        "ifeval[voicebench]": "harness.metrics.voicebench.ifeval:IFEval",
        "judge[voicebench]": "harness.metrics.voicebench.judge:Judge",
        "qa[voicebench]": "harness.metrics.voicebench.qa:QA",
        "pedant[voicebench]": "harness.metrics.voicebench.qa:Pedant",
        "overall[voicebench]": "harness.metrics.voicebench.overall:Overall",
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
