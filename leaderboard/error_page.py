"""The content of a run's page of errors: what goes wrong how often, each with samples to read and to hear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from speech_eval.analysis import report
from speech_eval.analysis.text_diff import Piece, difference
from speech_eval.analysis.word_errors import (
    ClassRate,
    Compared,
    Kind,
    Pattern,
    class_rates,
    loops,
    occurrences,
    patterns,
)
from speech_eval.leaderboard.histograms import sample_value
from speech_eval.leaderboard.load import Run, TaskLines
from speech_eval.leaderboard.media import AudioShelf, Clip
from speech_eval.leaderboard.run_page import Text, clip_text, clips_of, given_texts
from speech_eval.records import Sample, TaskResult

ROWS = 12  # errors of a kind
EXAMPLES = 3  # samples per error
_SHORT = 160  # characters of a text in a row
_ERROR_RATES = ("wer", "cer")  # metrics whose detail holds the two texts that were compared
_TEXTS = ("reference", "original", "hypothesis", "choice", "answer")
NO_OPTION = "no answer found"
TITLES: dict[Kind, str] = {
    "answer": "Wrong answers",
    "confused": "Confused words",
    "deleted": "Deleted phrases",
    "invented": "Invented phrases",
    "loop": "Loops",
    "no speech": "Words where there is no speech",
    "unrelated": "Answers without a word of the reference",
}


@dataclass(frozen=True)
class Example:
    """A sample of an error: the `pieces` of the texts that were compared, else its `texts`. `clips` are empty where the
    page has its share of players."""

    id: str
    language: str
    pieces: list[Piece]
    texts: list[Text]
    clips: list[Clip]


@dataclass(frozen=True)
class Row:
    """An error: what was said and what was heard, how often, in how many samples, and some of them."""

    pattern: Pattern
    examples: list[Example]


@dataclass(frozen=True)
class Section:
    """The errors of one kind; `total` counts the kinds of error that are not shown too."""

    title: str
    rows: list[Row]
    total: int
    occurrences: int


@dataclass(frozen=True)
class ErrorView:
    """The errors of a task. `compared` counts the samples whose texts were compared, `answered` those with a text."""

    result: TaskResult
    sections: list[Section]
    classes: list[ClassRate]
    compared: int
    answered: int


def error_view(run: Run, result: TaskResult, lines: TaskLines, shelf: AudioShelf, most: int) -> ErrorView | None:
    """The errors of a task, with players for at most `most` samples; None where no text was compared and nothing else
    was found."""
    samples = {sample.id: sample for sample in lines.samples}
    answers = _answers(lines)
    first = report.primary(result)
    texts, details = _details(lines, first.metric if first else "")
    compared = [Compared(samples[key], *pair) for key, pair in texts.items() if key in samples]
    found = chain.from_iterable(map(occurrences, compared))
    heard = ((key, *texts.get(key, ("", text))) for key, text in answers.items())
    looped = chain.from_iterable(loops(key, hypothesis, reference) for key, reference, hypothesis in heard)
    wrong = () if compared else _wrong(result, lines, samples, answers, details)
    grouped = patterns(chain(found, looped, wrong))
    if not compared and not grouped:
        return None
    chosen = {kind: grouped[kind][:ROWS] for kind in TITLES if kind in grouped}
    examples, played = _examples([one for rows in chosen.values() for one in rows], most)
    outputs = {output.id: output for output in lines.directory.each_output(lines.task) if output.id in played}
    clips = {key: clips_of(run, result, samples[key], output, shelf) for key, output in outputs.items()}
    sections = [
        Section(
            TITLES[kind],
            [
                Row(one, [_example(result, samples[key], texts, answers, clips) for key in examples[one]])
                for one in rows
            ],
            len(grouped[kind]),
            sum(one.count for one in grouped[kind]),
        )
        for kind, rows in chosen.items()
    ]
    return ErrorView(result, sections, class_rates(compared), len(compared), len(answers))


def _answers(lines: TaskLines) -> dict[str, str]:
    """The text of each answer, of a spoken one what the recognizer heard."""
    known = {sample.id for sample in lines.samples}
    said = {o.id: o.text for o in lines.directory.each_output(lines.task) if o.text is not None}
    heard = {t.id: t.text for t in lines.directory.each_transcript(lines.task)}
    return {key: text for key, text in {**heard, **said}.items() if key in known}


def _details(lines: TaskLines, primary: str) -> tuple[dict[str, tuple[str, str]], dict[str, dict[str, Any]]]:
    """The texts that the first error rate of each sample compared, of a codec the recognizer's two transcripts; where
    no error rate did, the texts in the detail of the metric `primary`."""
    texts: dict[str, tuple[str, str]] = {}
    details: dict[str, dict[str, Any]] = {}
    for score in lines.directory.each_score(lines.task):
        detail = score.detail
        if score.metric.startswith(_ERROR_RATES) and score.id not in texts:
            reference, hypothesis = detail.get("reference", detail.get("original")), detail.get("hypothesis")
            if isinstance(reference, str) and isinstance(hypothesis, str):
                texts[score.id] = reference, hypothesis
                details.clear()
        if score.metric == primary and not texts:
            details[score.id] = {name: detail[name] for name in _TEXTS if name in detail}
    return texts, details


def _wrong(
    result: TaskResult,
    lines: TaskLines,
    samples: Mapping[str, Sample],
    answers: Mapping[str, str],
    details: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, Kind, str, str, str]]:
    """Answers that the primary number counts as wrong: the right one, and what the scorer found in the answer."""
    primary = report.primary(result)
    if primary is None or primary.unit != "%" or primary.direction != "higher":
        return
    for key, answer in answers.items():
        score = lines.scores.get((key, primary.metric))
        if score is None or score.status != "ok" or sample_value(score.parts, primary) != 0:
            continue
        detail = details.get(key, {})
        given = next((detail[name] for name in ("choice", "answer", "hypothesis") if name in detail), answer)
        right = detail.get("reference", samples[key].text)
        yield key, "answer", _short(right), NO_OPTION if given is None else _short(given), "other words"


def _short(text: object) -> str:
    line = " ".join(str("" if text is None else text).split())
    return line if len(line) <= _SHORT else f"{line[:_SHORT]} …"


def _examples(rows: Sequence[Pattern], most: int) -> tuple[dict[Pattern, list[str]], set[str]]:
    """Samples of each error, those first that show another error too, and the at most `most` ones that have players."""
    played: set[str] = set()
    found = {}
    for row in rows:
        known = [key for key in row.ids if key in played]
        fresh = [key for key in row.ids if key not in played]
        found[row] = [*known, *fresh[: max(0, most - len(played))]][:EXAMPLES]
        played.update(found[row])
        found[row] = found[row] or fresh[:1]
    return found, played


def _example(
    result: TaskResult,
    sample: Sample,
    texts: Mapping[str, tuple[str, str]],
    answers: Mapping[str, str],
    clips: Mapping[str, list[Clip]],
) -> Example:
    pair = texts.get(sample.id)
    return Example(
        id=sample.id,
        language=sample.language,
        pieces=difference(*(clip_text(text) for text in pair)) if pair else [],
        texts=[] if pair else [*given_texts(result, sample), Text("Answer", clip_text(answers.get(sample.id, "")))],
        clips=clips.get(sample.id, []),
    )
