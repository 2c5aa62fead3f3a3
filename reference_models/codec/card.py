"""The card of a trained codec: its codes, its training, its data, its validation, and what went wrong."""

from __future__ import annotations

from typing import Any

from speech_eval import __version__
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.codec.training_config import TrainingConfig
from speech_eval.reference_models.data.card import data_facts, license_of
from speech_eval.reference_models.data.corpus import Corpus
from speech_eval.reference_models.training.card import training_facts


def card(
    name: str,
    codec: Codec,
    training: TrainingConfig,
    corpus: Corpus,
    *,
    hours: float,
    log: Any,
    validation: dict[str, Any],
    collapsed: list[int],
    overfit: bool,
) -> dict[str, Any]:
    """Plain data. `log` is a `codec.train.CodecLog`, `validation` the result of the last validation, `collapsed` the
    codebooks that used one code for nearly all frames in the last report."""
    recordings = data_facts(corpus) | {"hours_of_training_speech": round(hours, 3)}
    found: dict[str, Any] = {
        "name": name,
        "description": f"A neural audio codec at {codec.config.sample_rate} Hz, {codec.bitrate / 1000:g} kbit/s, "
        f"trained by speech-eval {__version__}." + (" Overfitted to one batch: a check, not a model." * overfit),
        "codec": {
            "parameters": sum(parameter.numel() for parameter in codec.parameters()),
            "bits_per_second": codec.bitrate,
            "codebook_sizes": codec.codebook_sizes,
            "frame_rates": codec.frame_rates,
            "causal": codec.config.causal,
        },
        "training": training_facts(training, log) | {"audio_hours": round(log.audio_seconds / 3600, 3)},
        "losses": {loss: weight or "off" for loss, weight in training.weights().items()},
        "data": recordings,
        "trouble": {
            "left_out": len(corpus.left_out),
            **log.counts(),
            "clips": sorted({*log.bad_clips, *(item.clip for item in corpus.left_out)}),
            "steps": log.bad_steps,
            "collapsed_codebooks": collapsed,
        },
        **license_of(recordings),
    }
    if validation:
        found["validation"] = {key: value for key, value in validation.items() if key != "codebooks"}
        found["codebooks"] = validation["codebooks"]
    return found
