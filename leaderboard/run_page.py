"""The content of a run's page: numbers, failures, histograms, and samples to read and to hear."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speech_eval.analysis import report
from speech_eval.analysis.human_baseline import uncalibrated
from speech_eval.analysis.subsets import within
from speech_eval.analysis.text_diff import Piece, difference, rate
from speech_eval.engine import run_files
from speech_eval.engine.run_directory import MANIFEST, Parts
from speech_eval.leaderboard.boards import is_policy_point, leads
from speech_eval.leaderboard.histograms import Histogram, histograms, sample_value
from speech_eval.leaderboard.listeners import over_samples
from speech_eval.leaderboard.load import Run, TaskLines, Whole
from speech_eval.leaderboard.media import OUTPUT, AudioShelf, Clip
from speech_eval.leaderboard.talk import Talk, talk
from speech_eval.records import MetricResult, Output, Results, Sample, Score, TaskResult, Transcript
from speech_eval.text.files import LARGEST_RECORD

MAX_FAILURES = 100
COMMON = 6
# what a sample's own recording is to each interface: what the output is compared with, or what the model hears
_RECORDING = {
    "AudioCodec": "Original",
    "SpeechSynthesizer": "Original",
    "AudioLanguageModel": "Question",
    "DuplexAgent": "User",
}
_CHANNELS = (_RECORDING["DuplexAgent"], OUTPUT)
_MAX_PARTS = 24  # numbers of one sample by one metric
_MAX_TEXT = 4000  # characters of one text; a runaway answer must not make the page unreadable


@dataclass(frozen=True)
class Failure:
    """A sample without a usable answer, or one that a metric could not score."""

    id: str
    status: str
    error: str
    text: str


@dataclass(frozen=True)
class Text:
    """A text of a sample, as stored: what it is, the text, and which recognizer wrote it where one did."""

    label: str
    text: str
    by: str = ""


@dataclass(frozen=True)
class SampleView:
    """One sample: what the model was given in writing, its `answer`, and the difference of the normalized texts as
    `pieces` where there is one. `talk` draws a conversation of which both channels can be played. `common`: every run
    on this data shows it."""

    id: str
    language: str
    speaker: str
    given: list[Text]
    answer: Text
    pieces: list[Piece]
    parts: list[tuple[str, str]]
    clips: list[Clip]
    talk: Talk | None
    common: bool


@dataclass(frozen=True)
class TaskView:
    """A task of a run. `failures_total` and `samples_total` count those that are not shown too; `others` are samples
    that this page does not show and that pages of other runs play."""

    result: TaskResult
    uncalibrated: tuple[str, ...]  # metric ids
    headline: list[MetricResult]
    subsets: dict[str, MetricResult]  # the primary number within each subset of the data
    folded: list[MetricResult]
    facts: list[tuple[str, str]]
    failures: list[Failure]
    failures_total: int
    samples: list[SampleView]
    samples_total: int
    stored: bool
    histograms: list[Histogram]
    others: list[SampleView]


def task_view(
    run: Run,
    result: TaskResult,
    lines: TaskLines,
    shelf: AudioShelf,
    max_samples: int,
    also: Collection[str] = (),
    humans: Sequence[Results] = (),
) -> TaskView:
    """Everything the page shows of one task. `also` names samples of other runs' pages, to be heard beside these;
    `humans` are the results of human recordings, which calibrate others."""
    failures = _failures(lines)
    by_id = {sample.id: sample for sample in lines.samples}
    chosen = choose(run, result, lines, max_samples)
    common = set(_common(lines))
    rest = [name for name in sorted(set(also) - set(chosen)) if name in by_id and _answered(lines, name)]
    whole = lines.whole({*chosen, *rest})
    views = {name: _sample(run, result, by_id[name], whole, shelf, name in common) for name in [*chosen, *rest]}
    headline, folded = _listed(result)
    main = report.primary(result)
    parts = within(result, main) if main else {}
    return TaskView(
        result=result,
        uncalibrated=uncalibrated(result, humans),
        headline=headline,
        subsets=parts,
        folded=[metric for metric in folded if metric not in parts.values()],
        facts=[*_task_facts(run, result), *_listeners(result, lines)],
        failures=failures[:MAX_FAILURES],
        failures_total=len(failures),
        samples=[views[name] for name in chosen],
        samples_total=sum(_answered(lines, sample.id) for sample in lines.samples),
        stored=bool(lines.outputs),
        histograms=histograms(result, lines),
        others=[views[name] for name in rest],
    )


def _listed(result: TaskResult) -> tuple[list[MetricResult], list[MetricResult]]:
    """The numbers of the table, axis by axis where a task reports axes: those shown at once, and the others."""
    axes = list(dict.fromkeys(metric.axis for metric in result.metrics))
    table = [metric for metric in result.metrics if not is_policy_point(metric)]
    table.sort(key=lambda metric: (axes.index(metric.axis), not metric.primary, not metric.headline))
    first: list[MetricResult] = []
    for metric in table:
        if metric.primary or leads(metric, [other.axis for other in first]):
            first.append(metric)
    return first or table, [metric for metric in table if first and metric not in first]


def choose(run: Run, result: TaskResult, lines: TaskLines, max_samples: int) -> list[str]:
    """Ids of the samples a page shows: the worst first, then those that every run on the same data shows."""
    names = [sample.id for sample in lines.samples if _answered(lines, sample.id)]
    common = _common(lines) if max_samples > COMMON else []
    worst = _worst_first(names, lines, _sorting(run, result))[: max_samples - len(common)]
    return worst + [name for name in common if name not in worst]


def _sorting(run: Run, result: TaskResult) -> MetricResult | None:
    """The number that orders samples: the primary one, which the manifest names for tasks without ranks."""
    record = run.record(result.task)
    named = record.primary if record else ""
    own = (metric for metric in result.metrics if named in (metric.metric, f"{metric.metric}/{metric.name}"))
    return report.primary(result) if result.ranked else next(own, report.primary(result))


def _answered(lines: TaskLines, name: str) -> bool:
    output = lines.outputs.get(name)
    return output is not None and output.status == "ok"


def _common(lines: TaskLines) -> list[str]:
    """The same few samples whatever the run: those whose ids hash lowest, where they were answered."""
    ranked = sorted((hashlib.sha256(sample.id.encode()).digest(), sample.id) for sample in lines.samples)
    return [name for _, name in ranked[:COMMON] if _answered(lines, name)]


def _task_facts(run: Run, result: TaskResult) -> list[tuple[str, str]]:
    record = run.record(result.task)
    data = run.dataset(result.task)
    facts = [
        ("Protocol", result.protocol),
        ("Interface", result.interface),
        ("Dataset", f"{result.dataset} {data.version if data else ''}".strip()),
        ("Dataset sha256", result.dataset_sha256),
        ("License", data.license if data else ""),
        ("Source", data.source if data else ""),
        ("Attribution", data.attribution if data else ""),
        ("Language", ", ".join(result.language)),
        ("Limit", result.limit),
        ("Recordings", result.under and f"under {result.under}"),
        ("Recognizer", record.recognizer if record else ""),
        ("Note", record.note if record else ""),
    ]
    return _stated(facts)


def _listeners(result: TaskResult, lines: TaskLines) -> list[tuple[str, str]]:
    return [(f"{found.people} and {found.other}", found.text) for found in over_samples(result, lines)]


_NOT_OK = {"failed": "not scorable", "invalid": "defective data", "unscored": "scorer broke"}


def _failures(lines: TaskLines) -> list[Failure]:
    found = []
    for sample in lines.samples:
        output = lines.outputs.get(sample.id)
        text = clip_text(sample.text or "")
        if output is None:
            found.append(Failure(sample.id, "missing", "no output is stored", text))
        elif output.status != "ok":
            kind = "defective data" if output.status == "invalid" else output.status
            found.append(Failure(sample.id, kind, clip_text(output.error or "the answer was empty"), text))
        else:
            for metric, score in lines.of(sample.id):
                if score.status != "ok":
                    reason = clip_text(f"{metric}: {score.detail.get('reason', 'no value')}")
                    found.append(Failure(sample.id, _NOT_OK[score.status], reason, text))
    return found


def _worst_first(names: Sequence[str], lines: TaskLines, primary: MetricResult | None) -> list[str]:
    ranked = []
    for name in names:
        own = None if primary is None else lines.scores.get((name, primary.metric))
        badness = _badness(own, primary) if own and primary else None
        details = [(metric, score.detail) for metric, score in lines.of(name)] if badness is None else []
        if pair := _compared(details, primary):
            badness = rate(pair[0], difference(*pair))
        ranked.append((0.0 if badness is None else -badness, name))
    return [name for _, name in sorted(ranked)]


def _badness(score: Parts, primary: MetricResult) -> float | None:
    """How bad a sample's score is (higher is worse); None where its parts do not give the value."""
    if score.status != "ok":
        return float("inf") if score.status == "failed" else None
    value = sample_value(score.parts, primary)
    return value if value is None or primary.direction == "lower" else -value


