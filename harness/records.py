"""The records of the harness: every line it stores is one of these, and each carries its schema version.

Records are frozen pydantic models: unknown fields are an error, so a malformed file fails where it is read.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

SCHEMA_VERSION = 2  # of a run directory's manifest, outputs, transcripts and scores
DATA_VERSION = 1  # of samples and dataset headers: part of a dataset's sha256
RESULTS_VERSION = 1  # of results.json


class Record(BaseModel):
    """Base of all stored records."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def line(self) -> str:
        """The record as one canonical JSON line (sorted keys, no white space, `null` fields left out)."""
        data = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    def digest(self) -> str:
        """sha256 of the canonical line."""
        return hashlib.sha256(self.line().encode()).hexdigest()


# ---------------------------------------------------------------------------------------------- datasets


class Sample(Record):
    """One item of a dataset: what a model is given and what its output is held against.

    Paths are relative to the dataset's root. `text` is the reference transcript for recognition and the text to
    speak for synthesis. `cluster` groups samples that are not independent (speaker, conversation). `metadata` holds the
    dataset's other columns; a metric reads only those that it declares (`Metric.columns`). `round` and `item` are set
    by the harness where a timed task asks for each sample several times (`speech_eval.engine.interleave`).
    """

    schema_version: int = DATA_VERSION
    id: str = Field(min_length=1)
    text: str | None = None
    language: str = "en"
    audio: str | None = None
    audio_sha256: str | None = None
    prompt_audio: str | None = None
    prompt_audio_sha256: str | None = None
    prompt_text: str | None = None
    speaker: str | None = None
    cluster: str | None = None
    round: int | None = None
    item: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class DatasetInfo(Record):
    """The header of a dataset manifest: name, source and license."""

    schema_version: int = DATA_VERSION
    name: str
    version: str
    description: str
    languages: list[str]
    license: str
    source: str
    attribution: str = ""
    assets: list[str] = Field(default_factory=list)
    synthetic: bool = False


# ---------------------------------------------------------------------------------------------- outputs


class StoredAudio(Record):
    """An audio file of a run directory: `path` relative to it, `rate` in Hz, `frames` samples per channel."""

    path: str
    sha256: str
    rate: int
    frames: int
    peak: float


class Chunk(Record):
    """One streamed chunk: arrival `seconds` after the request was sent (of a codec: after the codes were complete), and
    the number of samples in it. `text` is the piece of a reply, or all that a recognizer has heard so far."""

    seconds: float
    frames: int
    text: str | None = None


class Timing(Record):
    """Times of one timed answer in seconds, by the adapter's clock.

    `wall_seconds` is the request's share of the time in which any request was under way; a codec has `encode_seconds`
    and `decode_seconds` too.
    """

    wall_seconds: float | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None


class CodebookRecord(Record):
    """The codes of one codebook in one recording.

    `frames` codes at `frame_rate` Hz from a codebook of `size` entries. `histogram` holds pairs [count, number of codes
    that occur so often], `counts` which codes those are (`speech_eval.metrics.codec.counts`).
    """

    frames: int
    frame_rate: float
    size: int
    histogram: list[tuple[int, int]]
    counts: str | None = None


class CodesRecord(Record):
    """The codes of one recording of `seconds`, one record per codebook."""

    seconds: float
    codebooks: list[CodebookRecord]


class TokenModelRecord(Record):
    """What a language model trained on a codec's codes makes of one recording, with the training it had.

    `bits` and `bits_given_text` are what it needs for the codes, `unigram_bits` and `bigram_bits` what counting needs;
    `ended` says whether its own speech ended by itself. `corpus` is a digest of the texts and lengths of what was read.
    """

    bits: float
    bits_given_text: float
    unigram_bits: float | None = None
    bigram_bits: float | None = None
    ended: bool | None = None
    parameters: int | None = None
    vocabulary: str | None = None
    audio_seconds: float | None = None
    flops: float | None = None
    steps: int | None = None
    stopped_by: str | None = None  # of the first protocol
    corpus: str | None = None
    corpus_seconds: float | None = None
    passes: int | None = None


class SpeechProbabilities(Record):
    """A duplex agent's speech probability for each frame of `frame_seconds` of the user's channel."""

    frame_seconds: float
    values: list[float]


Status = Literal["ok", "empty", "failed", "invalid"]
ScoreStatus = Literal["ok", "failed", "invalid", "unscored"]
NOT_COUNTED = ("invalid", "unscored")  # scores of these are in no number


