"""The records of the harness: every line it stores is one of these, and each carries its schema version.

Records are frozen pydantic models: unknown fields are an error, so a malformed file fails where it is read.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


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
    speak for synthesis. `cluster` groups samples that are not independent (speaker, conversation).
    """

    schema_version: int = SCHEMA_VERSION
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
    metadata: dict[str, Any] = Field(default_factory=dict)


class DatasetInfo(Record):
    """The header of a dataset manifest: what it is, whence it comes, and what may be done with it."""

    schema_version: int = SCHEMA_VERSION
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
    """An audio file of a run directory: `path` relative to it, `rate` in Hz, `frames` samples a channel."""

    path: str
    sha256: str
    rate: int
    frames: int
    peak: float


class Chunk(Record):
    """One streamed chunk: arrival `seconds` after the request was sent (of a codec: after the codes were there), and
    how many samples it brought. `text` is the piece of a reply, or all that a recognizer has heard so far."""

    seconds: float
    frames: int
    text: str | None = None


Status = Literal["ok", "empty", "failed"]


class Output(Record):
    """What a model answered for one sample, stored raw, before any normalization.

    `seconds` is the wall time of the answer (an equal share of its batch); `chunks` only where a task timed a
    stream. A failed sample keeps its `error`; nothing is ever scored in its place.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    task: str
    status: Status
    seed: int
    text: str | None = None
    audio: StoredAudio | None = None
    error: str | None = None
    seconds: float | None = None
    chunks: list[Chunk] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class Transcript(Record):
    """What a scorer's recognizer heard in a sample's audio, raw; `original`: in the dataset's recording of the sample,
    where a metric sets the two side by side."""

    schema_version: int = SCHEMA_VERSION
    id: str
    scorer: str
    output: str
    text: str
    original: str | None = None


class Score(Record):
    """One metric on one sample. `parts` holds numbers that aggregate, `detail` what explains them.

    `compat` holds the parts that the original benchmark's own accounting gives; without it, a scored sample counts
    there with `parts` and a failed one is left out.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    metric: str
    scorer: str = ""
    output: str
    status: Status
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
    """A number with its 95 % bootstrap interval over `n` samples. `value` is null where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int


class Formula(Record):
    """How a number adds up from its samples' parts, as `speech_eval.metrics.base.Summary` says it. A function names no
    parts."""

    estimator: Literal["mean", "ratio", "quantile", "function"]
    parts: list[str]
    scale: float = 1.0


class MetricResult(Record):
    """One number of a task: `strict` scores every failure as the worst, `compat` drops failures as originals do.

    `axis` is the group it belongs to where the task keeps its axes apart. Runs of older versions have no `formula`.
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
    strict: Estimate
    compat: Estimate


class Counts(Record):
    """Accounting of a task: `expected` comes from the dataset's manifest and the other four add up to it."""

    expected: int
    ok: int
    empty: int
    failed: int
    missing: int


class SweepPoint(Record):
    """Which point of a sweep a task result is: `task` at `value` on `axis`, such as `codec-depth` at depth 4."""

    task: str
    axis: str
    value: int


class TaskResult(Record):
    """All numbers of one task for one model, or of one point of its sweep: then `task` is `codec-depth@depth=4`.

    `ranked` is false where the task's axes stand apart: none of its numbers is `primary`, and rows stand in the order
    of its first, which is what a model costs.
    `conditions` are those of a timed task: `concurrency`, `warm_up` requests, `rounds`, `serialized`.
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
    sweep: SweepPoint | None = None
    conditions: dict[str, int | bool] = Field(default_factory=dict)
    counts: Counts
    metrics: list[MetricResult]


class Results(Record):
    """`results.json`: nothing in it depends on time, machine or worker count."""

    schema_version: int = SCHEMA_VERSION
    model: str
    seed: int
    tasks: list[TaskResult]


class ModelInfo(Record):
    """What identifies a model: its spec, revision and the digest of its weights."""

    spec: str
    name: str
    interfaces: list[str]
    revision: str = ""
    weights_sha256: str = ""
    license: str = ""
    parameters: int | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)


class Manifest(Record):
    """`manifest.json`: everything that makes a run's numbers comparable, and what does depend on the machine."""

    schema_version: int = SCHEMA_VERSION
    harness_version: str
    model: ModelInfo
    seed: int
    tasks: dict[str, dict[str, Any]]
    environment: dict[str, Any]
    events: list[dict[str, Any]] = Field(default_factory=list)
