"""Compressed copies of audio for the page's players, named by what they contain, and how loud each is."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speech_eval.audio import Audio, audio_sha256, load
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadAudio, BadInput, SpeechEvalError
from speech_eval.leaderboard.load import Run
from speech_eval.leaderboard.recordings import Choice, Recordings
from speech_eval.records import StoredAudio

OUTPUT = "Output"  # the label of the model's own speech
BOTH = "Both"  # two channels of a conversation
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_BLOCK = 48000  # libsndfile overflows its stack on very long writes of Ogg, so samples go in by the second
_GATE = 0.4  # seconds of a gating block of BS.1770


@dataclass(frozen=True)
class Clip:
    """A player's label and its file (`href` relative to the site), or why there is none (`problem`).

    `loudness` is the integrated loudness in LUFS (ITU-R BS.1770-4), None for silence.
    """

    label: str
    href: str = ""
    seconds: float = 0.0
    loudness: float | None = None
    problem: str = ""


class AudioShelf:
    """The site's `audio/` folder. A file's name is the digest of the audio it was made from, never a given name.

    `enabled=False` makes no players at all; `recordings` says which recordings of datasets are played. `used` and
    `own` are the names of files that pages refer to, and of those that come from the user's own data.
    """

    def __init__(self, out: Path, enabled: bool = True, recordings: Choice = "auto") -> None:
        self.folder = out / "audio"
        self.enabled = enabled
        self.recordings = Recordings(recordings)
        self.used: set[str] = set()
        self.own: set[str] = set()
        self._sources: dict[str, Clip] = {}
        self._copies: dict[str, Clip] = {}

    def output(self, run: Run, stored: StoredAudio | None) -> Clip | None:
        """The model's speech; None where it made none or players are off."""
        if stored is None or not self.enabled:
            return None
        try:
            path = RunDirectory(run.path).audio_path(stored)
        except BadInput:
            return Clip(
                OUTPUT,
                problem="its file is a link, out of the run directory, or too large",
            )
        return self._clip(OUTPUT, str(path), stored.sha256)

    def given(self, run: Run, task: str, label: str, relative: str | None, sha256: str | None) -> Clip | None:
        """A recording the model was given; None where there was none or such players are off."""
        if relative is None or not self.enabled or self.recordings.choice == "none":
            return None
        data = run.dataset(task)
        if data is None:
            return Clip(label, problem="the run does not record its dataset")
        found = self.recordings.find(run.path, data.location or data.name, data.license, relative, sha256)
        if found.path is None:
            return Clip(label, problem=found.problem)
        clip = self._clip(label, str(found.path), sha256)
        if found.own and clip.href:
            self.own.add(Path(clip.href).name)
        return clip

    def played(self, clip: Clip) -> Audio | None:
        """What a player plays; None where there is nothing."""
        return load(self.folder / Path(clip.href).name) if clip.href else None

    def both(self, left: Clip, right: Clip) -> Clip | None:
        """Two playable sounds as one in stereo; None where one of them is missing."""
        names = [Path(clip.href).name for clip in (left, right)]
        channels = [self.played(left), self.played(right)]
        if channels[0] is None or channels[1] is None:
            return None
        name = hashlib.sha256(f"both {' '.join(names)}".encode()).hexdigest()[:24] + ".ogg"
        if not (self.folder / name).is_file():
            write_opus(self.folder / name, channels[0], channels[1])
        self.used.add(name)
        if self.own & set(names):
            self.own.add(name)
        known = [clip.loudness for clip in (left, right) if clip.loudness is not None]
        return Clip(BOTH, f"audio/{name}", max(left.seconds, right.seconds), max(known, default=None))

    def sweep(self) -> None:
        """Remove copies that no page of this build names."""
        for file in self.folder.glob("*.ogg") if self.folder.is_dir() else ():
            if file.name not in self.used:
                file.unlink()

    def _clip(self, label: str, path: str, sha256: str | None) -> Clip:
        made = self._sources.get(path)
        if made is None:
            made = self._sources[path] = self._copy(Path(path), sha256)
        return replace(made, label=label)

    def _copy(self, path: Path, sha256: str | None) -> Clip:
        if not path.is_file():
            return Clip("", problem="the audio file is missing")
        try:
            digest = audio_sha256(path)
        except BadAudio:
            return Clip("", problem="the audio file is larger than any that is read")
        if sha256 is not None and digest != sha256:
            return Clip("", problem="the audio file is not the recorded one (its sha256 differs)")
        if digest not in self._copies:
            self._copies[digest] = self._compress(path, digest)
        return self._copies[digest]

    def _compress(self, path: Path, digest: str) -> Clip:
        name = hashlib.sha256(f"opus {digest}".encode()).hexdigest()[:24] + ".ogg"
        copy = self.folder / name
        try:
            if not copy.is_file():
                audio = load(path)
                self.folder.mkdir(parents=True, exist_ok=True)
                write_opus(copy, audio)
            played = load(copy)
        except SpeechEvalError:
            return Clip("", problem="the audio file cannot be decoded")
        self.used.add(name)
        return Clip("", f"audio/{name}", len(played.samples) / played.rate, loudness(played))


def loudness(audio: Audio) -> float | None:
    """Integrated loudness in LUFS (ITU-R BS.1770-4) to a tenth; None for silence. Audio shorter than a gating block is
    measured as one block."""
    from pyloudnorm import Meter

    block = min(_GATE, len(audio.samples) / audio.rate)
    if block <= 0:
        return None
    level = Meter(audio.rate, block_size=block).integrated_loudness(audio.samples)
    return round(float(level), 1) if math.isfinite(level) else None


def write_opus(path: Path, *channels: Audio) -> None:
    """Write Ogg Opus, resampled up to the next rate that Opus knows; shorter channels end in silence."""
    import soundfile

    highest = max(audio.rate for audio in channels)
    rate = next((rate for rate in _OPUS_RATES if rate >= highest), _OPUS_RATES[-1])
    waves = [audio.resampled(rate).samples for audio in channels]
    samples = np.zeros((max(map(len, waves)), len(waves)), dtype=np.float32)
    for channel, wave in enumerate(waves):
        samples[: len(wave), channel] = wave
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # processes may want the same recording at once
    with soundfile.SoundFile(temporary, "w", rate, len(waves), format="OGG", subtype="OPUS") as file:
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    temporary.replace(path)
