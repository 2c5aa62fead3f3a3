"""What joins encoder and LLM: networks from features at 50 Hz to embeddings at a lower rate, one per file."""

from __future__ import annotations

from speech_eval.reference_models.audio_llm.config import FusionSection
from speech_eval.reference_models.audio_llm.fusion.base import Fusion
from speech_eval.reference_models.audio_llm.fusion.hybrid import Hybrid
from speech_eval.reference_models.audio_llm.fusion.mlp_fold import MlpFold
from speech_eval.reference_models.audio_llm.fusion.q_former import QFormer
from speech_eval.reference_models.audio_llm.fusion.stack_swiglu import StackSwiglu

_CLASSES: dict[str, type[Fusion]] = {
    "mlp-fold": MlpFold,
    "stack-swiglu": StackSwiglu,
    "q-former": QFormer,
    "hybrid": Hybrid,
}


def build_fusion(config: FusionSection, dim: int, width: int, rms: float) -> Fusion:
    """The fusion of a configuration, from features [.., dim] to embeddings [.., width] of root mean square `rms`."""
    return _CLASSES[config.type](config, dim, width, rms)  # type: ignore[call-arg, arg-type]
