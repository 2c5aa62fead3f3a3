"""The metric catalog: every built-in metric id and the class that computes it, loaded when it is used."""

from __future__ import annotations

from typing import TypeVar

from speech_eval.metrics.base import Metric
from speech_eval.registry import Registry

M = TypeVar("M", bound=type[Metric])

# Metrics by the names that they had before their protocol's version was part of the name.
FORMER = {
    "wer[whisper-normalizer]": "wer[whisper-normalizer@20250625]",
    "cer[whisper-normalizer]": "cer[whisper-normalizer@20250625]",
    "wer-original[whisper-normalizer]": "wer-original[whisper-normalizer@20250625]",
    "wer[open-asr@B]": "wer[open-asr@B-31c5b6f]",
}


class _Metrics(Registry[type[Metric]]):
    """A former name gives the metric under that name, so that stored runs keep the ids of their scores."""

    listed = "speech-eval list metrics"

    def get(self, name: str) -> type[Metric]:
        if name in FORMER and name not in self._loaded:
            present = super().get(FORMER[name])
            self._loaded[name] = type(present.__name__, (present,), {"id": name, "__doc__": present.__doc__})
        return super().get(name)

    def names(self) -> list[str]:
        return [name for name in super().names() if name not in FORMER]


def present_name(name: str) -> str:
    """The id of a metric that a user may name by a former id."""
    return FORMER.get(name, name)


