"""Bark (Suno): text to semantic tokens, to coarse codes, to fine codes of EnCodec."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from speech_eval.adapters.parts import load_part
from speech_eval.adapters.tts.native import NativeTTS, Utterance, Voice, read_array
from speech_eval.errors import BadInput, require

_VOICES = "speaker_embeddings_path.json"
_PARTS = ("semantic_prompt", "coarse_prompt", "fine_prompt")


class Bark(NativeTTS):
    """`suno/bark-small` and kin in safetensors, 24 kHz, about 14 s at most. `voice` is one of the presets that the
    checkpoint lists, such as `v2/en_speaker_6`; without one, each request gets a voice by its seed. It does not clone:
    voice prompts do not change it. Sampling is what the checkpoint states."""

    model_class = "BarkModel"
    sampling: ClassVar[dict[str, Any]] = {}
    clones = False

    def __init__(self, path: str, voice: str | None = None, **options: Any) -> None:
        super().__init__(path, **options)
        stated = self._model.generation_config
        if lacking := [name for name in ("semantic_config", "sample_rate") if not hasattr(stated, name)]:
            raise BadInput(
                f"{self._checkpoint.name}: generation_config.json does not state {' and '.join(lacking)} of Bark.",
                "Copy the checkpoint again with its generation_config.json.",
            )
        self._voice_name = voice
        self._preset = {} if voice is None else self._load_preset(voice)

    def _load_processor(self, directory: Path) -> Any:
        return load_part("AutoTokenizer", directory)

    def _load_preset(self, name: str) -> dict[str, Any]:
        """The three arrays of a voice: token prompts of the three stages."""
        listed = self._checkpoint.config(_VOICES) if (self._checkpoint.directory / _VOICES).is_file() else {}
        parts = listed.get(name)
        if not isinstance(parts, dict) or not set(_PARTS) <= set(parts):
            known = [key for key in sorted(listed) if key != "repo_or_path"]
            raise BadInput(
                f"{self._checkpoint.name} has no voice '{name}'.",
                f"Use voice={known[0]}, for example." if known else "Leave out voice=.",
            )
        return {part: self._torch.from_numpy(self._array(str(parts[part]))).to(self._model.device) for part in _PARTS}

    def _array(self, relative: str) -> Any:
        inner = PurePosixPath(relative)
        if inner.is_absolute() or ".." in inner.parts:
            raise BadInput(f"{_VOICES} names {relative!r:.100}, outside of the checkpoint.", "Do not use it.")
        file = self._checkpoint.directory / inner
        try:
            if not file.is_file() and self._checkpoint.revision:
                hub = require("huggingface_hub", self.extra)
                file = Path(hub.hf_hub_download(self._checkpoint.name, relative, revision=self._checkpoint.revision))
            return read_array(file).astype(np.int64)
        except (OSError, ValueError) as error:
            raise BadInput(
                f"{file}: not a readable voice ({error}).", "Copy the checkpoint again, complete."
            ) from error

    @property
    def _rate(self) -> int:
        return int(self._model.generation_config.sample_rate)

    def _stated(self) -> dict[str, Any]:
        return {"voice": self._voice_name} if self._voice_name else {}

    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        from transformers.models.bark.generation_configuration_bark import BarkSemanticGenerationConfig

        semantic = BarkSemanticGenerationConfig(**self._model.generation_config.semantic_config)
        longest = semantic.max_input_semantic_length
        inputs = self._processor(text, return_tensors="pt", add_special_tokens=False, return_token_type_ids=False)
        if (length := inputs["input_ids"].shape[1]) > longest:
            raise BadInput(
                f"The text has {length} tokens; {self._checkpoint.name} takes {longest} and would cut the rest.",
                "Use a shorter text.",
            )
        inputs = self._processor.pad(inputs, padding="max_length", max_length=longest, return_tensors="pt")
        limit = self._frames(semantic.semantic_rate_hz, longest + 1, self._model.semantic.config.block_size)
        settings = {
            f"{stage}_{name}": value for stage in ("semantic", "coarse") for name, value in self._sampling.items()
        }
        if not self._sampling["do_sample"]:
            settings["fine_temperature"] = 1.0  # the likeliest codes
        wave = self._model.generate(
            **self._place(inputs), **settings, semantic_max_new_tokens=limit, history_prompt=self._preset or None
        )
        frames = round(wave.shape[-1] / self._rate * semantic.semantic_rate_hz)
        return Utterance(wave, frames, stopped=frames < limit)
