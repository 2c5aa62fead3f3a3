"""Compressed copies of a run's audio for the page's players, named by what they contain."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from speech_eval import datasets
from speech_eval.audio import Audio, file_sha256, load
from speech_eval.errors import SpeechEvalError
from speech_eval.leaderboard.load import Run
from speech_eval.records import StoredAudio

_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_BLOCK = 48000  # libsndfile overflows its stack on very long writes of Ogg, so samples go in by the second


@dataclass(frozen=True)
class Clip:
    """A player's label and its file (`href` relative to the site), or why there is none (`problem`)."""

    label: str
    href: str = ""
    seconds: float = 0.0
    problem: str = ""


class AudioShelf:
    """The site's `audio/` folder. A file's name is the digest of the audio it was made from, never a given name."""

    def __init__(self, out: Path, enabled: bool = True) -> None:
        self.folder = out / "audio"
        self.enabled = enabled
        self.used: set[str] = set()
        self._sources: dict[str, Clip] = {}
        self._copies: dict[str, Clip] = {}
        self._datasets: dict[str, datasets.Dataset | None] = {}

    def output(self, run: Run, stored: StoredAudio | None) -> Clip | None:
        """The model's speech; None where it made none or players are off."""
        if stored is None or not self.enabled:
            return None
        path = os.path.normpath(run.path / stored.path)  # an absolute path replaces the run
        root = os.path.normpath(run.path) + os.sep
        # links are followed only where there is a file at all: to look at every folder of a path takes its time
        if path.startswith(root) and Path(path).exists():
            inside = os.path.realpath(path).startswith(os.path.realpath(root) + os.sep)
        else:
            inside = path.startswith(root)
        if not inside:
            return Clip("Output", problem="its path leads out of the run directory")
        return self._clip("Output", path, stored.sha256)

    def given(self, run: Run, task: str, label: str, relative: str | None, sha256: str | None) -> Clip | None:
        """A recording the model was given. Only of bundled datasets: a run may not point at other files."""
        if relative is None or not self.enabled:
            return None
        record = run.dataset(task)
        dataset = self._dataset(record.name) if record else None
        if dataset is None:
            return Clip(label, problem="it belongs to a dataset of its owner and is not shown")
        try:
            path = dataset.audio_path(relative)
        except SpeechEvalError:
            return Clip(label, problem="the recording is not on the machine this page was built on")
        return self._clip(label, str(path), sha256)

    def sweep(self) -> None:
        """Remove copies that no page of this build names."""
        for file in self.folder.glob("*.ogg") if self.folder.is_dir() else ():
            if file.name not in self.used:
                file.unlink()

    def _dataset(self, name: str) -> datasets.Dataset | None:
        if name not in datasets.bundled():
            return None
        if name not in self._datasets:
            self._datasets[name] = datasets.load_dataset(name)
        return self._datasets[name]

    def _clip(self, label: str, path: str, sha256: str | None) -> Clip:
        made = self._sources.get(path)
        if made is None:
            made = self._sources[path] = self._copy(Path(path), sha256)
        return Clip(label, made.href, made.seconds, made.problem)

    def _copy(self, path: Path, sha256: str | None) -> Clip:
        if not path.is_file():
            return Clip("", problem="the audio file is missing")
        digest = file_sha256(path)
        if sha256 is not None and digest != sha256:
            return Clip("", problem="the audio file is not the one that was recorded (its sha256 differs)")
        if digest not in self._copies:
            self._copies[digest] = self._compress(path, digest)
        return self._copies[digest]

    def _compress(self, path: Path, digest: str) -> Clip:
        name = hashlib.sha256(f"opus {digest}".encode()).hexdigest()[:24] + ".ogg"
        copy = self.folder / name
        if not copy.is_file():
            try:
                audio = load(path)
            except SpeechEvalError:
                return Clip("", problem="the audio file cannot be decoded")
            self.folder.mkdir(parents=True, exist_ok=True)
            write_opus(copy, audio)
        self.used.add(name)
        return Clip("", f"audio/{name}", _seconds(copy))


def _seconds(path: Path) -> float:
    import soundfile

    return float(soundfile.info(path).duration)


def write_opus(path: Path, audio: Audio) -> None:
    """Write Ogg Opus, resampled up to the next rate that Opus knows."""
    import soundfile

    audio = audio.resampled(next((rate for rate in _OPUS_RATES if rate >= audio.rate), _OPUS_RATES[-1]))
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # processes may want the same recording at once
    with soundfile.SoundFile(temporary, "w", audio.rate, 1, format="OGG", subtype="OPUS") as file:
        for start in range(0, len(audio.samples), _BLOCK):
            file.write(audio.samples[start : start + _BLOCK])
    temporary.replace(path)
