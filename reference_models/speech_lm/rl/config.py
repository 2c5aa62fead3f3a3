"""Every key of an alignment. A recipe gives them under `training`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from speech_eval.reference_models.training.config import RunConfig, Section, knob


class VerifierConfig(Section):
    """The models that measure generated speech. A model that is null is not used."""

    recognizer: str | None = knob("whisper-tiny.en", "Model spec of the recognizer, for `cer` and `nll`.")
    speaker: str | None = knob(None, "Id of a speaker-similarity metric, for `sim`.")
    opinion: str | None = knob(None, "Id of a predicted-opinion metric, for `mos`.")
    likelihood: bool = knob(False, "Also ask the recognizer, a Whisper, how likely the text is, for `nll`.")


class AlignmentConfig(RunConfig):
    """How a speaking model is aligned by rewards."""

    method: Literal["grpo", "dpo"] = knob(..., "`grpo`: policy gradient in groups. `dpo`: preference pairs.")
    start: str = knob(
        ...,
        "What to start from: a checkpoint directory, the name of a shipped checkpoint, or a recipe and size to train "
        "first: `tts/llasa@smoke`.",
        resume_may_change=True,
    )
    texts: PositiveInt = knob(2000, "Texts to draw from.")
    texts_per_step: PositiveInt = knob(4, "Texts per step and process.")
    group: Annotated[int, Field(ge=2)] = knob(8, "Rollouts per text.")
    pairs: PositiveInt | None = knob(
        None,
        "dpo: roll out every text once, from the start, and learn from this many pairs of its best and worst rollouts, "
        "kept in OUTPUT/pairs.jsonl, over and over; null: from the best and the worst of each step's own rollouts.",
    )
    updates: PositiveInt = knob(1, "Optimizer updates per step.")
    learning_rate: PositiveFloat = knob(1e-6, "Peak learning rate of AdamW.")
    warmup_steps: NonNegativeInt = knob(0, "Steps over which the learning rate rises linearly from 0.")
    final_share: Annotated[float, Field(ge=0.0, le=1.0)] = knob(
        1.0, "Learning rate at the end, as a share of the peak, to which it falls along a cosine; 1: it stays."
    )
    clip_norm: PositiveFloat = knob(1.0, "Largest norm of the gradient; a longer one is scaled down.")
    beta: NonNegativeFloat = knob(0.1, "Strength with which the model is held to its start.")
    clip: tuple[PositiveFloat, PositiveFloat] = knob(
        (0.2, 0.2), "grpo: bounds of the probability ratio, below and above."
    )
    scale: bool = knob(True, "grpo: divide advantages by the standard deviation of their group.")
    compare: Literal["joined", "each"] = knob(
        "joined",
        "grpo: what is compared within a group: the `joined` reward, or `each` reward by itself, its advantages then "
        "added by weight and scaled over the step (GDPO), so that one that varies little still counts by its weight.",
    )
    average: Literal["token", "sequence"] = knob(
        "token",
        "grpo: the loss is a mean over all tokens of a step (`token`), or over its rollouts, of the mean over the "
        "tokens of each (`sequence`), so that long ones count no more than short ones.",
    )
    temperature: PositiveFloat = knob(1.0, "Sampling temperature of the rollouts.")
    max_seconds: PositiveFloat = knob(10.0, "Longest rollout; one that is cut off here is not learned from.")
    rewards: dict[str, PositiveFloat] = knob(
        {"cer": 1.0}, "Weights of the rewards: cer, nll, sim, duration, mos (see docs/training.md)."
    )
    form: Literal["mean", "harmonic"] = knob("mean", "How the rewards are joined; `harmonic` is 0 if one of them is.")
    voices: bool = knob(False, "Speak every text in the voice of another recording of its speaker.")
    verifier: VerifierConfig = knob(VerifierConfig(), "The models that the rewards come from.")
    guards: VerifierConfig | None = knob(None, "Models that measure held-out texts; other models than the verifier's.")
    guard_texts: PositiveInt = knob(16, "Held-out texts that the guards measure.")
    micro_batch: PositiveInt = knob(8, "Rollouts per forward pass; a smaller number needs less memory.")
    validate_every: PositiveInt = knob(50, "Steps between two measurements by the guards.", resume_may_change=True)
    log_every: PositiveInt = knob(1, "Steps between two reports.", resume_may_change=True)
    save_every: PositiveInt = knob(50, "Steps between two saved states.", resume_may_change=True)

    @model_validator(mode="after")
    def _fits(self) -> AlignmentConfig:
        available = {
            "cer": self.verifier.recognizer,
            "nll": self.verifier.likelihood,
            "sim": self.verifier.speaker and self.voices,
            "mos": self.verifier.opinion,
            "duration": True,
        }
        lacking = [name for name in self.rewards if not available.get(name)]
        if lacking:
            raise ValueError(
                f"rewards: the verifier does not measure {lacking} (sim needs verifier.speaker and voices)"
            )
        if self.compare == "each" and self.form != "mean":
            raise ValueError(f"form: {self.form} joins rewards, which `compare: each` keeps apart; leave it out")
        if self.pairs is not None and (self.method != "dpo" or 2 * self.pairs > self.group):
            raise ValueError(f"pairs: {self.pairs} pairs are for dpo, and need a group of {2 * self.pairs} or more")
        for part in ("recognizer", "speaker"):
            guard, own = (getattr(models, part) or "" for models in (self.guards or NO_MODELS, self.verifier))
            if guard and guard.partition(",")[0] == own.partition(",")[0]:  # with any options
                raise ValueError(f"guards.{part}: {guard} gives a reward already; a guard must be another model")
        return self


NO_MODELS = VerifierConfig(recognizer=None)
