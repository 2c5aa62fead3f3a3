"""What the speech generators of transformers share: loading, voice prompts, sampling settings, limits and seeds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.base import Speech, SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.chat.generation import place
from speech_eval.adapters.checkpoints import Checkpoint, load_model, locate, need_template, seeded, weights_digest
from speech_eval.adapters.options import number, whole
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo


@dataclass(frozen=True)
class Voice:
    """A voice prompt at the model's rate, and its words: empty where the model needs none and none are given."""

    audio: Audio
    words: str


@dataclass(frozen=True)
class Utterance:
    """What a model generated: a waveform tensor [samples], its frames, and whether the model ended it."""

    wave: Any
    frames: int
    stopped: bool


def read_array(file: str | Path) -> NDArray[Any]:
    """The array of numbers of a file of `numpy.save`. Raises `ValueError` or `OSError` for any other file."""
    try:
        found = np.load(file, allow_pickle=False)
    except (EOFError, MemoryError) as error:  # it is empty, or states a size that it cannot have
        raise ValueError("it is not whole") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise ValueError("it holds no array of numbers")
    return found


class NativeTTS(SpeechSynthesizer):
    """A checkpoint that generates speech frame by frame. `temperature` 0 is greedy; `temperature`, `top_p` and `top_k`
    override the settings its makers publish, where the family samples by them. An answer ends after `max_seconds` if
    the model does not end it; `stopped` in its metadata says which. Requests run one by one, each from its own seed."""

    model_class: ClassVar[str]
    sampling: ClassVar[Mapping[str, Any]]  # as published
    sampled_by: ClassVar[tuple[str, ...]] = ("temperature", "top_p", "top_k")
    clones: ClassVar[bool] = True  # False: it speaks in its own voice, whatever the prompt
    needs_words: ClassVar[bool] = True  # of a voice prompt
    templated: ClassVar[bool] = False  # True: it is asked through a chat template
    extra: ClassVar[str] = "tts"

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        max_seconds: float = 30.0,
        trust_remote_code: bool = False,
    ) -> None:
        self._torch, self._transformers = require("torch", self.extra), require("transformers", self.extra)
        self._sampling = self._settings(temperature, top_p, top_k)
        self._max_seconds = number("max_seconds", max_seconds, above=True, unit="seconds")
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        self._model = load_model(self.model_class, self._checkpoint, dtype=dtype, device=device, extra=self.extra)
        self._processor = self._load_processor(self._checkpoint.directory)
        if self.templated:
            need_template(self._processor, self._checkpoint.directory)

    def _settings(self, temperature: float | None, top_p: float | None, top_k: int | None) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if temperature is not None:
            given["temperature"] = number("temperature", temperature)
        if top_p is not None:
            given["top_p"] = number("top_p", top_p, 0.0, 1.0, above=True)
        if top_k is not None:
            given["top_k"] = whole("top_k", top_k, 0)
        for name in given:
            if name not in self.sampled_by:
                raise BadInput(f"{type(self).__name__} does not sample by {name}.", f"Leave out {name}=.")
        if not self.sampled_by:
            return {}
        settings = {**self.sampling, **given}
        if settings.get("temperature") == 0:
            return {"do_sample": False} | {name: value for name, value in settings.items() if name not in _SAMPLING}
        return {"do_sample": True, **settings}

    def info(self) -> ModelInfo:
        return self._checkpoint.info(self._model, max_seconds=self._max_seconds, **self._sampling, **self._stated())

    def _stated(self) -> dict[str, Any]:
        """What else the manifest keeps."""
        return {}

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        """One waveform per request. Raises `BadInput` for no text and for a voice prompt without its words."""
        return [self._synthesize(request) for request in requests]

    def _synthesize(self, request: SynthesisRequest) -> Speech:
        if not request.text.strip():
            raise BadInput(f"{request.id}: there is no text to speak.", "Give the sample a text.")
        with self._torch.inference_mode(), seeded(request.seed):
            said = self._speak(request.text.strip(), self._voice(request))
        samples = np.asarray(said.wave.reshape(-1).float().cpu().numpy(), dtype=np.float32)
        return Speech(samples, self._rate, {"stopped": said.stopped, "tokens": said.frames})

    def _voice(self, request: SynthesisRequest) -> Voice | None:
        audio = request.prompt_audio if self.clones else None
        if audio is None:
            return None
        words = (request.prompt_text or "").strip()
        if not words and self.needs_words:
            raise BadInput(f"{request.id}: the voice prompt has no transcript.", "Give the dataset's prompt_text.")
        return Voice(audio.resampled(self._rate), words)

    def _frames(self, rate: float, used: int = 0, positions: int | None = None) -> int:
        """How many frames an answer may have: `max_seconds` at `rate` Hz, and the positions that a prompt leaves."""
        wanted = max(1, round(self._max_seconds * rate))
        if positions is None:
            return wanted
        if used + 1 >= positions:
            raise BadInput(
                f"The text and the voice prompt take {used} of the {positions} positions of {self._checkpoint.name}.",
                "Use a shorter voice prompt.",
            )
        return min(wanted, positions - used - 1)

    def _place(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return place(inputs, self._model)

    def _load_processor(self, directory: Path) -> Any:
        return load_part("AutoProcessor", directory)

    @property
    @abstractmethod
    def _rate(self) -> int:
        """Sample rate in Hz of answers and voice prompts."""

    @abstractmethod
    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        """The model's speech, drawn from torch's generator."""


_SAMPLING = ("temperature", "top_p", "top_k")


class WithCodec(NativeTTS):
    """A generator whose codec or vocoder is a checkpoint of its own: `codec`, a directory or `ORG/REPO`, or the one
    that the processor's config names, or the one in a folder of the checkpoint, or the one its makers publish."""

    codec_class: ClassVar[str]
    codec_type: ClassVar[str]  # its `model_type`
    codec_published: ClassVar[str] = ""

    def __init__(self, path: str, codec: str | None = None, **options: Any) -> None:
        self._codec_path = codec
        super().__init__(path, **options)

    def _load_processor(self, directory: Path) -> Any:
        found = self._codec_checkpoint(directory)
        codec = load_model(
            self.codec_class,
            found,
            dtype="float32",
            device=str(self._model.device),
            extra=self.extra,
            untrained=(r"\bpad$",),
        )
        self._codec_digest = weights_digest(found.weights())[:12]
        return self._assemble(directory, codec)

    def _codec_checkpoint(self, directory: Path) -> Checkpoint:
        named = self._codec_path or self._named_codec()
        if not named:
            inside = [folder for folder in directory.iterdir() if (folder / "config.json").is_file()]
            beside = [
                folder for folder in inside if Checkpoint(folder, "").config().get("model_type") == self.codec_type
            ]
            named = str(beside[0]) if len(beside) == 1 else self.codec_published
            if not named:
                raise BadInput(
                    f"{self._checkpoint.name} does not say where its codec is.", "Name it: codec=DIR or codec=ORG/REPO."
                )
        return locate(named)

    def _named_codec(self) -> str:
        file = self._checkpoint.directory / "processor_config.json"
        stated = Checkpoint(self._checkpoint.directory, "").config("processor_config.json") if file.is_file() else {}
        return str(stated.get("audio_tokenizer", {}).get("audio_tokenizer_name_or_path") or "")

    def _stated(self) -> dict[str, Any]:
        return {"codec_weights": self._codec_digest}

    @abstractmethod
    def _assemble(self, directory: Path, codec: Any) -> Any:
        """The processor of a checkpoint directory, with its codec."""
