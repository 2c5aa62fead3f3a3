"""Every key of audio-LLM training. A recipe gives them under `training`; the stages are trained in the order here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError, model_validator

from speech_eval.reference_models.audio_llm.augment import AugmentSection
from speech_eval.reference_models.audio_llm.masking import MaskSection
from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig, Section, knob

Part = Literal["fusion", "llm"]
Task = Literal["ctc", "transcribe", "replay", "interleave", "instruct", "prefer"]
Conversations = Literal["transcribe", "answer", "translate", "speaker", "pace", "channel", "refuse"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class StageOptimizer(OptimizerConfig):
    """AdamW for a stage: `share` of the schedule is that of the stage."""

    learning_rate: PositiveFloat = knob(2e-3, "Peak learning rate.")
    betas: tuple[float, float] = knob((0.9, 0.98), "AdamW's decay rates of the first and second moment.")
    weight_decay: float = knob(0.01, "AdamW's weight decay.")
    warmup_steps: NonNegativeInt = knob(30, "Steps over which the learning rate rises linearly from 0.")
    schedule: Literal["exponential", "cosine"] = knob("cosine", "After warm-up, as for other stacks.")
    final_share: float = knob(0.1, "Learning rate at the end of the cosine schedule, as a share of the peak.")
    clip_norm: PositiveFloat = knob(1.0, "Largest norm of the gradient; a longer one is scaled down.")


class ExamplesSection(Section):
    """What the tasks `interleave` and `instruct` are made of."""

    chunk_seconds: PositiveFloat = knob(0.6, "Shortest chunk of audio of `interleave`, cut between words.")
    repeat: Share = knob(
        0.5,
        "Share of its utterances whose chunks are followed by `<repeat>` and their own text; the others are chunks in "
        "turn with the text that goes on from them, behind `<next>` (Voxtral: half and half).",
    )
    conversations: dict[Conversations, PositiveFloat] = knob(
        {
            "transcribe": 1.0,
            "answer": 2.0,
            "translate": 1.0,
            "speaker": 0.3,
            "pace": 0.3,
            "channel": 0.3,
            "refuse": 0.2,
        },
        "Kinds of conversations of `instruct` by weight; of each recording, those that its data allow: `answer` "
        "needs a column `answer`, `translate` one such as `translation_de`, `speaker` one named `sex`, `channel` "
        "augmentation.",
    )
    human: Share | None = knob(
        None,
        "Share of the utterances that are recorded, not synthetic; the scarcer kind is repeated. null: as in the data.",
    )


class PreferenceSection(Section):
    """The pairs of the task `prefer`, ranked by word error rate."""

    pairs: Literal["offline", "online"] = knob(
        "offline", "`offline`: the transcript, and what the model said when the stage began; `online`: two answers."
    )
    beta: PositiveFloat = knob(0.1, "Strength with which the model is held to its start.")
    temperature: PositiveFloat = knob(0.7, "Sampling temperature of the answers.")


class StageConfig(Section):
    """A stage: what learns, what it is shown, for how long."""

    steps: PositiveInt = knob(..., "Steps of the stage.")
    minutes: PositiveFloat | None = knob(
        None,
        "Ends the stage after this many minutes if `steps` would take longer; the learning rate then follows the "
        "clock, and a resumed run is no longer identical bit for bit.",
        resume_may_change=True,
    )
    learn: tuple[Part, ...] = knob(
        ("fusion",), "What learns: `fusion` (with its CTC head), `llm` (what `model.adapt` lets learn of it)."
    )
    mixture: dict[Task, PositiveFloat] = knob(
        ...,
        "Tasks by weight; each step draws one. `ctc`: hear the LLM's tokens, without the LLM. `transcribe`: the "
        "transcript as the LLM's reply. `replay`: text without audio, against forgetting. `interleave`: chunks of "
        "audio and text in turn. `instruct`: conversations about a recording. `prefer`: the better of two transcripts "
        "(direct preference optimization).",
    )
    batch_size: PositiveInt = knob(8, "Utterances per step and process.")
    utterances: Literal["all", "first", "held-back"] = knob(
        "all", "Of the training utterances: all, those kept back (`hold_back`), or the others."
    )
    examples: ExamplesSection = knob(ExamplesSection(), "What the tasks `interleave` and `instruct` are made of.")
    frame_steps: NonNegativeInt = knob(
        0,
        "First steps of `ctc` in which each position has its label: by the times of the words where the features have "
        "them, else laid evenly along the text. It shortens CTC's plateau.",
    )
    word_times: NonNegativeInt = knob(
        0,
        "Utterances whose words get their times first, by the attention of the encoder's own Whisper (0.2 s each); the "
        "first `frame_steps` see these alone. `interleave` does so with all.",
    )
    negatives: PositiveInt | None = knob(
        None,
        "Tokens drawn per step of `ctc` beside those of the batch, which stand for the whole vocabulary; null: all of "
        "it, at twice the cost.",
    )
    mask: MaskSection | None = knob(None, "Masks parts of the features and adds noise in each step; null: none.")
    join: PositiveInt = knob(
        1,
        "Most utterances that `transcribe` puts behind one another, as many as it draws: without it an LLM that learns "
        "from short sentences alone cuts long ones short.",
    )
    distil: Share = knob(
        0.0,
        "Share of the loss that is the divergence from the text LLM's own predictions on the transcript (Ultravox); "
        "the rest is cross-entropy.",
    )
    preference: PreferenceSection = knob(PreferenceSection(), "The pairs of the task `prefer`.")
    optimizer: StageOptimizer = knob(StageOptimizer(), "AdamW and the learning rate of the fusion.")
    llm_optimizer: StageOptimizer = knob(
        StageOptimizer(learning_rate=1e-3), "AdamW and the learning rate of the LLM's part."
    )

    @model_validator(mode="after")
    def _fits(self) -> StageConfig:
        if not self.learn or not self.mixture:
            raise ValueError("a stage needs something that learns, and a task")
        if "llm" in self.learn and set(self.mixture) == {"ctc"}:
            raise ValueError("ctc takes no step through the LLM: leave `llm` out of `learn`")
        return self


class StagesSection(Section):
    """The stages, in this order; a stage that is null is left out."""

    align: StageConfig | None = knob(None, "CTC over the LLM's own tokens: the cheapest way to hear.")
    warmup: StageConfig | None = knob(None, "The fusion alone, through the frozen LLM.")
    pretrain: StageConfig | None = knob(None, "Fusion and LLM on interleaved speech and text.")
    sft: StageConfig | None = knob(None, "Instructions.")
    dpo: StageConfig | None = knob(None, "Preferences, after everything else.")

    def planned(self) -> list[tuple[str, StageConfig]]:
        """The stages that there are, by name."""
        return [(name, stage) for name, stage in self if stage is not None]


class AudioTrainingConfig(RunConfig):
    """How an audio LLM is trained."""

    stages: StagesSection = knob(..., "What is trained one after another.")
    steps: PositiveInt = knob(1, "The sum over the stages.", filled_in=True)
    minutes: PositiveFloat | None = knob(None, "Stages have minutes of their own.", filled_in=True)
    hold_back: Share = knob(
        0.0,
        "Share of the training texts that stages with `utterances: first` do not see: a stage through the LLM learns "
        "nothing from sentences that CTC has fitted.",
    )
    augment: AugmentSection | None = knob(
        None, "Recordings are put into rooms, noise and telephone lines before they are encoded; null: as they are."
    )
    precision: Literal["float32", "bf16"] = knob(
        "float32", "`bf16`: layers compute in bfloat16 (autocast). Weights are always float32."
    )
    validate_every: PositiveInt = knob(500, "Steps between two validations.", resume_may_change=True)
    validation_utterances: NonNegativeInt = knob(
        48, "Held-out utterances per validation of the losses.", resume_may_change=True
    )
    save_every: PositiveInt = knob(500, "Steps between two saved states.", resume_may_change=True)

    @model_validator(mode="before")
    @classmethod
    def _sum_of_steps(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(values.get("stages"), StagesSection | Mapping):
            try:
                stages = StagesSection.model_validate(values["stages"])
            except ValidationError:  # the validation of `stages` itself names the key
                return {**values, "steps": 1}
            return {**values, "steps": max(1, sum(stage.steps for _, stage in stages.planned()))}
        return values

    @model_validator(mode="after")
    def _has_a_stage(self) -> AudioTrainingConfig:
        if not self.stages.planned():
            raise ValueError("stages: no stage is given")
        return self
