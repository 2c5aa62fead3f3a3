"""Answers that exist already: `ground-truth`, the dataset's own recordings, and `outputs:DIR`, made elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from speech_eval.adapters.base import (
    Adapter,
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    LoadReference,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.adapters.catalog import Target
from speech_eval.audio import Audio, audio_sha256, load
from speech_eval.errors import BadInput
from speech_eval.records import ModelInfo, Sample
from speech_eval.text.files import read_text

AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".mka", ".wma"),
    *(".aiff", ".aif", ".au", ".caf", ".w64", ".amr", ".g722", ".raw", ".pcm"),
)
# The fields of an answer, the first that a line has. Before "text", which is the reference beside an answer's own name.
ANSWERS = ("hypothesis", "pred_text", "prediction", "response", "hyp", "text", "transcript", "transcription")


class GroundTruth(SpeechSynthesizer):
    """The human recordings of the dataset, for the row that calibrates a synthesis board."""

    answers_live = False
    plays_recordings = True

    def __init__(self) -> None:
        self._load_reference: LoadReference | None = None

    def bind(self, samples: Mapping[str, Sample], load_reference: LoadReference) -> None:
        self._load_reference = load_reference

    def expect(self, sample_id: str) -> None:
        """Nothing to do: requests carry the id."""

    def info(self) -> ModelInfo:
        return ModelInfo(name="ground truth", revision="the dataset's recordings")

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return [self._recording(request.id) for request in requests]

    def _recording(self, sample_id: str) -> Audio:
        if self._load_reference is None:
            raise BadInput("ground-truth was asked without a dataset.", "Use it through: speech-eval run")
        try:
            return self._load_reference(sample_id)
        except KeyError as error:
            raise BadInput(
                f"Sample {sample_id} has no recording of its own text.",
                "Use a dataset with recordings, such as a Seed-TTS-eval list with ground-truth files.",
            ) from error


class _Folder(Adapter):
    """A folder of answers by sample id. A missing answer fails its sample."""

    reads_audio = False
    answers_live = False
    suffixes: ClassVar[tuple[str, ...]]

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def check_samples(self, samples: Sequence[Sample]) -> str:
        """Names of samples and files that do not match each other."""
        ids, names = {sample.id for sample in samples}, self.names()
        if not (missing := sorted(ids - names)):
            return ""
        shown = f"{self.path} has no answer to {len(missing)} of {len(ids)} samples, such as {_few(missing)}"
        if unknown := sorted(names - ids):
            shown += f"; {len(unknown)} answers belong to no sample, such as {_few(unknown)}"
        if len(missing) == len(ids):
            raise BadInput(f"{shown}.", f"Name each file by its sample's id, such as {missing[0]}{self.suffixes[0]}.")
        return f"{shown}."

    def names(self) -> set[str]:
        """The sample ids that there are answers to."""
        return {name for name, suffix in self._files if suffix in self.suffixes}

    def info(self) -> ModelInfo:
        digest = hashlib.sha256()
        for file in sorted(p for p in self.path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(self.path)} {audio_sha256(file)}\n".encode())
        return ModelInfo(name=self.path.name, weights_sha256=digest.hexdigest())

    def _file(self, sample_id: str, suffixes: Sequence[str]) -> Path | None:
        """The file of a sample's answer: the first of `suffixes`, in upper or lower case, that there is."""
        if not (self.path / sample_id).resolve().is_relative_to(self.path.resolve()):
            raise BadInput(f"'{sample_id}' leads out of {self.path}.", "Rename the sample.")
        return next((found for s in suffixes if (found := self._files.get((sample_id, s))) is not None), None)

    @cached_property
    def _files(self) -> dict[tuple[str, str], Path]:
        """The files of the folder by sample id and suffix in lower case."""
        files = [file for file in sorted(self.path.rglob("*")) if file.is_file()]
        return {
            (file.relative_to(self.path).as_posix().removesuffix(file.suffix), file.suffix.lower()): file
            for file in files
            if file.resolve().is_relative_to(self.path.resolve())
        }


class StoredSpeech(_Folder, SpeechSynthesizer):
    """Speech made elsewhere: `DIR/<sample id>.wav`, or another suffix of audio; the content decides how it is read."""

    suffixes = AUDIO_SUFFIXES

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return [self._speech(request.id) for request in requests]

    def _speech(self, sample_id: str) -> Audio:
        if (file := self._file(sample_id, AUDIO_SUFFIXES)) is None:
            raise BadInput(f"{self.path} has no audio for sample {sample_id}.", f"Expected {sample_id}.wav there.")
        return load(file)


class StoredText(_Folder, SpeechRecognizer, AudioLanguageModel):
    """Text made elsewhere: `DIR/<sample id>.txt`, or one `DIR/*.jsonl` of `{"id": …, "text": …}` lines.

    Raises `BadInput` for a file that is not UTF-8.
    """

    suffixes = (".txt",)

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._texts: dict[str, str] = {}
        for (name, suffix), file in self._files.items():
            if suffix == ".txt":
                self._texts.setdefault(name, read_text(file))
            elif suffix == ".jsonl" and "/" not in name:
                for number, line in enumerate(read_text(file).split("\n"), 1):
                    if line.strip():
                        self._add(line, f"{file}, line {number}")

    def _add(self, line: str, where: str) -> None:
        remedy = 'Write {"id": "…", "text": "…"} on each line.'
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{where}: not JSON ({error}).", remedy) from None
        if not isinstance(record, dict):
            raise BadInput(f"{where}: not a JSON object.", remedy)
        named = next((name for name in ANSWERS if name in record), None)
        if named is None or record.get("id") is None:
            lacking = "id" if named else "text"
            raise BadInput(f"{where}: no '{lacking}'; the fields are {', '.join(record)}.", remedy)
        key, text = str(record["id"]), record[named]
        if not isinstance(text, str):
            raise BadInput(f"{where}: the text of '{key}' is not a string.", 'Write "" for an empty answer.')
        if key in self._texts:
            raise BadInput(f"{where}: a second text for '{key}'.", "Give every id one text.")
        self._texts[key] = text

    def names(self) -> set[str]:
        return super().names() | set(self._texts)

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return [self._text(request.id) for request in requests]

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return [ChatReply(text=self._text(request.id)) for request in requests]

    def _text(self, sample_id: str) -> str:
        if sample_id not in self._texts:
            raise BadInput(f"{self.path} has no text for sample {sample_id}.", f"Expected {sample_id}.txt there.")
        return self._texts[sample_id]


def _few(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`outputs:DIR`, by the kind of answers the folder holds. Raises `BadInput` for a folder with neither or both."""
    path = Path(rest)
    if not path.is_dir():
        raise BadInput(f"outputs:{path}: no such folder.", "Give the folder your model's outputs are in.")
    names = [file.suffix.lower() for file in path.rglob("*") if file.is_file()]
    speech, text = any(s in AUDIO_SUFFIXES for s in names), any(s in (".txt", ".jsonl") for s in names)
    if speech == text:
        found = "audio and text" if speech else "neither audio nor text"
        raise BadInput(f"outputs:{path} holds {found}.", "Keep only audio files, or only .txt and .jsonl files, in it.")
    return StoredSpeech if speech else StoredText, {"path": rest, **options}
