"""Speaker similarity: the cosine between speaker embeddings of the model's speech and of its voice prompt."""

from __future__ import annotations

import os
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speech_eval.assets import store as assets
from speech_eval.audio import Audio
from speech_eval.cache import file_sha256
from speech_eval.errors import NotFetched, require
from speech_eval.metrics.audibility import parts_or_none
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.records import Sample
from speech_eval.signal.level import audible

WAVLM_ECAPA = "SPEECH_EVAL_WAVLM_ECAPA"  # environment variable: the path of UniSpeech's wavlm_large_finetune.pth
ECAPA = "SPEECH_EVAL_SPEECHBRAIN_ECAPA"  # environment variable: the folder of SpeechBrain's ECAPA-TDNN
ECAPA_REPOSITORY = "speechbrain/spkrec-ecapa-voxceleb"
MIN_SECONDS = 0.4  # a shorter clip does not identify its speaker reliably


class _SpeakerSimilarity(Metric):
    """Cosine in [-1, 1] of two embeddings at 16 kHz."""

    needs = frozenset({"audio", "prompt"})
    summaries = (Summary("sim", "mean", ("similarity",), unit="", direction="higher"),)
    heavy = True
    extra = "metrics"
    weights: ClassVar[str]

    def scorer(self) -> str:
        (asset,) = self.assets
        return f"{asset}@{assets.ASSETS[asset].files[self.weights][:12]}"

    def score(self, item: ScoringItem) -> Value:
        """Part: `similarity`. Raises `Unscorable` for a prompt or an answer shorter than 0.4 s or inaudible; `compat`
        is then the cosine of the answer, which the originals take, or None where it is not defined."""
        answer, prompt = self._waveforms(item)
        if problem := _unusable(prompt):
            raise Unscorable(f"Sample {item.sample.id}: the prompt {problem}.", "Leave the sample out of the dataset.")
        if problem := _unusable(answer):
            compat = parts_or_none(lambda: self._value(item, answer, prompt))
            raise Unscorable(f"Sample {item.sample.id}: the answer {problem}.", "Check the model's output.", compat)
        return self._value(item, answer, prompt)

    def _waveforms(self, item: ScoringItem) -> tuple[Audio, Audio]:
        """Answer and prompt."""
        return item.audio(16_000), item.prompt(16_000)

    def _value(self, item: ScoringItem, answer: Audio, prompt: Audio) -> Value:
        try:
            first, second = self.embed(answer), self.embed(prompt)
        except ValueError as error:
            raise Unscorable(f"Sample {item.sample.id}: {error}.", "Check the answer and the prompt.") from error
        cosine = float(first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-8))
        return Value(parts={"similarity": min(1.0, max(-1.0, cosine))})

    def failure(self, sample: Sample) -> dict[str, float]:
        """0, what unrelated voices come to. No model gets to -1, and one failure would then count for many."""
        return {"similarity": 0.0}

    @abstractmethod
    def embed(self, audio: Audio) -> NDArray[np.float64]:
        """The speaker embedding of 16 kHz speech. Raises `ValueError` for speech too short for one."""

    def _weights_file(self) -> Any:
        (asset,) = self.assets
        require("torch", self.extra)
        return assets.ensure(asset) / self.weights


def _unusable(audio: Audio) -> str:
    """Why no embedding can be taken, empty where it can."""
    if audio.seconds < MIN_SECONDS:
        return f"lasts {audio.seconds:.2f} s, less than {MIN_SECONDS} s"
    return "" if audible(audio) else "has nothing audible in it"


class CAMPlusPlusSimilarity(_SpeakerSimilarity):
    """Similarity by CAM++ (3D-Speaker, Chinese and English): sharper between speakers than GE2E."""

    id = "sim[cam++@zh-en-common]"
    description = "Cosine similarity of CAM++ speaker embeddings of the output and the voice prompt"
    source = "Wang et al. 2023 (CAM++), 3D-Speaker speech_campplus_sv_zh_en_16k-common_advanced"
    assets = ("campplus",)
    weights = "campplus_cn_en_common.pt"

    def embed(self, audio: Audio) -> NDArray[np.float64]:
        """[192], of log mel energies less their mean over time."""
        import torch

        from speech_eval.signal.features import kaldi_fbank

        features = kaldi_fbank(audio.samples)
        if len(features) == 0:
            raise ValueError(f"{audio.seconds:.3f} s is too short for a speaker embedding")
        features = features - features.mean(axis=0, keepdims=True)
        with torch.no_grad():
            embedding = self._network(torch.from_numpy(features)[None])[0]
        return embedding.numpy().astype(np.float64)

    @cached_property
    def _network(self) -> Any:
        path = self._weights_file()
        from speech_eval.metrics.networks.campplus import CAMPlusPlus

        return CAMPlusPlus.load(path)


