"""Builds a listening test: a page for raters, and the key that says what they heard.

TEST/page/       what raters get: opens from a disk or any web server
TEST/key.json    which sound is of which system; not for raters
TEST/answers/    one file per rater
"""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from speech_eval.analysis.listening.description import (
    ANCHOR,
    ANSWERS,
    DEGRADED,
    KEY,
    MID_ANCHOR,
    PAGE,
    REFERENCE,
    HeadphoneTone,
    Key,
    KeyTrial,
    Page,
    PageTrial,
    Sound,
)
from speech_eval.analysis.listening.design import Plan, checks_needed, forms, opaque
from speech_eval.analysis.listening.kinds import BANDS, KINDS, Kind, kinds_named
from speech_eval.audio.write import wav_bytes
from speech_eval.cache import disk_errors
from speech_eval.engine.run_directory import write_json
from speech_eval.errors import BadInput
from speech_eval.leaderboard.export import write_script, write_text
from speech_eval.leaderboard.listening import headphones
from speech_eval.leaderboard.listening.material import VOICE, Item, Material, Needs, material
from speech_eval.leaderboard.load import find, reasons
from speech_eval.leaderboard.recordings import Choice

_HERE = Path(__file__).parent
_MOST_SOUNDS = 12  # of a MUSHRA trial, after BS.1534
_MOST_TRIALS = 1500  # of a form


@dataclass(frozen=True)
class Options:
    """What a test is made of. `per_rater` is how many of the `samples` each rater hears (None: all); `reference` adds
    the recordings as a hidden condition; `mid_anchor` adds the 7 kHz anchor; `align` makes all sounds equally loud."""

    kinds: tuple[str, ...] = ("mos",)
    task: str | None = None
    samples: int = 12
    per_rater: int | None = None
    reference: bool = False
    mid_anchor: bool = False
    align: bool = True
    recordings: Choice = "auto"
    title: str = "Listening test"
    seed: int = 0


@dataclass(frozen=True)
class Built:
    """What was built: the page, the key's facts, and why samples were left out, with how many."""

    page: Path
    key: Key
    trials: int  # of one rater
    samples: int
    left_out: dict[str, int]
    notes: list[str]


def build(runs: Sequence[Path], out: Path, options: Options) -> Built:
    """Write a listening test of runs (or folders of them) into the new folder `out`.

    Raises `BadInput` for kinds that these runs cannot be tested by, where no sample can be used, and where `out` holds
    something.
    """
    kinds = kinds_named(options.kinds)
    if not kinds:
        raise BadInput("A listening test needs a kind.", f"Use one of {', '.join(KINDS)}.")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is not an empty folder.", "Choose a new --output.")
    found, skipped = find([Path(run) for run in runs])
    if any(out.resolve().is_relative_to(run.path.resolve()) for run in found):
        raise BadInput(f"{out} lies in a run, which holds nothing else.", "Choose another --output.")
    if len(found) == 1 and any(kind.style == "pair" for kind in kinds):
        if skipped:
            raise BadInput(f"Only one run can be heard. {reasons(skipped)}", "Give two, or that one alone.")
        options = replace(options, reference=True)  # a single system is compared with the recordings
    made = material(
        found,
        options.task,
        options.samples,
        _needs(kinds, options),
        recordings=options.recordings,
        align=options.align,
        seed=options.seed,
    )
    notes = [f"{run.path} is not in the test: {run.reason}" for run in skipped]
    with _whole(out):
        written = _Writer(out, made, options).write(kinds)
    return replace(written, notes=[*notes, *written.notes])


@contextmanager
def _whole(out: Path) -> Iterator[None]:
    """Remove what was written into the empty or missing folder `out` where the block ends with an error."""
    fresh = not out.exists()
    try:
        yield
    except BaseException:
        for name in (PAGE, ANSWERS):
            shutil.rmtree(out / name, ignore_errors=True)
        with suppress(OSError):
            (out / KEY).unlink(missing_ok=True)
            if fresh:
                out.rmdir()
        raise


def _needs(kinds: Sequence[Kind], options: Options) -> Needs:
    names = {kind.name for kind in kinds}
    return Needs(
        reference=options.reference or "mushra" in names,
        voice="smos" in names,
        anchor="mushra" in names,
        mid_anchor="mushra" in names and options.mid_anchor,
        noise=bool(names & {"mos", "cmos", "ab", "abx"}),
        text="same-words" in names,
    )