def _compared(details: Sequence[tuple[str, Mapping[str, Any]]], primary: MetricResult | None) -> tuple[str, str] | None:
    """The normalized texts that the primary metric compared, else those of any metric that compared texts. `details`
    are those of a sample's scores, each with its metric."""
    for _, detail in sorted(details, key=lambda item: primary is None or item[0] != primary.metric):
        reference, hypothesis = detail.get("reference"), detail.get("hypothesis")
        if isinstance(reference, str) and isinstance(hypothesis, str):
            return clip_text(reference), clip_text(hypothesis)
    return None


def _sample(run: Run, result: TaskResult, sample: Sample, whole: Whole, shelf: AudioShelf, common: bool) -> SampleView:
    output, scores = whole.outputs[sample.id], whole.scores.get(sample.id, [])
    heard = whole.transcripts.get(sample.id)
    pair = _compared([(score.metric, score.detail) for score in scores], report.primary(result))
    clips = clips_of(run, result, sample, output, shelf)
    return SampleView(
        id=sample.id,
        language=sample.language,
        speaker=sample.speaker or "",
        given=given_texts(result, sample),
        answer=_answer(output, heard),
        pieces=difference(*pair) if pair else [],
        parts=[part for score in scores for part in _parts(score)],
        clips=clips,
        talk=_talk(result, sample, output, scores, clips, shelf),
        common=common,
    )