METRICS: Registry[type[Metric]] = _Metrics(
    "metric",
    "speech_eval.metrics",
    {
        "wer[whisper-normalizer@20250625]": "speech_eval.metrics.wer:WhisperWER",
        "cer[whisper-normalizer@20250625]": "speech_eval.metrics.wer:WhisperCER",
        "wer[unicode@1]": "speech_eval.metrics.wer:UnicodeWER",
        "cer[unicode@1]": "speech_eval.metrics.wer:UnicodeCER",
        "wer[seed-tts-eval@2024-06]": "speech_eval.metrics.wer:SeedTTSWER",
        "sim[cam++@zh-en-common]": "speech_eval.metrics.similarity:CAMPlusPlusSimilarity",
        "sim[ge2e@resemblyzer]": "speech_eval.metrics.similarity:GE2ESimilarity",
        "sim[wavlm-large-ecapa@unispeech]": "speech_eval.metrics.similarity:WavLMSimilarity",
        "sim[speechbrain-ecapa@voxceleb]": "speech_eval.metrics.similarity:ECAPASimilarity",
        "mos[dnsmos-p835]": "speech_eval.metrics.mos:DNSMOS",
        "mos[distillmos@7]": "speech_eval.metrics.mos:DistillMOS",
        "mos[utmos22-strong]": "speech_eval.metrics.mos:UTMOS",
        "mos[utmosv2@fusion-stage3]": "speech_eval.metrics.mos:UTMOSv2",
        "mos[human-acr@1]": "speech_eval.metrics.listening:MeanOpinion",
        "smos[human@1]": "speech_eval.metrics.listening:SpeakerSimilarity",
        "cmos[human-ccr@1]": "speech_eval.metrics.listening:Comparison",
        "preference[human-ab@1]": "speech_eval.metrics.listening:Preference",
        "abx[human@1]": "speech_eval.metrics.listening:ABX",
        "mushra[human@1]": "speech_eval.metrics.listening:Mushra",
        "same-words[human@1]": "speech_eval.metrics.listening:SameWords",
        "ttfa[first-audible@2]": "speech_eval.metrics.latency:TimeToFirstAudio",
        "rtf[answer@1]": "speech_eval.metrics.latency:RealTimeFactor",
        "response[first-text@1]": "speech_eval.metrics.latency:Response",
        "playback[buffer-0ms@2]": "speech_eval.metrics.latency:Playback0",
        "playback[buffer-100ms@2]": "speech_eval.metrics.latency:Playback",
        "playback[buffer-500ms@2]": "speech_eval.metrics.latency:Playback500",
        "codec-time[stream@1]": "speech_eval.metrics.latency:CodecTime",
        "throughput[closed-loop@1]": "speech_eval.metrics.latency:Throughput",
        "modelability[flattened@smoke-2]": "speech_eval.metrics.codec.modelability:FlattenedSmoke",
        "modelability[delay@smoke-2]": "speech_eval.metrics.codec.modelability:DelaySmoke",
        "modelability[flattened@h100-2]": "speech_eval.metrics.codec.modelability:FlattenedH100",
        "modelability[flattened@smoke-1]": "speech_eval.metrics.codec.modelability:FirstFlattenedSmoke",
        "modelability[delay@smoke-1]": "speech_eval.metrics.codec.modelability:FirstDelaySmoke",
        "modelability[flattened@h100-1]": "speech_eval.metrics.codec.modelability:FirstFlattenedH100",
        "bitrate[measured@1]": "speech_eval.metrics.codec.bitrate:Bitrate",
        "codebook[corpus@1]": "speech_eval.metrics.codec.usage:CodebookUse",
        "token-bill[layouts@1]": "speech_eval.metrics.codec.tokens:TokenBill",
        "text-tokens[smollm2@1]": "speech_eval.metrics.codec.tokens:TextTokens",
        "stoi[pystoi]": "speech_eval.metrics.codec.stoi:STOI",
        "estoi[pystoi]": "speech_eval.metrics.codec.stoi:ESTOI",
        "pesq-wb[p862.2]": "speech_eval.metrics.codec.pesq:WidebandPESQ",
        "pesq-nb[p862@8k]": "speech_eval.metrics.codec.pesq:NarrowbandPESQ",
        "pesq-nb[p862@16k]": "speech_eval.metrics.codec.pesq:NarrowbandPESQ16k",
        "visqol[speech@3.3]": "speech_eval.metrics.codec.visqol:ViSQOL",
        "si-sdr[torchmetrics-definition]": "speech_eval.metrics.codec.sisdr:SISDR",
        "si-sdr[torchmetrics@1.9.0]": "speech_eval.metrics.codec.torchmetrics_ratios:TorchMetricsSISDR",
        "si-snr[torchmetrics@1.9.0]": "speech_eval.metrics.codec.torchmetrics_ratios:TorchMetricsSISNR",
        "sdr[torchmetrics@1.9.0]": "speech_eval.metrics.codec.torchmetrics_ratios:TorchMetricsSDR",
        "mel-distance[multi-resolution]": "speech_eval.metrics.codec.spectral:MelDistance",
        "stft-distance[multi-resolution]": "speech_eval.metrics.codec.spectral:STFTDistance",
        "mcd[mel-13@1]": "speech_eval.metrics.codec.mcd:MelCepstralDistortion",
        "f0[yin@1]": "speech_eval.metrics.codec.pitch:PitchAccuracy",
        "sim-reference[cam++@zh-en-common]": "speech_eval.metrics.codec.speaker:CAMPlusPlusReferenceSimilarity",
        "wer-original[whisper-normalizer@20250625]": "speech_eval.metrics.codec.wer_delta:WhisperWERDelta",
        "wer-original[unicode@1]": "speech_eval.metrics.codec.wer_delta:UnicodeWERDelta",
        "wer[open-asr@A]": "speech_eval.metrics.open_asr:OpenASRA",
        "wer[open-asr@B-31c5b6f]": "speech_eval.metrics.open_asr:OpenASRB",
        "wer[open-asr@C]": "speech_eval.metrics.open_asr:OpenASRC",
        "wer[open-asr@D]": "speech_eval.metrics.open_asr:OpenASRD",
        "wer[open-asr@E]": "speech_eval.metrics.open_asr:OpenASRE",
        "wer[open-asr-multilingual@E]": "speech_eval.metrics.open_asr_multilingual:OpenASRMultilingual",
        "rtfx[open-asr]": "speech_eval.metrics.open_asr:OpenASRThroughput",
        "turn-taking[fdb@1.0]": "speech_eval.metrics.dialogue.turn_taking:SmoothTurnTaking",
        "pause-handling[fdb@1.0]": "speech_eval.metrics.dialogue.turn_taking:PauseHandling",
        "interruption[fdb@1.0]": "speech_eval.metrics.dialogue.turn_taking:Interruption",
        "backchannel[fdb@1.0]": "speech_eval.metrics.dialogue.backchannel:Backchannel",
        "overlap-timing[fdb@1.5]": "speech_eval.metrics.dialogue.overlap:OverlapTiming",
        "overlap-timing[vad-segments@1]": "speech_eval.metrics.dialogue.overlap:SegmentOverlapTiming",
        "behavior[fdb@1.5]": "speech_eval.metrics.dialogue.behavior:Behavior",
        "before-after[fdb@1.5]": "speech_eval.metrics.dialogue.before_after:BeforeAfter",
        "conversation[fdb@2]": "speech_eval.metrics.dialogue.conversation:Conversation",
        "turn-taking[vad-segments@1]": "speech_eval.metrics.dialogue.turn_segments:SegmentTurnTaking",
        "turn-policy[timeout-rule@1]": "speech_eval.metrics.dialogue.turn_policy:TurnPolicy",
        "accuracy[spoken-qa@1]": "speech_eval.metrics.spoken_qa:SpokenQA",
        "accuracy[spoken-mqa@e991641]": "speech_eval.metrics.audiobench.spoken_math:SpokenMath",
        "choice[voicebench]": "speech_eval.metrics.voicebench.choice:Choice",
        "bbh[voicebench]": "speech_eval.metrics.voicebench.bbh:BBH",
        "refusal[voicebench]": "speech_eval.metrics.voicebench.refusal:Refusal",
        "ifeval[voicebench]": "speech_eval.metrics.voicebench.ifeval:IFEval",
        "judge[voicebench]": "speech_eval.metrics.voicebench.judge:Judge",
        "qa[voicebench]": "speech_eval.metrics.voicebench.qa:QA",
        "pedant[voicebench]": "speech_eval.metrics.voicebench.qa:Pedant",
        "ifeval-audio[audiobench@e991641]": "speech_eval.metrics.audiobench.instructions:AudioInstructions",
        "judge[audiobench@e991641]": "speech_eval.metrics.audiobench.judge:AudioBenchJudge",
        "judge[audiobench-binary@e991641]": "speech_eval.metrics.audiobench.judge:AudioBenchBinaryJudge",
        "instructions[mmau-pro@960e93a]": "speech_eval.metrics.mmau_pro.metrics:Instructions",
        "judge[mmau-pro@960e93a]": "speech_eval.metrics.mmau_pro.metrics:OpenJudge",
        "win-rate[emergent-tts@5764ace]": "speech_eval.metrics.emergent_tts:EmergentTTS",
        "instructed[instruct-tts@b7e4120]": "speech_eval.metrics.instruct_tts:InstructTTS",
        "judge[air-bench@9832476]": "speech_eval.metrics.choices.air_bench_judge:AirBenchChat",
        "labels[classes@1]": "speech_eval.metrics.choices.labels:Labels",
        "bleu[sacrebleu@2.6.0]": "speech_eval.metrics.translation:BLEU",
        "bleu[audiobench@e991641]": "speech_eval.metrics.translation:AudioBenchBLEU",
        "chrf[sacrebleu@2.6.0]": "speech_eval.metrics.translation:ChrF",
        "choice[options@1]": "speech_eval.metrics.choices.protocols:Options",
        "choice[mmau@110127f]": "speech_eval.metrics.choices.protocols:MMAU",
        "choice[audiobench@e991641]": "speech_eval.metrics.choices.protocols:AudioBenchMMAU",
        "choice[air-bench@9832476]": "speech_eval.metrics.choices.protocols:AirBench",
    },
)


def register_metric(cls: M) -> M:
    """Decorator for a metric class: registers it under its `id`."""
    METRICS.add(cls.id, cls, cls)
    return cls
