"""The three documents of a listening test: the page's data, the organizer's key, and a rater's answers.

The page names sounds by opaque files; only the key says which system and sample a sound is of. Answers come from
strangers: they are bounded, and checked against the key before anything is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from speech_eval.analysis.listening.kinds import KINDS
from speech_eval.engine import run_files
from speech_eval.engine.run_files import brief
from speech_eval.errors import BadInput
from speech_eval.records import Record
from speech_eval.text.files import LARGEST_RECORD

PAGE, KEY, ANSWERS = "page", "key.json", "answers"  # of a test's folder
REFERENCE, ANCHOR, MID_ANCHOR, DEGRADED = "reference", "anchor 3.5 kHz", "anchor 7 kHz", "speech in loud noise"
LARGEST_ANSWERS = 1 << 20  # bytes of a file of answers
LONGEST_TEXT = 1000  # characters of one answer in free text
MOST_TRIALS = 2000

_COUNTS = "the file with more answers counts, else the first"
_BOM = b"\xef\xbb\xbf"  # what some editors put before a text

Opaque = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,32}$")]


class Step(Record):
    """One trial of a form: `order` says which sound of the trial stands in each place (A, B, X, or the sliders)."""

    trial: Opaque
    order: list[int]


class PageTrial(Record):
    """What raters get of a trial: the files of its sounds, and of what is given beside them."""

    kind: str
    sounds: list[str]
    beside: str = ""
    text: str = ""
    language: str = ""
    practice: bool = False


class HeadphoneTone(Record):
    """One item of the headphone check: a file of three tones, and which of them is the quietest (1 to 3)."""

    file: str
    quietest: int


class Page(Record):
    """What the page is made of. `forms` are the counterbalanced orders, of which a rater gets one."""

    schema_version: int = 1
    test: Opaque
    title: str
    kinds: list[str]
    example: str
    headphones: list[HeadphoneTone]
    trials: dict[Opaque, PageTrial]
    forms: list[list[Step]]


class Sound(Record):
    """One sound of a trial: its condition (a system of the test, or one of the constants above), and the digest of the
    output's line where it is the output of a system."""

    condition: str
    output: str = ""


class KeyTrial(Record):
    """What a trial is. `check` marks an attention check, whose answer is known; `practice` one that does not count."""

    kind: str
    sample: str
    sounds: list[Sound]
    practice: bool = False
    check: bool = False

    def complete(self) -> bool:
        """Whether it has the sounds that its kind presents, each of another condition, and no check that its kind does
        not have."""
        if self.kind not in KINDS:
            return False
        kind, names = KINDS[self.kind], [sound.condition for sound in self.sounds]
        if kind.style == "many":
            return REFERENCE in names and 2 <= len(set(names)) == len(names) and not self.check
        number = 1 if kind.style == "single" else 2
        copies = 2 if self.kind == "abx" else 1  # X is one of two files of its own
        return len(set(names)) == number and names == names[:number] * copies and not (self.check and not kind.metric)


class System(Record):
    """One system of the test: what tables call it, its model, and the run and task that it is of."""

    label: str
    model: str
    run: str


class Key(Record):
    """What raters must not see. `loudness` is that of all sounds in LUFS, None where they were not aligned."""

    schema_version: int = 1
    test: Opaque
    title: str
    seed: int
    task: str
    dataset_sha256: str
    loudness: float | None
    systems: list[System]
    trials: dict[Opaque, KeyTrial]
    forms: list[list[Step]]
    quietest: list[int]

    @model_validator(mode="after")
    def _consistent(self) -> Key:
        for trial in self.trials.values():
            if not trial.complete():
                raise ValueError(f"a trial of the kind '{brief(trial.kind, 20)}' lacks sounds")
        labels = [system.label for system in self.systems]
        sounds = [sound for trial in self.trials.values() for sound in trial.sounds]
        if any(sound.condition in labels and not sound.output for sound in sounds) or len({*labels}) < len(labels):
            raise ValueError("its systems and their outputs cannot be told apart")
        if not self.forms:
            raise ValueError("it has no form")
        for step in (step for form in self.forms for step in form):
            if step.trial not in self.trials or not self._places(step):
                raise ValueError(f"trial {step.trial} does not fit its form")
        return self

    def _places(self, step: Step) -> bool:
        """Whether the order of a step places the sounds of its trial."""
        trial = self.trials[step.trial]
        if trial.kind == "abx":
            return sorted(step.order[:2]) == [0, 1] and step.order[2:] in ([2], [3])
        return sorted(step.order) == list(range(len(trial.sounds)))


