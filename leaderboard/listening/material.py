"""What a listening test can present of runs: samples that every system answered, and their sounds at one loudness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log10
from pathlib import Path

import numpy as np

from speech_eval.analysis.listening.description import ANCHOR, DEGRADED, MID_ANCHOR, REFERENCE, System
from speech_eval.audio import Audio, audio_sha256, load
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.run_files import brief
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.leaderboard.load import Run
from speech_eval.leaderboard.media import loudness
from speech_eval.leaderboard.recordings import Choice, Recordings
from speech_eval.records import Output, Sample
from speech_eval.signal.low_pass import low_pass
from speech_eval.signal.noise import mixed

LOUDNESS = -23.0  # LUFS, as EBU R 128; lower where a peak would come above PEAK
PEAK = -1.0  # dBFS
LONGEST = 12.0  # seconds of a sound, after BS.1534
_NOISE = 5.0  # dB by which the noise of an attention check is above the speech
VOICE = "voice"  # what a speaker is compared with
_NO_SYSTEMS = (REFERENCE, ANCHOR, MID_ANCHOR, DEGRADED, VOICE)
_LONGEST_LABEL = 100  # characters


@dataclass(frozen=True)
class Item:
    """One sample: its sounds by condition, and the outputs of the systems by label."""

    sample: Sample
    sounds: dict[str, Audio]
    outputs: dict[str, Output]


@dataclass
class Material:
    """The chosen samples. `left_out` says why others were not taken, `loudness` what all sounds have (LUFS)."""

    task: str
    dataset_sha256: str
    systems: list[System]
    items: list[Item]
    left_out: dict[str, int] = field(default_factory=dict)
    loudness: float | None = None


@dataclass(frozen=True)
class Needs:
    """What a test needs beside the systems' outputs: the recordings, the voice prompts, anchors, noise, texts."""

    reference: bool
    voice: bool
    anchor: bool
    mid_anchor: bool
    noise: bool
    text: bool


class _Unusable(SpeechEvalError):
    """A sample that cannot be in the test."""


def material(
    runs: Sequence[Run], task: str | None, count: int, needs: Needs, *, recordings: Choice, align: bool, seed: int
) -> Material:
    """`count` samples of a task that every run has, those whose ids hash lowest with `seed`.

    Raises `BadInput` where the runs have no such task, different data, or no usable sample.
    """
    task = _task(runs, task)
    directories = [RunDirectory(run.path) for run in runs]
    systems = [
        System(label=label, model=run.results.model, run=str(run.path))
        for run, label in zip(runs, _labels(runs), strict=True)
    ]
    digests = {data.sha256 for run in runs if (data := run.dataset(task)) is not None}
    if len(digests) != 1:
        raise BadInput(f"The runs have different data in {task}.", "Give runs on the same data.")
    outputs = [directory.outputs(task) for directory in directories]
    samples = sorted(directories[0].samples(task), key=lambda s: hashlib.sha256(f"{seed}/{s.id}".encode()).digest())
    made = Material(task, digests.pop(), systems, [])
    known = Recordings(recordings)
    for sample in samples:
        if len(made.items) == count:
            break
        try:
            answers = {system.label: held.get(sample.id) for system, held in zip(systems, outputs, strict=True)}
            made.items.append(_item(sample, answers, directories, runs, task, needs, known))
        except _Unusable as error:
            made.left_out[error.problem] = made.left_out.get(error.problem, 0) + 1
    if not made.items:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in made.left_out.items())
        raise BadInput(f"No sample of {task} can be used: {reasons}.", "Give runs whose outputs can be played.")
    return _aligned(made) if align else made


def _task(runs: Sequence[Run], asked: str | None) -> str:
    common = set.intersection(*(set(run.manifest.tasks) for run in runs))
    speaking = sorted(
        name
        for name in common
        if any(output.audio is not None for output in RunDirectory(runs[0].path).each_output(name))
    )
    if asked is not None and asked in speaking:
        return asked
    if asked is None and len(speaking) == 1:
        return speaking[0]
    if not speaking:
        raise BadInput("The runs have no task in common whose outputs are speech.", "Give runs of the same task.")
    problem = f"Task '{asked}' is not one of them" if asked else "The runs have several tasks whose outputs are speech"
    raise BadInput(f"{problem}: {', '.join(speaking)}.", f"Choose one, such as --task {speaking[0]}.")


