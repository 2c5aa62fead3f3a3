"""The one door to training data: any dataset of the harness, every recording read once before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from speech_eval import datasets
from speech_eval.assets import store as assets
from speech_eval.datasets.formats.splits import preferring
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.records import Sample
from speech_eval.reference_models.data.inspection import KEPT, Facts, Row, inspected
from speech_eval.reference_models.data.splits import HELD_OUT, TRAIN, split_of
from speech_eval.reference_models.training.config import Policy

_SHOWN = 20  # names that are printed; the kept file has all of them


@dataclass(frozen=True)
class LeftOut:
    """What is not used: its id, the kind of problem (unreadable, silent, short, text, language …), and the reason."""

    clip: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Clip:
    """A recording that can be trained on. `seconds` and `rate` are as decoded; `seekable`: a part of the file can be
    read alone."""

    sample: Sample
    path: Path
    split: str
    seconds: float
    rate: int
    seekable: bool

    @property
    def id(self) -> str:
        return self.sample.id


@dataclass(frozen=True)
class Corpus:
    """Training data that was checked whole. `given` is what it was opened by; `sha256` identifies the samples, their
    splits, and the bytes of their recordings; `texts` are samples without a recording, each with its split."""

    name: str
    given: str
    folder: Path | None
    sha256: str
    licenses: Mapping[str, str]
    clips: tuple[Clip, ...]
    texts: tuple[tuple[Sample, str], ...]
    left_out: tuple[LeftOut, ...]

    def identity(self) -> dict[str, str | int]:
        """What a resumed training must share with the one it continues."""
        return {"sha256": self.sha256, "recordings": len(self.clips), "texts": len(self.texts)}

    def split(self, name: str) -> list[Clip]:
        """The recordings of a split, possibly none."""
        return [clip for clip in self.clips if clip.split == name]

    def training(self) -> list[Clip]:
        """The recordings to train on. Raises `BadInput` saying why there are none."""
        return self.split(TRAIN) or self.refuse("recording to train on")

    def speakable(self, name: str) -> list[Sample]:
        """The samples of a split whose text has words, with or without a recording."""
        samples = [clip.sample for clip in self.split(name)]
        samples += [sample for sample, split in self.texts if split == name]
        return [sample for sample in samples if has_words(sample)]

    def refuse(self, lacking: str, more: Sequence[LeftOut] = ()) -> NoReturn:
        """Raise `BadInput`: there is no `lacking`, and why."""
        left_out = [*self.left_out, *more]
        splits = Counter(clip.split for clip in self.clips)
        there = ", ".join(f"{count} recordings in the split '{name}'" for name, count in splits.items())
        why = f"left out: {counted(left_out)}, such as {left_out[0].clip}: {left_out[0].reason}" if left_out else ""
        facts = "; ".join(filter(None, (there or "no usable recording", why)))
        raise BadInput(f"{self.name} has no {lacking} ({facts}).", f"Check it: speech-eval data check {self.given}")


Data = str | Path | Corpus


def open_corpus(
    data: Data,
    output: Path | None = None,
    *,
    language: str | None = None,
    on_bad: Policy = "skip",
    progress: Progress = silent,
    say: Say = unsaid,
) -> Corpus:
    """Open a folder, a list or a named dataset and check every recording; a corpus is returned as it is.

    `language` is that of samples that state none. What the check found is kept in `output`, and read from there while
    samples and recordings are the same. Says by name what is left out and why. Raises `BadInput` for data that cannot
    be read, for an unknown split, and, with `on_bad` stop, for the first recording that cannot be used.
    """
    if isinstance(data, Corpus):
        return data
    parts = _parts(data, language, progress)
    for dataset, _ in parts:
        if dataset.note:
            say(f"data: {dataset.note}")
    rows = [row for dataset, split in parts for row in _rows(dataset, split)]
    digest, found = inspected(rows, output, progress)
    used = [(row, facts) for row, facts in zip(rows, found, strict=True) if not facts.kind]
    infos = [dataset.info for dataset, _ in parts]
    there = Path(data).exists()
    corpus = Corpus(
        name=Path(data).resolve().name if there else str(data),
        given=str(data),
        folder=Path(data) if Path(data).is_dir() else None,
        sha256=digest,
        licenses={info.name: info.license for info in infos if info.license != "unknown"},
        clips=tuple(_clip(row, facts) for row, facts in used if facts.seconds is not None),
        texts=tuple((row.sample, row.split) for row, facts in used if facts.seconds is None),
        left_out=tuple(
            LeftOut(row.sample.id, facts.kind, facts.reason)
            for row, facts in zip(rows, found, strict=True)
            if facts.kind
        ),
    )
    report(corpus.left_out, len(rows), "recordings", on_bad, say)
    return corpus


def report(left_out: Sequence[LeftOut], total: int, what: str, on_bad: Policy, say: Say) -> None:
    """Say by name what is left out of `total`, and the count by kind. Raises `BadInput` if `on_bad` is stop."""
    if not left_out:
        return
    if on_bad == "stop":
        first = left_out[0]
        raise BadInput(f"{first.clip}: {first.reason}.", "Correct it or take it out, or train with on_bad_data: skip.")
    for item in left_out[:_SHOWN]:
        say(f"left out {item.clip} ({item.kind}): {item.reason}")
    if len(left_out) > _SHOWN:
        say(f"… and {len(left_out) - _SHOWN} more; {KEPT} or shards.json of the output names all of them")
    say(f"left out {len(left_out)} of {total} {what}: {counted(left_out)}")


def counted(left_out: Iterable[LeftOut]) -> str:
    """`2 silent, 1 unreadable`."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(item.kind for item in left_out).most_common())