class _Writer:
    """One build."""

    def __init__(self, out: Path, made: Material, options: Options) -> None:
        self.out, self.made, self.options = out, made, options
        self.public: dict[str, PageTrial] = {}
        self.secret: dict[str, KeyTrial] = {}
        self.systems = [system.label for system in made.systems]
        self.conditions = [*self.systems, *([REFERENCE] if options.reference else [])]

    def write(self, kinds: Sequence[Kind]) -> Built:
        plans = [self._plan(kind) for kind in kinds]
        orders = forms(plans, self.options.seed, self.options.per_rater)
        if (trials := len(orders[0])) > _MOST_TRIALS:
            raise BadInput(f"Each rater would get {trials} trials.", "Give fewer --samples, or --per-rater.")
        example = self._file(self.made.items[0], self.conditions[-1])
        tones = [self._tone(quiet, opposite) for quiet, opposite in headphones.orders(self.options.seed)]
        trials_by_name = dict(sorted(self.public.items()))
        names = [kind.name for kind in kinds]
        identity = json.dumps([names, [t.line() for t in trials_by_name.values()], self.options.seed])
        test = opaque(identity, *(trial.line() for trial in self.secret.values()))[:12]
        page = Page(
            test=test,
            title=self.options.title,
            kinds=names,
            example=example,
            headphones=tones,
            trials=trials_by_name,
            forms=orders,
        )
        key = Key(
            test=test,
            title=self.options.title,
            seed=self.options.seed,
            task=self.made.task,
            dataset_sha256=self.made.dataset_sha256,
            loudness=self.made.loudness,
            systems=self.made.systems,
            trials=dict(sorted(self.secret.items())),
            forms=orders,
            quietest=[tone.quietest for tone in tones],
        )
        self._pages(page, kinds)
        (self.out / ANSWERS).mkdir()
        write_json(self.out / KEY, key)
        index = self.out / PAGE / "index.html"
        return Built(index, key, trials, len(self.made.items), self.made.left_out, self._notes())

    def _notes(self) -> list[str]:
        rates = {item.sounds[REFERENCE].rate for item in self.made.items if MID_ANCHOR in item.sounds}
        if rates and min(rates) <= 16_000:
            return [
                "At 16 kHz the 7 kHz anchor is nearly transparent: the rule of BS.1534 that excludes raters who do not "
                "hear it may exclude careful ones."
            ]
        return []

    # ---------------------------------------------------------------------------------------- trials

    def _plan(self, kind: Kind) -> Plan:
        cells = [[self._trial(kind, item, names) for names in self._columns(kind)] for item in self.made.items]
        first = self._columns(kind)[0]
        practice = self._trial(kind, self.made.items[0], first, practice=True)
        count = checks_needed(min(len(cells), self.options.per_rater or len(cells)) * len(cells[0]))
        checks = [self._check(kind, number) for number in range(count if self._checkable(kind) else 0)]
        return Plan(kind, cells, practice, checks, len(first))

    def _columns(self, kind: Kind) -> list[list[str]]:
        """The conditions of each trial that a sample has."""
        if kind.style == "single":
            return [[name] for name in self.conditions]
        if kind.style == "pair":
            return [list(pair) for pair in combinations(self.conditions, 2)]
        anchors = [ANCHOR, *([MID_ANCHOR] if self.options.mid_anchor else [])]
        names = [*self.systems, REFERENCE, *anchors]
        if len(names) > _MOST_SOUNDS:
            raise BadInput(
                f"A MUSHRA trial would have {len(names)} sounds, and BS.1534 allows {_MOST_SOUNDS}.", "Give fewer runs."
            )
        return [names]

    def _checkable(self, kind: Kind) -> bool:
        """Whether a trial with a known answer can be made. MUSHRA has its hidden reference, remarks have none."""
        if kind.beside == "text":
            return len({item.sample.text for item in self.made.items}) > 1
        return kind.style != "many" and kind.name != "text"

    def _check(self, kind: Kind, number: int) -> str:
        """A trial with a known answer: speech in loud noise, beside clean speech in a comparison; the voice beside
        itself; or the words of another sample."""
        items, item = self.made.items, self.made.items[number % len(self.made.items)]
        if kind.beside == "voice":
            return self._trial(kind, item, [VOICE], check=number + 1)
        if kind.beside == "text":
            other = next(i.sample.text for i in items[number + 1 :] + items if i.sample.text != item.sample.text)
            return self._trial(kind, item, self.systems[:1], check=number + 1, text=other or "")
        if kind.style == "pair":
            return self._trial(kind, item, [self.systems[number % len(self.systems)], DEGRADED], check=number + 1)
        return self._trial(kind, item, [DEGRADED], check=number + 1)

    def _trial(
        self,
        kind: Kind,
        item: Item,
        names: Sequence[str],
        *,
        practice: bool = False,
        check: int = 0,
        text: str | None = None,
    ) -> str:
        seed, sample = self.options.seed, item.sample
        name = opaque(seed, kind.name, sample.id, *names, practice, check)
        sounds = [*names, *names] if kind.name == "abx" else list(names)
        written = self._script if kind.style == "many" else self._file
        files = [written(item, sound, f"again {place // len(names)}") for place, sound in enumerate(sounds)]
        beside = {"reference": REFERENCE, "voice": VOICE}.get(kind.beside)
        self.public[name] = PageTrial(
            kind=kind.name,
            sounds=files,
            beside=written(item, beside, "beside") if beside else "",
            text=(text or sample.text or "") if kind.beside == "text" else "",
            language=sample.language if kind.beside == "text" else "",
            practice=practice,
        )
        digests = {label: output.digest() for label, output in item.outputs.items()}
        self.secret[name] = KeyTrial(
            kind=kind.name,
            sample=sample.id,
            sounds=[Sound(condition=sound, output=digests.get(sound, "")) for sound in sounds],
            practice=practice,
            check=bool(check),
        )
        return name

    # ----------------------------------------------------------------------------------------- files

    def _file(self, item: Item, condition: str, copy: str = "again 0") -> str:
        """The name of a sound's file, which is written where it is not there yet. A sound that is presented again in
        the same trial, such as the hidden reference, has a file of its own. WAV, in which browsers seek exactly."""
        name = f"audio/{opaque(self.options.seed, item.sample.id, condition, copy)}.wav"
        self._bytes(name, lambda: wav_bytes(item.sounds[condition]))
        return name

    def _script(self, item: Item, condition: str, copy: str) -> str:
        """As `_file`, the name of a script in data/ that holds the WAV: sounds that are exchanged at a sample play from
        memory, and a page opened from a disk may read nothing but scripts."""
        name = opaque(self.options.seed, item.sample.id, condition, copy)
        path = self.out / PAGE / "data" / name
        if not path.with_name(name + ".js").is_file():
            write_script(path, name, {"wav": b64encode(wav_bytes(item.sounds[condition])).decode()})
        return name

    def _tone(self, quiet: int, opposite: int) -> HeadphoneTone:
        name = f"audio/{opaque(self.options.seed, 'tone', quiet, opposite)}.wav"
        self._bytes(name, lambda: headphones.item(quiet, opposite))
        return HeadphoneTone(file=name, quietest=quiet + 1)

    def _bytes(self, name: str, made: Callable[[], bytes]) -> None:
        path = self.out / PAGE / name
        if not path.is_file():
            with disk_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(made())

    def _pages(self, page: Page, kinds: Sequence[Kind]) -> None:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        folder = self.out / PAGE
        templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )
        text = templates.get_template("listen.html").render(title=page.title)
        write_text(folder / "index.html", text)
        for file in (_HERE.parent / "static" / "site.css", _HERE.parent / "static" / "site.js"):
            write_text(folder / "static" / file.name, file.read_text("utf-8"))
        for file in sorted((_HERE / "static").iterdir()):
            write_text(folder / "static" / file.name, file.read_text("utf-8"))
        asked = {kind.name: _public(kind) for kind in kinds}
        data = {**page.model_dump(mode="json"), "asked": asked, "bands": BANDS, "needed": headphones.NEEDED}
        write_script(folder / "data" / "test", "test", data)


def _public(kind: Kind) -> dict[str, object]:
    """What the page says of a kind."""
    return {"title": kind.title, "style": kind.style, "question": kind.question, "choices": kind.choices}
