"""Every key of speech-LM training. A recipe gives them under `training`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig, Section, knob


class CheckConfig(Section):
    """What is recognized again from the packed sequences before training starts."""

    utterances: PositiveInt = knob(8, "Utterances that are cut out of the first batches, decoded and recognized.")
    recognizer: str = knob("whisper-base", "Model spec of the recognizer.")
    max_wer: NonNegativeFloat = knob(0.3, "Training does not start above this word error rate (`--force` starts it).")


class LoRAConfig(Section):
    """Low-rank adapters beside frozen weights (extra `train`)."""

    rank: PositiveInt = knob(16, "Rows of A, columns of B.")
    alpha: PositiveFloat = knob(32.0, "The adapter's output is scaled by `alpha` / `rank`.")
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(0.0, "Dropout of an adapter's input.")
    targets: tuple[str, ...] = knob(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), "Layers that get an adapter."
    )
    embeddings: bool = knob(
        False, "Also learn embedding and head whole, which a text LLM needs for the speech tokens that it is given."
    )


class TTSTrainingConfig(RunConfig):
    """How a speech LM is trained."""

    batch_size: PositiveInt = knob(8, "Packed sequences per batch and process.")
    accumulate: PositiveInt = knob(1, "Batches per step and process.")
    sequence: PositiveInt = knob(2048, "Positions of a packed sequence.")
    optimizer: OptimizerConfig = knob(
        OptimizerConfig(
            learning_rate=5e-5, betas=(0.9, 0.95), weight_decay=0.01, schedule="cosine", final_share=0.1, clip_norm=1.0
        ),
        "AdamW and its learning rate.",
    )
    text_replay: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(0.0, "Share of the documents that are text alone.")
    replay: str | None = knob(None, "Text file whose lines are replayed; null: the transcripts.")
    precision: Literal["float32", "bf16"] = knob(
        "float32", "`bf16`: layers compute in bfloat16 (autocast). Weights are always float32."
    )
    recompute: bool = knob(
        False,
        "Compute the layers again in the backward pass instead of keeping what they gave (gradient checkpointing): "
        "much less memory, a third more time.",
        resume_may_change=True,
    )
    shard: bool = knob(
        False,
        "Several processes: each holds a part of weights, gradients and moments, and gathers a block when it computes "
        "it (FSDP).",
        resume_may_change=True,
    )
    lora: LoRAConfig | None = knob(None, "Learn low-rank adapters instead of all weights; null: all weights.")
    compile: bool = knob(False, "Compile the model with torch.compile.", resume_may_change=True)
    check: CheckConfig = knob(CheckConfig(), "What is recognized before training starts.", resume_may_change=True)
    validate_every: PositiveInt = knob(500, "Steps between two validations.", resume_may_change=True)
    validation_packs: NonNegativeInt = knob(8, "Packed held-out sequences per validation.", resume_may_change=True)
    save_every: PositiveInt = knob(500, "Steps between two saved states.", resume_may_change=True)
