"""Recordings that this machine makes: a sample names texts and voices, and synthesizers speak them on first use.

The `speech` of a sample's metadata is a list of parts, said one after another. The name of a recording is a digest of
its parts, which state the version of each voice: the sha256 of the dataset covers what was made from what. The bytes of
a neural voice can differ in their last bits between kinds of processors, so the sha256 of each file is recorded beside
it, on the machine that made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from speech_eval.assets import store as assets
from speech_eval.audio import Audio, Samples, audio_sha256, wav_bytes
from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, silent
from speech_eval.records import Sample
from speech_eval.signal.level import active_level
from speech_eval.signal.whispering import whispered

if TYPE_CHECKING:
    from speech_eval.adapters.base import SpeechSynthesizer

SPEECH = "speech"  # the key of the parts in a sample's metadata
RATE = 16_000  # Hz
LEVEL = -26.0  # dBFS, the active level of a part without gain
PAUSE = 0.4  # seconds between parts
EDGE = 0.2  # seconds of silence at both ends
VOICES = ("hibari", "kokoro", "espeak-ng")  # models that a list may name: they run no code of the list's author


class Part(BaseModel):
    """What one voice says: `voice` is a model spec and `revision` the version of that model; `gain` in dB."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    voice: str
    revision: str
    text: str
    gain: float = 0.0
    whispered: bool = False


def parts_of(sample: Sample) -> tuple[Part, ...]:
    """The parts of a sample's recording. Raises `BadInput` for a sample without any, and for a voice not allowed."""
    given = sample.metadata.get(SPEECH)
    try:
        parts = tuple(Part.model_validate(part) for part in given) if isinstance(given, list) else ()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(f"Sample {sample.id}: `{SPEECH}`: {where}: {first['msg']}.", "See docs/data.md.") from None
    if not parts:
        raise BadInput(f"Sample {sample.id} does not say how its recording is made.", f"Give it `{SPEECH}`.")
    for part in parts:
        if part.voice.split(",")[0] not in VOICES:
            raise BadInput(f"Sample {sample.id}: the voice '{part.voice}' is unknown.", f"Use {', '.join(VOICES)}.")
    return parts


def file_name(parts: Sequence[Part]) -> str:
    """The name of the recording of these parts."""
    said = json.dumps([part.model_dump() for part in parts], sort_keys=True, ensure_ascii=False)
    made = f"{RATE}/{LEVEL}/{PAUSE}/{EDGE}"
    return hashlib.sha256(f"{made}\n{said}".encode()).hexdigest()[:24] + ".wav"


def folder() -> Path:
    """Where the recordings lie, for all datasets."""
    return assets.cache_dir() / "spoken"


def weights(recordings: Iterable[Sequence[Part]]) -> set[str]:
    """Names of the assets that the voices of these recordings read; the other voices come with their packages."""
    return {part.voice.split(",")[0] for parts in recordings for part in parts} & {"kokoro"}


def ensure(name: str, samples: Iterable[Sample], progress: Progress | None = None) -> None:
    """Make the recordings of these samples of the dataset `name` that are not here, or are not as they were made.

    What an interrupted call has made is kept. Raises `MissingExtra` without the packages of the voices, and `BadInput`
    where a voice has another version than a part states.
    """
    wanted = {sample.audio: parts_of(sample) for sample in samples if sample.audio}
    for audio, parts in wanted.items():
        if audio != file_name(parts):
            raise BadInput(f"{name}: {audio} is not the name of what its parts say.", f"Name it {file_name(parts)}.")
    missing = sorted((parts for audio, parts in wanted.items() if not _made(folder() / audio)), key=_by_voice)
    for asset in weights(missing):
        assets.ensure(asset, progress)
    voice = lru_cache(maxsize=4)(_voice)  # one after another, so that few are in memory
    for number, parts in enumerate(missing, 1):
        (progress or silent)(f"{name}: speak", number - 1, len(missing))
        _write(folder() / file_name(parts), _recording(parts, voice))
        (progress or silent)(f"{name}: speak", number, len(missing))


def _by_voice(parts: Sequence[Part]) -> tuple[str, ...]:
    return tuple(part.voice for part in parts)


def _made(path: Path) -> bool:
    record = path.with_suffix(".sha256")
    return path.is_file() and record.is_file() and record.read_text("ascii").strip() == audio_sha256(path)


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, data)
    write_atomically(path.with_suffix(".sha256"), hashlib.sha256(data).hexdigest().encode())


def _recording(parts: Sequence[Part], voice: Any) -> bytes:
    pause, edge = (np.zeros(round(seconds * RATE), dtype=np.float32) for seconds in (PAUSE, EDGE))
    pieces: list[Samples] = [edge]
    for part in parts:
        pieces += [_said(part, voice(part.voice, part.revision)), pause]
    return wav_bytes(Audio(np.concatenate([*pieces[:-1], edge]), RATE))


def _said(part: Part, voice: SpeechSynthesizer) -> Samples:
    """One part at its level."""
    from speech_eval.adapters.base import SynthesisRequest

    (audio,) = voice.synthesize([SynthesisRequest(id=part.text, text=part.text)])
    samples = audio.resampled(RATE).samples
    samples = whispered(samples, RATE) if part.whispered else samples
    gain = LEVEL + part.gain - active_level(Audio(samples, RATE))
    return np.asarray(samples * np.float32(10.0 ** (gain / 20.0)), dtype=np.float32)


def _voice(spec: str, revision: str) -> SpeechSynthesizer:
    from speech_eval.adapters.base import SpeechSynthesizer
    from speech_eval.adapters.spec import resolve

    voice = resolve(spec).build()
    assert isinstance(voice, SpeechSynthesizer)
    if (found := voice.info().revision) != revision:
        raise BadInput(
            f"The recordings are made with {spec} of version {revision}, and version {found} is installed.",
            "Install the versions that the project pins: pip install -c constraints.txt 'speech-eval-harness[tts]'",
        )
    return voice