class Output(Record):
    """What a model answered for one sample, stored raw, before any normalization.

    `seconds` is the wall time of the answer (an equal share of its batch's). The harness measures `seconds`, `chunks`,
    `timing` and `codes`; `metadata` holds only what the adapter says of its answer (`Speech.metadata`). A failed sample
    keeps its `error`, and the first ones of a kind their `traceback`; nothing is scored in its place. The model is not
    asked for an `invalid` sample: its data is defective, as `error` says, and no number counts it.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    task: str
    status: Status
    seed: int
    text: str | None = None
    audio: StoredAudio | None = None
    error: str | None = None
    traceback: str | None = None
    seconds: float | None = None
    chunks: list[Chunk] | None = None
    timing: Timing | None = None
    codes: CodesRecord | None = None
    token_model: TokenModelRecord | None = None
    speech_probabilities: SpeechProbabilities | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Transcript(Record):
    """The raw transcript of a sample's audio by the scoring recognizer; `original` is that of the dataset's recording,
    where a metric compares the two."""

    schema_version: int = SCHEMA_VERSION
    id: str
    scorer: str
    output: str
    text: str
    original: str | None = None


class Score(Record):
    """One metric on one sample. `parts` holds numbers that aggregate, `detail` what explains them.

    `failed` is the model's failure and counts as the worst. Two statuses leave the sample out of the metric's N, with
    the `reason` in `detail`: `invalid` where the dataset gives nothing to compare with, `unscored` where the scorer
    broke.
    `compat` holds the parts that the original benchmark's own accounting gives; without it, a scored sample counts
    there with `parts` and a failed one is left out.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    metric: str
    scorer: str = ""
    output: str
    status: ScoreStatus
    parts: dict[str, float]
    compat: dict[str, float] | None = None
    detail: dict[str, Any] = Field(default_factory=dict)

    def compat_parts(self) -> dict[str, float] | None:
        """The parts that count in `compat`; None where the sample is left out."""
        if self.compat is not None:
            return self.compat
        return self.parts if self.status == "ok" else None


# ---------------------------------------------------------------------------------------------- results


class Estimate(Record):
    """A number (null: undefined) with its 95 % interval over `n` samples: bootstrap; of ratings by rater and sample."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int


class Formula(Record):
    """How a number adds up from its samples' parts, as in `metrics.base.Summary`. A function names no parts."""

    estimator: Literal["mean", "ratio", "quantile", "function"]
    parts: list[str]
    scale: float = 1.0

    @model_validator(mode="after")
    def _complete(self) -> Formula:
        needed = {"mean": 1, "ratio": 2, "quantile": 1, "function": 0}[self.estimator]
        if len(self.parts) < needed:
            raise ValueError(f"a {self.estimator} has {needed} parts, here are {len(self.parts)}")
        return self


class MetricResult(Record):
    """One number of a task: `strict` scores every failure as the worst, `compat` excludes failures as the originals do.

    `axis` is the group of the number in a task that reports several axes separately. Neither number counts `invalid`
    samples, whose data gives the metric nothing to compare with, and `unscored` ones, on which the scorer broke.
    """

    metric: str
    name: str
    unit: str
    direction: Literal["lower", "higher"]
    primary: bool = False
    headline: bool = True
    scorer: str = ""
    axis: str = ""
    formula: Formula | None = None
    invalid: int = 0
    unscored: int = 0
    strict: Estimate
    compat: Estimate


class Counts(Record):
    """Accounting of a task: `expected` comes from the dataset, and the other five add up to it.

    `invalid` samples have defective data: the model was not asked, and no number counts them.
    """

    expected: int
    ok: int
    empty: int
    failed: int
    missing: int
    invalid: int = 0


class SweepPoint(Record):
    """One point of a sweep: `task` at `value`, if it has one, on `axis`: `codec-depth` at depth 4, `asr` in a room."""

    task: str
    axis: str
    value: int | float | None = None

    @property
    def count(self) -> int:  # on an axis of whole numbers, such as depth
        return int(self.value or 0)


class TaskResult(Record):
    """All numbers of one task for one model, or of one point of its sweep: then `task` is `codec-depth@depth=4`.

    `under` is the condition of the recordings, of `speech_eval.signal.conditions`, or empty; `sweep` is then its point.
    `ranked` is false where the task reports several axes separately: none of its numbers is `primary`, and rows are
    ordered by the first one. `conditions` are those of a timed task: `concurrency`, `warm_up` requests, `rounds`,
    `serialized`.
    """

    task: str
    version: int
    protocol: str
    interface: str
    dataset: str
    dataset_sha256: str
    language: list[str]
    limit: int | None = None
    leaderboard_grade: bool
    ranked: bool = True
    under: str = ""
    sweep: SweepPoint | None = None
    conditions: dict[str, int | bool] = Field(default_factory=dict)
    counts: Counts
    metrics: list[MetricResult]


