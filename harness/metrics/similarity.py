"""Speaker similarity: the cosine between speaker embeddings of the model's speech and of its voice prompt."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness import assets
from harness.audio import Audio, leading_silence
from harness.errors import BadInput, require
from harness.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from harness.types import Sample

MIN_SECONDS = 0.4  # less speech than this says too little about its speaker


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
        """Part: `similarity`. Raises `Unscorable` for speech under 0.4 s or without anything audible, and `BadInput`
        where that is so of the prompt."""
        answer, prompt = item.audio(16_000), item.prompt(16_000)
        if problem := _unusable(answer):
            raise Unscorable(f"Sample {item.sample.id}: the answer {problem}.", "Check the model's output.")
        if problem := _unusable(prompt):
            raise BadInput(f"Sample {item.sample.id}: the prompt {problem}.", "Leave the sample out of the dataset.")
        first, second = self.embed(answer), self.embed(prompt)
        cosine = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
        return Value(parts={"similarity": min(1.0, max(-1.0, cosine))})

    def failure(self, sample: Sample) -> dict[str, float]:
        """0, what unrelated voices come to. No model gets to -1, and one failure would then count for many."""
        return {"similarity": 0.0}

    @abstractmethod
    def embed(self, audio: Audio) -> NDArray[np.float64]:
        """The speaker embedding of 16 kHz speech, of any length but zero."""

    def _weights_file(self) -> Any:
        (asset,) = self.assets
        require("torch", self.extra)
        return assets.ensure(asset) / self.weights


def _unusable(audio: Audio) -> str:
    """Why no embedding can be taken, empty where it can."""
    if audio.seconds < MIN_SECONDS:
        return f"lasts {audio.seconds:.2f} s, less than {MIN_SECONDS} s"
    return "" if leading_silence(audio) is not None else "has nothing audible in it"


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

        from harness.metrics.nets.features import kaldi_fbank

        features = kaldi_fbank(audio.samples)
        features = features - features.mean(axis=0, keepdims=True)
        with torch.no_grad():
            embedding = self._network(torch.from_numpy(features)[None])[0]
        return embedding.numpy().astype(np.float64)

    @cached_property
    def _network(self) -> Any:
        path = self._weights_file()
        from harness.metrics.nets.campplus import CAMPlusPlus

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
        from harness.metrics.nets.ge2e import GE2E

        return GE2E.load(path)