Grade = Annotated[int, Field(ge=0, le=100)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]


class Answer(Record):
    """The answer to one trial: a choice, the grades of the sounds in the order of their places, or a text. `plays` is
    how often sounds were started, `seconds` how long the trial was open."""

    trial: Opaque
    value: Annotated[int, Field(strict=True, ge=-3, le=5)] | Annotated[list[Grade], Field(max_length=12)] | Text
    plays: int = Field(ge=0, le=100_000)
    seconds: float = Field(ge=0, le=1e7)


class Answers(Record):
    """What one rater said. `rater` is a random name; `form` the order that the rater had."""

    schema_version: Literal[1] = 1
    test: Opaque
    rater: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    form: int = Field(ge=0, le=10_000)
    headphones: list[Annotated[int, Field(ge=1, le=3)]] = Field(default_factory=list, max_length=12)
    complete: bool
    answers: list[Answer] = Field(max_length=MOST_TRIALS)

    def is_part_of(self, other: Answers) -> bool:
        """Whether these answers are among those of `other`, as when a rater hands in first a part and then all."""
        said = {answer.trial: answer.value for answer in other.answers}
        return self.form == other.form and all(said.get(own.trial) == own.value for own in self.answers)


def read_key(folder: Path) -> Key:
    """The key of the test in `folder`. Raises `BadInput` where there is none."""
    try:
        return Key.model_validate_json(run_files.read(folder, KEY, LARGEST_RECORD))
    except FileNotFoundError as error:
        raise BadInput(
            f"{folder / KEY}: no such file.", "Make a test with: speech-eval listen build RUNS -o TEST"
        ) from error
    except ValidationError as error:
        raise BadInput(f"{folder / KEY}: not the key of a listening test ({first_problem(error)}).") from error


def read_answers(data: bytes, key: Key) -> Answers:
    """One rater's answers. Raises `BadInput` for what is not a file of answers to this test."""
    if len(data) > LARGEST_ANSWERS:
        raise BadInput(f"over {LARGEST_ANSWERS >> 10} KiB, the most that a file of answers has.")
    try:
        found = Answers.model_validate_json(data.removeprefix(_BOM))
    except ValidationError as error:
        raise BadInput(f"not a file of answers ({first_problem(error)}).") from error
    if found.test != key.test:
        raise BadInput(f"of the test {found.test}, and this is {key.test}.")
    if found.form >= len(key.forms):
        raise BadInput(f"form {found.form} is not one of the test's {len(key.forms)}.")
    steps = {step.trial: step for step in key.forms[found.form]}
    seen: set[str] = set()
    for answer in found.answers:
        if answer.trial not in steps or answer.trial in seen:
            raise BadInput(f"trial {answer.trial} is not in form {found.form}, or answered twice.")
        if not KINDS[key.trials[answer.trial].kind].allows(answer.value, len(steps[answer.trial].order)):
            raise BadInput(f"the answer to trial {answer.trial} is not one of its choices.")
        seen.add(answer.trial)
    return found


def collect(folder: Path, key: Key, more: Sequence[Path] = ()) -> tuple[list[Answers], list[str]]:
    """The answers in the test's folder and in `more` (files, or folders of them), the fullest of each rater; and why
    files were left out, and which contradict another of the same rater. Raises `BadInput` for a path that does not
    exist."""
    found: dict[str, Answers] = {}
    problems: list[str] = []
    for path in (folder / ANSWERS, *more):
        if path != folder / ANSWERS and not path.exists():
            raise BadInput(f"{path}: no such file or folder.", "Give the files that raters sent.")
        files = sorted(path.glob("*.json")) if path.is_dir() else [path] if path.is_file() else []
        for file in files:
            try:
                one = read_answers(run_files.read(file.parent, file.name, LARGEST_ANSWERS), key)
            except BadInput as error:
                problems.append(f"{brief(file.name)}: {brief(error.problem)}")
                continue
            known = found.setdefault(one.rater, one)
            part, whole = sorted((known, one), key=lambda given: len(given.answers))
            found[one.rater] = whole if len(whole.answers) > len(known.answers) else known
            if not part.is_part_of(whole):
                problems.append(f"{brief(file.name)}: rater {one.rater} gave other answers in another file: {_COUNTS}.")
    return [found[rater] for rater in sorted(found)], problems


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, in one line without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = brief(" ".join(map(str, first["loc"])), 80)
    return f"{place}: {brief(first['msg'])}" if place else brief(first["msg"])