class Results(Record):
    """`results.json`: nothing in it depends on time, machine or worker count. `model` is the model spec, `label` what
    tables call the run (see `Manifest`)."""

    schema_version: int = RESULTS_VERSION
    model: str
    label: str = ""
    seed: int
    tasks: list[TaskResult]

    @property
    def name(self) -> str:
        """What tables call the run."""
        return self.label or self.model


# ---------------------------------------------------------------------------------------------- manifest


class ModelInfo(Record):
    """What identifies a model: its name, revision and the digest of its weights.

    An adapter leaves out `spec`, `interfaces`, `options` and `code`, the sha256 of each file of the user's own code;
    the harness fills them in.
    """

    spec: str = ""
    name: str
    interfaces: list[str] = Field(default_factory=list)
    revision: str = ""
    weights_sha256: str = ""
    license: str = ""
    parameters: int | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    code: dict[str, str] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)


class DatasetRecord(Record):
    """The data of a task: `location` is the name or path they were loaded from."""

    name: str
    location: str
    version: str
    sha256: str
    license: str = ""
    source: str = ""
    attribution: str = ""


# How a conversation model is asked: the recording, its words as the data has them written, or a transcript of it.
Ask = Literal["speech", "text", "transcript"]


class TaskRecord(Record):
    """What a run asked for in one task, or at one point of its sweep: the identity of the task, its data and scorers.

    `metrics` are metric ids; `ask` is how a conversation model was asked (see `Ask`), `under` the condition of the
    recordings it was given; `recognizer` is the (redacted) spec of the scoring recognizer; `axes` maps each axis
    that is reported separately to its metric ids; `conditions` are those of a timed task.
    """

    version: int
    protocol: str
    interface: str
    primary: str
    metrics: list[str]
    ask: Ask = "speech"
    under: str = ""
    recognizer: str | None = None
    limit: int | None = None
    samples: int
    note: str = ""
    sweep: SweepPoint | None = None
    axes: dict[str, list[str]] = Field(default_factory=dict)
    conditions: dict[str, int | bool] = Field(default_factory=dict)
    dataset: DatasetRecord

    def task_name(self, name: str) -> str:
        """The task behind this record, which stands under `name`: that of the sweep where it is one point of one, and
        the one that is asked as speech where it is asked otherwise."""
        return (self.sweep.task if self.sweep else name).removesuffix(f"@{self.ask}")


class PluginRecord(Record):
    """A Python file of the user's that a run loaded: its absolute path and the sha256 of its content then."""

    path: str
    sha256: str


class WarmUp(Record):
    """Requests before the recorded ones: how many, how many failed, and the `seconds` of the others as they ended."""

    requests: int
    failed: int
    seconds: list[float]


class Event(Record):
    """One thing that happened in a run at the time `at` (ISO 8601).

    `generated` and `scored` name their `task` and how many `seconds` they took. A timed task has one `generated` event
    per `round`; `call` identifies the call of `speech-eval run`, and `load_average` is that of the machine.
    """

    event: Literal["started", "regenerated", "generated", "scored", "finished"]
    at: str
    task: str | None = None
    tasks: list[str] | None = None
    seconds: float | None = None
    workers: int | None = None
    round: int | None = None
    call: str | None = None
    load_average: float | None = None
    warm_up: WarmUp | None = None

    @model_serializer(mode="wrap")
    def _stated(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the fields that this kind of event does not have."""
        return {name: value for name, value in serialize(self).items() if value is not None}


class Hardware(Record):
    """The machine: processor, cores, memory in GiB, accelerators."""

    machine: str = ""
    processor: str = ""
    cores: int | None = None
    memory_gib: float | None = None
    gpus: list[str] = Field(default_factory=list)


class GitState(Record):
    """The commit of the source tree that the harness ran from, and whether tracked files differed from it."""

    commit: str
    dirty: bool


class Environment(Record):
    """The software and hardware of a run. `packages` are the installed distributions, name to version, of every module
    that was loaded where answers or scores were made."""

    python: str
    platform: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    hardware: Hardware = Hardware()
    git: GitState | None = None


class Manifest(Record):
    """`manifest.json`: everything that makes a run's numbers comparable, and what depends on the machine.

    `label` is what tables call the run: the user's label, else the name of a model that is not one of the catalog;
    empty for those, whose spec is their name.
    """

    schema_version: int = SCHEMA_VERSION
    harness_version: str
    label: str = ""
    model: ModelInfo
    seed: int
    tasks: dict[str, TaskRecord]
    environment: Environment
    plugins: list[PluginRecord] = Field(default_factory=list)
    events: list[Event] = Field(default_factory=list)
