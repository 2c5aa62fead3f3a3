"""Base class of metrics: a metric scores one output of one sample, and its summaries aggregate over samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from speech_eval.audio import Audio
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.records import Output, Sample
from speech_eval.statistics.macro import SUBSET
from speech_eval.statistics.summaries import Summary, Unit

__all__ = ["SUBSET", "BadData", "Metric", "ScoringItem", "Summary", "Unit", "Unscorable", "Value"]


class Unscorable(SpeechEvalError):
    """The output exists but this metric has no value for it (silence, too short). Counted as a failure of the model,
    unless the metric has no value for the dataset's own recording either.

    `compat` holds the parts that the original computes nevertheless.
    """

    def __init__(self, problem: str, remedy: str = "", compat: dict[str, float] | None = None) -> None:
        super().__init__(problem, remedy)
        self.compat = compat


class BadData(BadInput):
    """The dataset gives this metric nothing to compare an answer with. The sample leaves the metric's N."""


@dataclass(frozen=True)
class ScoringItem:
    """Everything a metric may read of one sample. Audio is decoded on first use and resampled once per rate.

    `hypothesis` is the model's text, or the scoring recognizer's transcript of the model's speech.
    """

    sample: Sample
    output: Output
    hypothesis: str | None = None
    original_hypothesis: str | None = None  # that recognizer's transcript of the dataset's recording
    load_audio: Callable[[int | None], Audio] | None = None
    load_prompt: Callable[[int | None], Audio] | None = None
    load_reference: Callable[[int | None], Audio] | None = None
    stated_seconds: float | None = None  # the recording's length, where a record has no audio file
    ratings: Mapping[str, float] | None = None  # rater to vote, of a listening test

    def audio(self, rate: int | None = None) -> Audio:
        """The model's speech."""
        if self.load_audio is None:
            raise Unscorable(f"Sample {self.sample.id} has no output audio.", "Check the model's output.")
        return self.load_audio(rate)

    def prompt(self, rate: int | None = None) -> Audio:
        """The voice prompt the model was given."""
        return _required(self.load_prompt, self.sample.id, "prompt audio")(rate)

    def reference(self, rate: int | None = None) -> Audio:
        """The dataset's own recording of the sample."""
        return _required(self.load_reference, self.sample.id, "reference audio")(rate)

    def reference_seconds(self) -> float:
        """Duration of the dataset's own recording."""
        return self.reference().seconds if self.stated_seconds is None else self.stated_seconds


def _required(load: Callable[[int | None], Audio] | None, sample_id: str, what: str) -> Callable[[int | None], Audio]:
    if load is None:
        raise BadData(f"Sample {sample_id} has no {what}.", "Use a dataset that has it.")
    return load


@dataclass(frozen=True)
class Value:
    """A metric's score of one sample: `parts`, the numbers that summaries aggregate, and `detail`, which explains them.

    `compat` holds the parts that the original benchmark computes, where they differ from `parts`.
    """

    parts: dict[str, float]
    detail: dict[str, Any] | None = None
    compat: dict[str, float] | None = None


class Metric(ABC):
    """A metric with its protocol in its id, such as `wer[seed-tts-eval@2024-06]`."""

    id: ClassVar[str]
    version: ClassVar[int] = 1
    description: ClassVar[str]
    source: ClassVar[str]  # where the formula comes from
    needs: ClassVar[frozenset[str]] = (
        frozenset()
    )  # of: (original-)hypothesis, audio, prompt, reference, text, timing, ratings
    columns: ClassVar[frozenset[str]] = frozenset()  # keys of `Sample.metadata` that it reads; a run hides the others
    requires: ClassVar[tuple[frozenset[str], ...]] = ()  # of each set, a sample's metadata must have one key
    summaries: ClassVar[tuple[Summary, ...]]
    judged: ClassVar[bool] = False  # asks a judge, whose replies are the `scores` of a value's detail
    heavy: ClassVar[bool] = False  # loads a model, so that scoring uses worker processes
    extra: ClassVar[str] = ""  # the extra of this package that it needs
    assets: ClassVar[tuple[str, ...]] = ()  # weights of the asset catalog that it reads

    @classmethod  # noqa: B027 - most metrics need no files from the user
    def ready(cls) -> None:
        """Called before a run begins. Raises `NotFetched` where the user has to provide a file or variable first."""

    @classmethod
    def repository(cls) -> str:
        """The repository of the hub, ORG/REPO, from which its package fetches weights by itself; empty for none."""
        return ""

    @classmethod  # noqa: B027 - most metrics ask no server
    def reachable(cls) -> None:
        """Called once before the first answer of a run; may connect. Raises where a judge cannot be asked."""

    @classmethod
    def caution(cls, sample: Sample) -> str:
        """Why this metric's number misleads for such a sample, in one line; empty where it does not."""
        return ""

    @classmethod
    def visible(cls, sample: Sample) -> Sample:
        """`sample` with only those columns of the dataset that the metric declares, and the name of its subset.

        The engine scores and aggregates such samples, so that no other column can change a number. `speech-eval metric`
        passes whole records, in which fields such as aligned words describe the answer.
        """
        kept = {name: value for name, value in sample.metadata.items() if name in cls.columns or name == SUBSET}
        return sample if len(kept) == len(sample.metadata) else sample.model_copy(update={"metadata": kept})

    @classmethod
    def lacks(cls, sample: Sample) -> str:
        """What the metric needs of every sample and this one does not have; empty where it has all."""
        if "text" in cls.needs and sample.text is None:
            return "reference text"
        if "prompt" in cls.needs and sample.prompt_audio is None:
            return "voice prompt"
        absent = [names for names in cls.requires if sample.metadata.keys().isdisjoint(names)]
        return f"column '{' or '.join(sorted(absent[0]))}'" if absent else ""

    def scorer(self) -> str:
        """Identity of the weights or judge behind the number; empty for a formula."""
        return ""

    @abstractmethod
    def score(self, item: ScoringItem) -> Value:
        """Score one output of status `ok`, or of status `empty` where the metric can (an empty transcript has a WER).

        Raises `Unscorable` where the answer has no value, `BadData` where the dataset gives nothing to compare it with.
        Another exception is a defect of the metric: the sample is not counted, and the scoring stops if none is scored.
        """

    @abstractmethod
    def failure(self, sample: Sample) -> dict[str, float]:
        """The parts of a missing, failed or unscorable output in `strict`: the worst. Empty for quantiles alone."""

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        """The parts of such an output in `compat`; None where the original leaves it out."""
        return None

    def pool(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """Combine units, of which each is one sample at first, where the protocol scores several samples as one (the
        chunks of a call)."""
        return units

    def reported(self, units: Sequence[Unit]) -> Sequence[Summary]:
        """The summaries over pooled units: `summaries`, and those that depend on the data (one per codebook)."""
        return self.summaries
