"""The knobs of speech-LM training, all of them. A recipe gives them under `training`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from speech_eval.reference_models.codec.config import Section
from speech_eval.reference_models.codec.training_config import OptimizerConfig
from speech_eval.reference_models.data.segments import Policy


class CheckConfig(Section):
    """What is listened to before training starts: `utterances` of the packed batches, by `recognizer`; training does
    not start where more than `max_wer` of the words are wrong (1.0 is as good as silence)."""

    utterances: PositiveInt = 8
    recognizer: str = "whisper-base"
    max_wer: NonNegativeFloat = 0.3


class TTSTrainingConfig(Section):
    """How a speech LM is trained. A step takes `accumulate` batches of `batch_size` packs of `sequence` positions from
    each process. `text_replay` is the share of documents that are text alone: the lines of the file `replay`, or the
    transcripts. `save_every`, `validate_every` and `log_every` count steps. Training ends after `steps`, or after
    `minutes` if they are up first; then the learning rate follows the clock.
    """

    steps: PositiveInt
    minutes: PositiveFloat | None = None
    batch_size: PositiveInt = 8
    accumulate: PositiveInt = 1
    sequence: PositiveInt = 2048
    seed: int = 0
    optimizer: OptimizerConfig = OptimizerConfig(
        learning_rate=5e-5, betas=(0.9, 0.95), weight_decay=0.01, schedule="cosine", final_share=0.1, clip_norm=1.0
    )
    text_replay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    replay: str | None = None
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    check: CheckConfig = CheckConfig()
    on_nan: Policy = "stop"
    log_every: PositiveInt = 50
    validate_every: PositiveInt = 500
    validation_packs: NonNegativeInt = 8
    save_every: PositiveInt = 500
    tensorboard: bool = False
