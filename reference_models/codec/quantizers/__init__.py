"""Quantizers: one interface (`base.Quantizer`), one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from speech_eval.reference_models.codec.config import FSQConfig, MultiScaleConfig, RVQConfig, SplitConfig, VQConfig
from speech_eval.reference_models.codec.quantizers.base import Quantized, Quantizer
from speech_eval.reference_models.codec.quantizers.fsq import FSQ
from speech_eval.reference_models.codec.quantizers.multiscale import MultiScaleVQ
from speech_eval.reference_models.codec.quantizers.rvq import ResidualVQ
from speech_eval.reference_models.codec.quantizers.split import SplitVQ
from speech_eval.reference_models.codec.quantizers.spread import Spread
from speech_eval.reference_models.codec.quantizers.statistics import CodeStatistics, LevelStatistics
from speech_eval.reference_models.codec.quantizers.vq import SingleVQ

QuantizerConfig = VQConfig | RVQConfig | FSQConfig | MultiScaleConfig | SplitConfig

_CLASSES: dict[type, Callable[[Any, int], Quantizer]] = {
    VQConfig: SingleVQ,
    RVQConfig: ResidualVQ,
    FSQConfig: FSQ,
    MultiScaleConfig: MultiScaleVQ,
    SplitConfig: SplitVQ,
}


def build_quantizer(config: QuantizerConfig, dim: int) -> Quantizer:
    """The quantizer of a configuration, for latents [B, dim, F]."""
    return _CLASSES[type(config)](config, dim)


__all__ = [
    "FSQ",
    "CodeStatistics",
    "LevelStatistics",
    "MultiScaleVQ",
    "Quantized",
    "Quantizer",
    "ResidualVQ",
    "SingleVQ",
    "SplitVQ",
    "Spread",
    "build_quantizer",
]
