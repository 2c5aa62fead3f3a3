"""What the outputs of a run lack: the jobs of scoring, and scores that are forgotten."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speech_eval.adapters import spec as modelspec
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.ratings import Heard, heard_of
from speech_eval.engine.run_directory import Answer, RunDirectory
from speech_eval.engine.task import Task
from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Output, Sample, Transcript


@dataclass(frozen=True)
class Vote:
    """What a judge said of one output: `replies` (None where it was not asked), and its identity."""

    output: str
    replies: tuple[str, ...] | None
    judge: str


Votes = dict[str, dict[str, Vote]]  # by sample and metric


@dataclass(frozen=True)
class Job:
    """What a scoring process needs to score one sample."""

    sample: Sample
    output: Output
    audio: Path | None  # the output's
    metrics: tuple[str, ...]
    recognizer: str | None  # model spec; only where a transcript has to be made
    transcript: Transcript | None
    hears_original: bool  # whether the dataset's recording is to be transcribed too
    original: str | None  # what is known to be heard in it
    audio_files: dict[str, Path]  # of: prompt, reference
    plugins: tuple[str, ...]
    votes: dict[str, Vote] = field(default_factory=dict)  # by metric: what a judge has said of this output
    heard: dict[str, Heard] = field(default_factory=dict)  # by metric: what people have said of this output


@dataclass(frozen=True, slots=True)
class Todo:
    """What one output, named by its digest, lacks: scores, and if it `listens` a transcript by the recognizer."""

    output: str
    metrics: tuple[str, ...]
    transcript: Transcript | None
    listens: bool


@dataclass(frozen=True)
class Jobs:
    """The jobs of a task. Outputs are read one at a time, for a large run does not fit into memory."""

    todo: dict[str, Todo]  # by sample
    make: Callable[[Output, Todo], Job]
    outputs: Callable[[], Iterator[Output]]

    def __len__(self) -> int:
        return len(self.todo)

    def __contains__(self, sample: object) -> bool:
        return sample in self.todo

    def __iter__(self) -> Iterator[Job]:
        left = dict(self.todo)
        for output in self.outputs():
            if (found := left.get(output.id)) and output.digest() == found.output:
                yield self.make(output, left.pop(output.id))


def jobs_of(
    run: RunDirectory,
    task: Task,
    metric_ids: Sequence[str],
    dataset: Dataset,
    recognizer: str | None,
    plugins: Sequence[str],
    votes: Votes,
) -> Jobs:
    answers = run.answers(task.name)
    classes: dict[str, type[Metric]] = {name: METRICS.get(name) for name in metric_ids}
    compares = any("original-hypothesis" in cls.needs for cls in classes.values())
    originals = _originals(run, task, recognizer) if compares else {}
    rated = {name for name, cls in classes.items() if "ratings" in cls.needs}
    digests = {key: answer.digest() for key, answer in answers.items()}
    heard = heard_of(run.ratings(task.name), digests) if rated else {}
    todo = _lacking(run, task, classes, dataset, answers, recognizer)
    samples = {sample.id: sample for sample in dataset.samples if sample.id in todo}

    def job(output: Output, lacks: Todo) -> Job:
        sample = samples[output.id]
        return Job(
            sample=sample,
            output=output,
            audio=None if output.audio is None else run.audio_path(output.audio),
            metrics=lacks.metrics,
            recognizer=recognizer if lacks.listens else None,
            transcript=lacks.transcript,
            hears_original=compares,
            original=originals.get(sample.id),
            audio_files=_audio_files(dataset, sample, classes),
            votes={name: vote for name, vote in votes.get(sample.id, {}).items() if vote.output == lacks.output},
            heard={name: votes for name, votes in heard.get(sample.id, {}).items() if name in rated},
            plugins=tuple(plugins),
        )

    return Jobs(todo, job, lambda: run.each_output(task.name))


def _lacking(
    run: RunDirectory,
    task: Task,
    classes: dict[str, type[Metric]],
    dataset: Dataset,
    answers: dict[str, Answer],
    recognizer: str | None,
) -> dict[str, Todo]:
    """The outputs that lack scores, by sample, in the order of the dataset."""
    transcripts, held = run.transcripts(task.name), _held(run, task, sound=True)
    hearing = {name for name, cls in classes.items() if "hypothesis" in cls.needs}
    compares = any("original-hypothesis" in cls.needs for cls in classes.values())
    todo = {}
    for sample in dataset.samples:
        if (answer := answers.get(sample.id)) is None:
            continue
        digest, transcript = answer.digest(), transcripts.get(sample.id)
        spoken = bool(hearing) and answer.wordless
        if transcript and (transcript.output != digest or not _same_recognizer(transcript, recognizer)):
            transcript = None
        if transcript and compares and transcript.original is None and sample.audio is not None:
            transcript = None
        wanted = tuple(
            name
            for name in classes
            if held.get(name, {}).get(sample.id) != digest or (spoken and name in hearing and transcript is None)
        )
        listens = spoken and transcript is None and not hearing.isdisjoint(wanted)
        if listens and recognizer is None:
            raise BadInput(f"Task '{task.name}' scores speech by text and names no recognizer.", "Give --recognizer.")
        if wanted:
            todo[sample.id] = Todo(digest, wanted, transcript if spoken else None, listens)
    return todo


def _held(run: RunDirectory, task: Task, *, sound: bool) -> dict[str, dict[str, str]]:
    """The digest of the output that each stored score is of, by metric and sample; without scores of what broke the
    scorer where only `sound` ones are asked for."""
    held: dict[str, dict[str, str]] = {}
    for score in run.each_score(task.name):
        usable = not sound or score.status != "unscored"
        held.setdefault(score.metric, {})[sys.intern(score.id)] = sys.intern(score.output) if usable else ""
    return held


def _originals(run: RunDirectory, task: Task, recognizer: str | None) -> dict[str, str]:
    """The transcripts of the recordings at other points of the same sweep, whose recordings are the same."""
    if task.point is None:
        return {}
    records = run.manifest().tasks.items()
    points = [name for name, record in records if record.sweep and record.sweep.task == task.point.task]
    lines = [line for name in points for line in run.transcripts(name).values() if _same_recognizer(line, recognizer)]
    return {line.id: line.original for line in lines if line.original is not None}


def _same_recognizer(transcript: Transcript, recognizer: str | None) -> bool:
    return recognizer is not None and transcript.scorer.rpartition("@")[0] == modelspec.redact(recognizer)


def _audio_files(dataset: Dataset, sample: Sample, classes: dict[str, type[Metric]]) -> dict[str, Path]:
    needs = frozenset().union(*(cls.needs for cls in classes.values()))
    files = {}
    if "prompt" in needs and sample.prompt_audio is not None:
        files["prompt"] = dataset.located(sample.prompt_audio)
    if "reference" in needs and sample.audio is not None:
        files["reference"] = dataset.located(sample.audio)
    return files


def scored(run: RunDirectory, task: Task, metric_ids: Sequence[str], dataset: Dataset) -> bool:
    """Whether every stored output has a score by every metric."""
    answers, held = run.answers(task.name), _held(run, task, sound=False)
    asked = [sample.id for sample in dataset.samples if sample.id in answers]
    return all(held.get(name, {}).get(key) == answers[key].digest() for name in metric_ids for key in asked)


def votes_of(run: RunDirectory, task: Task, metric_ids: Sequence[str]) -> Votes:
    """The replies of judges that the scores of a run hold."""
    judged = {name for name in metric_ids if METRICS.get(name).judged}
    found: Votes = {}
    for score in run.each_score(task.name) if judged else ():
        if score.metric in judged:
            replies = score.detail.get("scores")
            said = tuple(map(str, replies)) if isinstance(replies, list) else None
            found.setdefault(score.id, {})[score.metric] = Vote(score.output, said, score.scorer)
    return found


def forget_scores(run: RunDirectory, task: Task, metric_ids: Sequence[str]) -> None:
    """Remove the scores of these metrics, and the transcripts where one of them reads those."""
    kept = {(score.id, score.metric): score for score in run.each_score(task.name) if score.metric not in metric_ids}
    run.replace("scores", task.name, kept.values())
    if any("hypothesis" in METRICS.get(name).needs for name in metric_ids):
        run.replace("transcripts", task.name, [])
