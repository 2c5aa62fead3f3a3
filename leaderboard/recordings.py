"""Recordings that a model was given (voice prompts, originals, questions): where they are, and whether to play them.

Two rules decide. A site may be published, so a recording is played where its license allows redistribution or where it
belongs to the user's own data. A run directory may come from a stranger, so a file outside the run is read only if its
sha256 is the one that the run recorded: no run can publish a file that its author did not hold already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from speech_eval import datasets
from speech_eval.assets.archives import safe_relative
from speech_eval.cache import file_sha256_once
from speech_eval.datasets.dataset import split_name
from speech_eval.errors import BadInput, SpeechEvalError

Choice = Literal["auto", "all", "none"]
CHOICES: tuple[str, ...] = get_args(Choice)
UNSTATED = "unknown"  # what a dataset without a header has as its license: the user's own recordings
_FREE = re.compile(
    r"public domain|\bCC0|\bCC[- ]BY(-SA)?-\d|\bCC[- ]BY(-SA)?$|\bApache|\bMIT\b|\bBSD|\bODC-By|\bPDDL", re.I
)
_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".g722"})
_AROUND = 3  # folders around a run in which a relative path is looked for
_LARGEST = 1 << 30  # bytes: what a run names may be a file of the system that never ends


@dataclass(frozen=True)
class Recording:
    """A file to play, or why there is none. `own`: it belongs to the user's own data."""

    path: Path | None = None
    own: bool = False
    problem: str = ""


class Recordings:
    """The recordings of datasets on this machine. `choice`: "auto" plays what the module's rules allow, "all" also
    recordings under restrictive licenses, "none" plays none."""

    def __init__(self, choice: Choice = "auto") -> None:
        if choice not in CHOICES:
            raise BadInput(f"'{choice}' is not a choice of recordings.", f"Give one of {', '.join(CHOICES)}.")
        self.choice = choice
        self._known: dict[str, datasets.Dataset | None] = {}

    def find(self, run: Path, location: str, license: str, relative: str, sha256: str | None) -> Recording:
        """The recording `relative` of the dataset that `run` read from `location` (name or path) under `license`.

        A relative path is looked for in the current folder and in the folders around the run.
        """
        registered = datasets.registered(location)
        known = self._load(location) if registered else None
        license = known.info.license if known else license or UNSTATED
        if self.choice == "auto" and not redistributable(license) and (registered or license != UNSTATED):
            return Recording(
                problem=f"the license of its dataset ({license}) does not state that recordings may be redistributed; "
                "include them with: speech-eval leaderboard build --recordings all"
            )
        if registered:
            return _bundled(known, relative)
        return _own((Path(), *run.absolute().parents[:_AROUND]), location, relative, sha256)

    def _load(self, location: str) -> datasets.Dataset | None:
        if location not in self._known:
            try:
                self._known[location] = datasets.load_dataset(location)
            except SpeechEvalError:
                self._known[location] = None
        return self._known[location]


def redistributable(license: str) -> bool:
    """Whether every part of a license text ("A; B" for several datasets) names a license that allows redistribution.

    Licenses that forbid commercial use or changes do not count: a site may be commercial, and its copies are
    compressed.
    """
    parts = [part.strip() for part in license.split(";")]
    return all(_FREE.search(part) and not re.search(r"-N[CD]\b", part, re.I) for part in parts)


def _bundled(dataset: datasets.Dataset | None, relative: str) -> Recording:
    absent = Recording(problem="its dataset is not on the machine that built this page")
    if dataset is None:
        return absent
    try:
        return Recording(dataset.audio_path(relative))
    except SpeechEvalError:
        return absent


def _own(bases: Sequence[Path], location: str, relative: str, sha256: str | None) -> Recording:
    if sha256 is None:
        return Recording(problem="the run did not record its sha256")
    for path in dict.fromkeys(_candidates(bases, location, relative)):
        if _is_audio(path) and file_sha256_once(path) == sha256:
            return Recording(path, own=True)
    # one message for a missing and for another file: a page must not tell which files a machine has
    return Recording(
        problem="the recorded file (by its sha256) was not found; build the site in the folder where the run was made"
    )


def _is_audio(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file() and 0 < path.stat().st_size <= _LARGEST


def _candidates(bases: Sequence[Path], location: str, relative: str) -> Iterator[Path]:
    """Where a file of the user's own data may be: beside its manifest, or in its folder or the folder of a language."""
    try:
        inside = safe_relative(relative)
    except BadInput:
        return
    for part in filter(None, (part.strip() for part in location.split(","))):
        for at in (base / split_name(part)[0] for base in bases):
            folder = at if at.is_dir() else at.parent
            for root in (folder, folder / "en", folder / "zh"):
                yield root / inside
                if len(inside.parts) > 1:  # several datasets together: the first folder names the dataset
                    yield root.joinpath(*inside.parts[1:])
