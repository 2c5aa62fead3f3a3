"""Mean opinion scores predicted without a reference."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speech_eval.assets import store as assets
from speech_eval.cache import file_sha256
from speech_eval.errors import BadInput, NotFetched, require
from speech_eval.metrics.audibility import of_audible
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.records import Sample

_RATE = 16_000
_SECONDS = 9.01
_WINDOW = int(_SECONDS * _RATE)
_WEIGHTS = "sig_bak_ovr.onnx"
_DISTILLMOS = "distill_mos_v7.pt"
UTMOS_VARIABLE = "SPEECH_EVAL_UTMOS"

# From the network's raw outputs to the P.835 scale, highest power first (DNS Challenge, not personalised).
_POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


class _PredictedMOS(Metric):
    """Predicted opinion scores, from 1 to 5, of the 16 kHz output alone."""

    needs = frozenset({"audio"})
    summaries: ClassVar[tuple[Summary, ...]] = (Summary("mos", "mean", ("mos",), unit="MOS", direction="higher"),)
    heavy = True

    def score(self, item: ScoringItem) -> Value:
        """One part per summary. Raises `Unscorable` for inaudible outputs, with the original's value as `compat`, and
        below the shortest length that the network takes."""
        audio = item.audio(_RATE)
        return of_audible(item, audio, lambda: self.rate(item, audio.samples))

    @abstractmethod
    def rate(self, item: ScoringItem, samples: NDArray[np.float32]) -> Value:
        """The value of 16 kHz samples [frames] of any level."""

    def failure(self, sample: Sample) -> dict[str, float]:
        """1, the bottom of the opinion scale, for each."""
        return {summary.parts[0]: 1.0 for summary in self.summaries}


class DNSMOS(_PredictedMOS):
    """DNSMOS P.835: quality of the speech (`sig`), of the background (`bak`) and of the whole (`ovrl`), 1 to 5.

    The predictor was trained on noise suppression: it is sensitive to noise and distortion, hardly to a missing upper
    band, and not at all to wrong words.
    """

    id = "mos[dnsmos-p835]"
    description = "Predicted P.835 mean opinion scores: overall, signal, background"
    source = "Reddy et al. 2022 (DNSMOS P.835, arXiv:2110.01763), Microsoft DNS Challenge dnsmos_local.py"
    summaries = (
        Summary("ovrl", "mean", ("ovrl",), unit="MOS", direction="higher"),
        Summary("sig", "mean", ("sig",), unit="MOS", direction="higher", headline=False),
        Summary("bak", "mean", ("bak",), unit="MOS", direction="higher", headline=False),
    )
    extra = "metrics"
    assets = ("dnsmos",)

    def scorer(self) -> str:
        return f"dnsmos@{assets.ASSETS['dnsmos'].files[_WEIGHTS][:12]}"

    def rate(self, item: ScoringItem, samples: NDArray[np.float32]) -> Value:
        """Parts: `ovrl`, `sig`, `bak`, each the mean over windows."""
        segments = windows(np.clip(samples, -1.0, 1.0))
        raw = np.stack([self._session.run(None, {"input_1": segment[None]})[0][0] for segment in segments])
        parts = {
            name: float(np.mean(np.polyval(_POLYNOMIALS[name], raw[:, column].astype(np.float64))))
            for column, name in enumerate(("sig", "bak", "ovrl"))
        }
        return Value(parts=parts, detail={"windows": len(segments)})

    @cached_property
    def _session(self) -> Any:
        runtime = require("onnxruntime", self.extra)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        path = assets.ensure("dnsmos") / _WEIGHTS
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class DistillMOS(_PredictedMOS):
    """DistillMOS: noise, distortion and gaps, by a small network distilled from XLS-R. The score is the mean over
    excerpts of 7.68 s, at most 1 s apart, each normalized to peak 1, so the level has no effect. Its training data are
    telephone and noise-suppression corpora, with little synthetic speech."""

    id = "mos[distillmos@7]"
    description = "Predicted mean opinion score by DistillMOS (variant 7)"
    source = "Stahl and Gamper 2025 (arXiv:2502.05356), weights of the Python package distillmos 0.9.1"
    extra = "metrics"
    assets = ("distillmos",)

    def scorer(self) -> str:
        return f"distillmos@{assets.ASSETS['distillmos'].files[_DISTILLMOS][:12]}"

    def rate(self, item: ScoringItem, samples: NDArray[np.float32]) -> Value:
        """Part: `mos`."""
        torch = require("torch", self.extra)
        value, excerpts = self._network.rate(torch.from_numpy(samples))
        return Value(parts={"mos": value}, detail={"excerpts": excerpts})

    @cached_property
    def _network(self) -> Any:
        require("torch", self.extra)
        from speech_eval.metrics.networks.distillmos import load

        return load(assets.ensure("distillmos") / _DISTILLMOS)


class UTMOS(_PredictedMOS):
    """UTMOS (strong learner of UTMOS22): naturalness, trained on synthetic speech. One pass over the whole clip; the
    score is the mean over frames, with the domain and listener (288) of the published setting.

    The weights come from the hub (`Blinorot/UTMOS-PyTorch`, converted from the authors' checkpoint) unless the
    environment variable `SPEECH_EVAL_UTMOS` names a file of them.
    """

    id = "mos[utmos22-strong]"
    description = "Predicted naturalness by UTMOS22's strong learner"
    source = "Saeki et al. 2022 (arXiv:2204.02152), Python package utmos-pytorch 0.1.0"
    extra = "utmos"

    @classmethod
    def ready(cls) -> None:
        require("utmos_pytorch", cls.extra, package="utmos-pytorch")
        if (chosen := os.environ.get(UTMOS_VARIABLE)) and not Path(chosen).is_file():
            raise NotFetched(
                f"{UTMOS_VARIABLE} names {chosen}, which does not exist.", "Correct or unset the variable."
            )

    @classmethod
    def repository(cls) -> str:
        return "" if os.environ.get(UTMOS_VARIABLE) else "Blinorot/UTMOS-PyTorch"

    def scorer(self) -> str:
        return f"utmos22-strong@{self._weights[1]}"

    def rate(self, item: ScoringItem, samples: NDArray[np.float32]) -> Value:
        """Part: `mos`. Raises `Unscorable` below 25 ms, one frame of its encoder."""
        if len(samples) < 400:
            raise Unscorable(f"Sample {item.sample.id}: shorter than 25 ms.", "Check the model's output.")
        torch = require("torch", self.extra)
        return Value(parts={"mos": float(self._network.score(torch.from_numpy(samples))[0])})

    @cached_property
    def _weights(self) -> tuple[Path, str]:
        """The file and the start of its sha256."""
        utils = require("utmos_pytorch.utils", self.extra, package="utmos-pytorch")
        chosen = os.environ.get(UTMOS_VARIABLE)
        path = Path(chosen) if chosen else utils.download_utmos_ckpt()
        return path, file_sha256(path)[:12]

    @cached_property
    def _network(self) -> Any:
        package = require("utmos_pytorch.utmos_torch", self.extra, package="utmos-pytorch")
        torch, (path, _) = require("torch", self.extra), self._weights
        # The package accepts any file and leaves missing weights at their random initialization.
        with torch.device("meta"):
            wanted = set(package.UTMOSModel().state_dict())
        lacking = sorted(wanted - set(torch.load(path, map_location="meta", weights_only=True)))
        if lacking:
            raise BadInput(
                f"{path}: not UTMOS weights, {lacking[0]} and {len(lacking) - 1} more are missing.",
                "Give utmos_state_dict.pt of Blinorot/UTMOS-PyTorch.",
            )
        return package.UTMOSScoreTorch(ckpt_path=str(path), device="cpu")


class UTMOSv2(_PredictedMOS):
    """UTMOSv2 (fusion, stage 3, fold 0, one pass, pauses removed by the package). It rates random excerpts, here seeded
    by the sample's id, so that a sample's score is reproducible.

    The package pins older libraries than the models here use: install the extra in a separate environment and run
    `speech-eval score RUN --metrics 'mos[utmosv2@fusion-stage3]'` there, which needs no model.
    """

    id = "mos[utmosv2@fusion-stage3]"
    description = "Predicted naturalness by UTMOSv2, excerpts seeded by the sample's id"
    source = "Baba et al. 2024 (arXiv:2409.09305), Python package utmosv2"
    extra = "utmosv2"

    @classmethod
    def ready(cls) -> None:
        require("utmosv2", cls.extra)

    def scorer(self) -> str:
        return "utmosv2@fusion-stage3-fold0-s42"

    def rate(self, item: ScoringItem, samples: NDArray[np.float32]) -> Value:
        """Part: `mos`."""
        with _drawn_from(item.sample.id):
            rated = self._network.predict(data=samples[None], sr=_RATE, device="cpu", num_workers=0, verbose=False)
        return Value(parts={"mos": float(np.ravel(rated)[0])})

    @cached_property
    def _network(self) -> Any:
        return require("utmosv2", self.extra).create_model(pretrained=True, device="cpu")


@contextlib.contextmanager
def _drawn_from(text: str) -> Iterator[None]:
    """Seed the global generators of NumPy, Python and torch by `text`, and restore them afterwards."""
    torch = require("torch", "utmosv2")
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        np.random.seed(seed)
        random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


def windows(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The 9.01 s windows of 16 kHz samples, one every second; a shorter clip is doubled until it fills one.

    The original computes a window's end as `int((start + 9.01) * 16000)`, which rounds one sample short for starts of 7
    to 23 s, and drops short windows; so does this function, to give the published numbers.
    """
    while len(samples) < _WINDOW:
        samples = np.concatenate([samples, samples])
    count = int(len(samples) // _RATE - _SECONDS) + 1
    spans = ((second * _RATE, int((second + _SECONDS) * _RATE)) for second in range(count))
    segments = (samples[start:end] for start, end in spans)
    return [segment for segment in segments if len(segment) == _WINDOW]