def _talk(
    result: TaskResult, sample: Sample, output: Output, scores: Sequence[Score], clips: list[Clip], shelf: AudioShelf
) -> Talk | None:
    """The drawing of a conversation, whose two channels together become another clip."""
    if result.interface != "DuplexAgent":
        return None
    given = [next((clip for clip in clips if clip.label.startswith(name) and clip.href), None) for name in _CHANNELS]
    if (user := given[0]) is None or (agent := given[1]) is None or (both := shelf.both(user, agent)) is None:
        return None
    clips.append(both)
    heard = shelf.played(user), shelf.played(agent)
    assert heard[0] is not None and heard[1] is not None
    return talk(sample, output, scores, heard[0], heard[1])


def clips_of(run: Run, result: TaskResult, sample: Sample, output: Output, shelf: AudioShelf) -> list[Clip]:
    """The sounds of a sample: its voice prompt, its recording and the model's answer, as far as there are any."""
    before = f", before {result.under}" if result.under else ""
    recording = _RECORDING.get(result.interface, "Input") + before
    clips = [
        shelf.given(run, result.task, f"Voice prompt{before}", sample.prompt_audio, sample.prompt_audio_sha256),
        shelf.given(run, result.task, recording, sample.audio, sample.audio_sha256),
        shelf.output(run, output.audio),
    ]
    return [clip for clip in clips if clip is not None]


def given_texts(result: TaskResult, sample: Sample) -> list[Text]:
    """The written question or prompt, and the text of the sample under the name that its task gives it."""
    text, prompt = sample.text, sample.prompt_text
    if result.interface == "AudioLanguageModel":
        question = prompt if prompt is not None else sample.metadata.get("prompt")
        # a timed task has no reference answer: its text is what the recording says
        texts = [("Question", text)] if result.conditions else [("Question", question), ("Reference", text)]
    elif result.interface == "DuplexAgent":
        texts = [("User says", text)]
    else:
        texts = [("Prompt says", prompt), ("Text" if result.interface == "SpeechSynthesizer" else "Reference", text)]
    return [Text(label, clip_text(found)) for label, found in texts if isinstance(found, str) and found]


def _answer(output: Output, heard: Transcript | None) -> Text:
    if output.text is None and heard is not None:
        return Text("Heard", clip_text(heard.text), clip_text(heard.scorer))
    return Text("Answer", clip_text(output.text or ""))


def _parts(score: Score) -> list[tuple[str, str]]:
    if score.status != "ok":
        return [(score.metric, _NOT_OK[score.status])]
    numbers = [f"{name} {value:.4g}" for name, value in sorted(score.parts.items())]
    more = [f"and {len(numbers) - _MAX_PARTS} more"] if len(numbers) > _MAX_PARTS else []
    return [(score.metric, ", ".join(numbers[:_MAX_PARTS] + more))]


def clip_text(text: str) -> str:
    """The text, or its beginning with a statement of how much is left out."""
    if len(text) <= _MAX_TEXT:
        return text
    return f"{text[:_MAX_TEXT]} … ({len(text) - _MAX_TEXT} more characters)"


def run_facts(run: Run) -> list[tuple[str, str]]:
    """What identifies the run, in words."""
    model = run.manifest.model
    facts: list[tuple[str, Any]] = [
        ("Model", model.name),
        ("Spec", model.spec),
        ("Revision", model.revision),
        ("Weights sha256", model.weights_sha256),
        ("License", model.license),
        ("Parameters", f"{model.parameters:,}" if model.parameters else ""),
        ("Options", _pairs(model.options)),
        ("Interfaces", ", ".join(model.interfaces)),
        ("Seed", run.results.seed),
    ]
    return _stated(facts)


def environment_facts(run: Run) -> list[tuple[str, str]]:
    """Where the run was made, in words."""
    environment = run.manifest.environment
    git = environment.git
    commit = f"{git.commit}{' (with changes)' if git.dirty else ''}" if git else ""
    facts: list[tuple[str, Any]] = [
        ("Harness", run.manifest.harness_version),
        ("Commit", commit),
        ("Python", environment.python),
        ("Platform", environment.platform),
        ("Hardware", _pairs(environment.hardware.model_dump())),
        ("Packages", _pairs(environment.packages)),
    ]
    return _stated(facts)


def _stated(facts: Sequence[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(name, clip_text(str(value))) for name, value in facts if value not in (None, "")]


def _pairs(value: object) -> str:
    if not isinstance(value, dict):
        return str(value or "")
    shown = {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in value.items() if v not in (None, [])}
    return " · ".join(f"{name} {text}" for name, text in shown.items())


def manifest_json(run: Run) -> str:
    """The whole manifest.json of the run directory, as text."""
    return run_files.read(run.path, MANIFEST, LARGEST_RECORD).decode("utf-8", errors="replace")