def has_words(sample: Sample) -> bool:
    """Whether the text has a letter or a digit."""
    return any(character.isalnum() for character in sample.text or "")


def without_words(clips: Iterable[Clip]) -> list[LeftOut]:
    """The recordings whose text has no words to learn."""
    return [
        LeftOut(clip.id, "text", f"no words in its text {clip.sample.text!r}" if clip.sample.text else "it has no text")
        for clip in clips
        if not has_words(clip.sample)
    ]


def _parts(data: str | Path, language: str | None, progress: Progress) -> list[tuple[datasets.Dataset, str | None]]:
    """The dataset; of data that has several splits, the one to train on and the one to validate on."""
    with preferring(TRAIN) as asked:
        dataset = datasets.load_dataset(data, language=language)
    parts: list[tuple[datasets.Dataset, str | None]] = [(dataset, None)]
    if asked.there:
        with preferring("validation", "valid", "val", "dev", HELD_OUT):
            other = datasets.load_dataset(data, language=language)
        if other.sha256 != dataset.sha256:
            parts = [(dataset, TRAIN), (other, HELD_OUT)]
    for part, _ in parts:
        _fetch(part, progress)
    return parts


def _fetch(dataset: datasets.Dataset, progress: Progress) -> None:
    """The assets of a dataset. A file of one's own that is missing is found by the check."""
    for name in dataset.info.assets:
        assets.ensure(name, progress)
    for part in dataset.parts.values():
        _fetch(part, progress)


def _rows(dataset: datasets.Dataset, split: str | None) -> list[Row]:
    """Every sample with its split. Raises `BadInput` for an unknown split."""
    named = [(sample, split or split_of(sample)) for sample in dataset.samples]
    unknown = [sample for sample, name in named if name is None]
    if unknown:
        names = ", ".join(sorted({repr(sample.metadata["split"]) for sample in unknown}))
        raise BadInput(
            f"{dataset.info.name}: {len(unknown)} samples, such as {unknown[0].id}, have an unknown split: {names}.",
            "Name it train, validation, test, held-out or held-out-speaker, or leave the column `split` out.",
        )
    return [Row(dataset, sample, name) for sample, name in named if name is not None]


def _clip(row: Row, facts: Facts) -> Clip:
    assert facts.seconds is not None and facts.rate is not None
    path = row.dataset.located(str(row.sample.audio))
    return Clip(row.sample, path, row.split, facts.seconds, facts.rate, facts.seekable)