def _labels(runs: Sequence[Run]) -> list[str]:
    """What tables call the runs, with the folder's name where two are called the same or one has the name of a
    reference or anchor, and with a number where that does not tell them apart."""
    names = [brief(run.results.name, _LONGEST_LABEL) for run in runs]
    found: list[str] = []
    for run, name in zip(runs, names, strict=True):
        label = f"{name} ({run.path.name})" if names.count(name) > 1 or name in _NO_SYSTEMS else name
        found.append(label if label not in found else f"{label} {len(found) + 1}")
    return found


def _item(
    sample: Sample,
    answers: dict[str, Output | None],
    directories: Sequence[RunDirectory],
    runs: Sequence[Run],
    task: str,
    needs: Needs,
    known: Recordings,
) -> Item:
    if needs.text and not sample.text:
        raise _Unusable("it has no text")
    outputs: dict[str, Output] = {}
    sounds: dict[str, Audio] = {}
    for (label, output), directory in zip(answers.items(), directories, strict=True):
        if output is None or output.audio is None or output.status != "ok":
            raise _Unusable(f"{label} has no speech for it")
        path = directory.audio_path(output.audio)
        if not path.is_file() or audio_sha256(path) != output.audio.sha256:
            raise _Unusable(f"the audio file of {label} is not the stored one")
        outputs[label], sounds[label] = output, _loaded(path)
    data = runs[0].dataset(task)

    def given(relative: str | None, sha256: str | None, what: str) -> Audio:
        if relative is None or data is None:
            raise _Unusable(f"it has no {what}")
        if known.choice == "none":
            raise _Unusable(f"its {what} is needed, and --recordings none excludes it")
        found = known.find(runs[0].path, data.location or data.name, data.license, relative, sha256)
        if found.path is None or (sha256 is not None and audio_sha256(found.path) != sha256):
            raise _Unusable(f"its {what} cannot be used: {found.problem or 'the file is not the stored one'}")
        return _loaded(found.path)

    if needs.reference:
        sounds[REFERENCE] = given(sample.audio, sample.audio_sha256, "recording")
    if needs.voice:
        prompted = sample.prompt_audio is not None
        spoken = (sample.prompt_audio, sample.prompt_audio_sha256) if prompted else (sample.audio, sample.audio_sha256)
        sounds[VOICE] = given(*spoken, "voice prompt")
    for name, cutoff, wanted in ((ANCHOR, 3500.0, needs.anchor), (MID_ANCHOR, 7000.0, needs.mid_anchor)):
        if wanted:
            sounds[name] = low_pass(sounds[REFERENCE], cutoff)
    if needs.noise:
        sounds[DEGRADED] = noisy(next(iter(sounds.values())), sample.id)
    if any(audio.seconds > LONGEST for audio in sounds.values()):
        raise _Unusable(f"a sound of it is longer than {LONGEST:g} s")
    if any(loudness(audio) is None for audio in sounds.values()):
        raise _Unusable("a sound of it is silent")
    return Item(sample, sounds, outputs)


def _loaded(path: Path) -> Audio:
    try:
        return load(path)
    except BadInput as error:
        raise _Unusable("one of its audio files cannot be decoded") from error


def noisy(audio: Audio, seed: str) -> Audio:
    """Speech under white noise that is 5 dB above it."""
    digest = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    noise = np.random.default_rng(digest).standard_normal(len(audio.samples))
    return mixed(audio, noise, -_NOISE)


def _aligned(made: Material) -> Material:
    """All sounds at one integrated loudness (ITU-R BS.1770), without a peak above `PEAK`."""
    known = list(_levels(made))
    target = round(min(LOUDNESS, *(level + PEAK - peak for level, peak in known)), 1)
    for item in made.items:
        for name, audio in item.sounds.items():
            gain = 10 ** ((target - (loudness(audio) or target)) / 20)
            item.sounds[name] = Audio((audio.samples * gain).astype(np.float32), audio.rate)
    made.loudness = target
    return made


def _levels(made: Material) -> Iterator[tuple[float, float]]:
    for item in made.items:
        for audio in item.sounds.values():
            level = loudness(audio)
            if level is not None:
                yield level, 20 * log10(float(np.abs(audio.samples).max()))