class GE2ESimilarity(_SpeakerSimilarity):
    """Similarity by Resemblyzer's GE2E encoder, without its voice activity detection."""

    id = "sim[ge2e@resemblyzer]"
    description = "Cosine similarity of GE2E speaker embeddings of the output and the voice prompt"
    source = "Wan et al. 2018 (GE2E), Resemblyzer 0.1.4 without trimming of pauses"
    assets = ("ge2e",)
    weights = "pretrained.pt"

    def embed(self, audio: Audio) -> NDArray[np.float64]:
        """[256], of unit length and without negative components."""
        embedding: NDArray[np.float32] = self._network.embed(audio.samples)
        return embedding.astype(np.float64)

    @cached_property
    def _network(self) -> Any:
        path = self._weights_file()
        from speech_eval.metrics.networks.ge2e import GE2E

        return GE2E.load(path)


class WavLMSimilarity(_SpeakerSimilarity):
    """Seed-TTS-eval's SIM: the unscaled cosine of WavLM-large ECAPA-TDNN embeddings, negative values included.

    The user downloads the published weights; the environment variable `SPEECH_EVAL_WAVLM_ECAPA` names the file.
    """

    id = "sim[wavlm-large-ecapa@unispeech]"
    description = "Cosine similarity of WavLM-large ECAPA-TDNN speaker embeddings of the output and the voice prompt"
    source = "BytedanceSpeech/seed-tts-eval, commit 752f429: verification_pair_list_v2.py, models/ecapa_tdnn.py"

    @classmethod
    def ready(cls) -> None:
        weights_path()
        require("torch", cls.extra)
        require("transformers", cls.extra)

    def scorer(self) -> str:
        return self._identity

    def _waveforms(self, item: ScoringItem) -> tuple[Audio, Audio]:
        """At their own rates: the original resamples by torchaudio's filter."""
        return item.audio(), item.prompt()

    def embed(self, audio: Audio) -> NDArray[np.float64]:
        """[256], of speech at any rate. Raises `ValueError` for speech too short for two frames."""
        network = self._network
        import torch

        from speech_eval.metrics.networks.wavlm_ecapa import MIN_SAMPLES
        from speech_eval.signal.features import sinc_resample

        samples = sinc_resample(audio.samples, audio.rate, 16_000)
        if len(samples) < MIN_SAMPLES:
            raise ValueError(f"{audio.seconds:.3f} s is too short for a speaker embedding")
        with torch.no_grad():
            embedding = network(torch.from_numpy(samples)[None])[0]
        return np.asarray(embedding.numpy(), dtype=np.float64)

    @cached_property
    def _identity(self) -> str:
        return f"wavlm-large-ecapa@{file_sha256(weights_path())[:12]}"

    @cached_property
    def _network(self) -> Any:
        self.ready()
        from speech_eval.metrics.networks.wavlm_ecapa import WavLMECAPA

        return WavLMECAPA.load(weights_path())


class ECAPASimilarity(_SpeakerSimilarity):
    """Similarity by SpeechBrain's ECAPA-TDNN of VoxCeleb, the speaker encoder of many papers on voice cloning.

    The network comes from the hub (`speechbrain/spkrec-ecapa-voxceleb`) unless the environment variable
    `SPEECH_EVAL_SPEECHBRAIN_ECAPA` names its folder.
    """

    id = "sim[speechbrain-ecapa@voxceleb]"
    description = "Cosine similarity of SpeechBrain's ECAPA-TDNN speaker embeddings of the output and the voice prompt"
    source = "Desplanques et al. 2020 (arXiv:2005.07143), SpeechBrain's EncoderClassifier and spkrec-ecapa-voxceleb"
    extra = "speechbrain"

    @classmethod
    def ready(cls) -> None:
        require("speechbrain", cls.extra)
        if (chosen := os.environ.get(ECAPA)) and not Path(chosen).is_dir():
            raise NotFetched(f"{ECAPA} names {chosen}, which is not a folder.", "Correct or unset the variable.")

    def scorer(self) -> str:
        return f"speechbrain-ecapa@{self._loaded[1][:12]}"

    def embed(self, audio: Audio) -> NDArray[np.float64]:
        """[192], of log mel energies less their mean over time."""
        import torch

        with torch.inference_mode():
            embedding = self._loaded[0].encode_batch(torch.from_numpy(audio.samples)[None])[0, 0]
        return np.asarray(embedding.numpy(), dtype=np.float64)

    @cached_property
    def _loaded(self) -> tuple[Any, str]:
        """SpeechBrain's classifier, and the digest of its files."""
        self.ready()
        inference = require("speechbrain.inference.classifiers", self.extra)
        from speech_eval.adapters.speechbrain_folder import SpeechBrainFolder, locate

        folder = SpeechBrainFolder(locate(os.environ.get(ECAPA) or ECAPA_REPOSITORY, None))
        return folder.build(inference.EncoderClassifier, (), "cpu"), folder.digest()


def weights_path() -> Path:
    """The file that `SPEECH_EVAL_WAVLM_ECAPA` names. Raises `NotFetched` where the file does not exist."""
    named = os.environ.get(WAVLM_ECAPA)
    if named and Path(named).is_file():
        return Path(named)
    raise NotFetched(
        f"{WAVLM_ECAPA} names {named}, which does not exist." if named else f"{WAVLM_ECAPA} is not set.",
        "Download wavlm_large_finetune.pth (linked in the README of seed-tts-eval) and set the variable to its path.",
    )
