"""SNAC, the multi-scale codec of the package `snac`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.checkpoints import Checkpoint, choose_device, few, hub_folder, seeded, weights_digest
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, BadInput, require
from speech_eval.records import ModelInfo

_FILES = ("config.json", "README.md", "pytorch_model.bin")  # what the authors' repositories hold
# What exporters add to a description, and the network does not take.
_BOOKKEEPING = ("model_type", "architectures", "transformers_version", "torch_dtype", "dtype", "_name_or_path")


class Snac(AudioCodec):
    """A SNAC directory or `hf:hubertsiuzdak/snac_24khz`: `config.json`, and safetensors or `pytorch_model.bin`, whose
    numbers alone are read.

    Slow codebooks come first. The decoder adds noise, drawn from the same seed for every waveform; the padding that the
    package adds to the input is removed from the output.
    """

    def __init__(self, path: str, revision: str | None = None, device: str = "auto") -> None:
        self._torch, snac = require("torch", "snac"), require("snac", "snac")
        local = Path(path).is_dir()
        self._checkpoint = Checkpoint(Path(path), path) if local else hub_folder(path, revision, _FILES)
        self._files = self._checkpoint.weights() or self._checkpoint.pickles()[:1]
        if not self._files or not (self._checkpoint.directory / "config.json").is_file():
            raise BadInput(f"{path} holds no SNAC checkpoint.", "It needs config.json and pytorch_model.bin.")
        stated = self._checkpoint.config()
        described = {name: value for name, value in stated.items() if name not in _BOOKKEEPING}
        try:
            self._model = snac.SNAC(**described)
            missing = self._model.load_state_dict(self._state(), strict=False).missing_keys
        except (ValueError, TypeError, RuntimeError, OSError, UnpicklingError) as error:
            why = " ".join(str(error).split())[:200]
            raise BadInput(f"{path}: not a SNAC checkpoint ({why}).", "Copy or fetch it again, complete.") from error
        if missing:
            raise BadInput(f"{path}: the weights of {few(missing)} are missing.", "Copy or fetch it again, complete.")
        self._model = self._model.to(choose_device(device)).eval()
        self._device = next(self._model.parameters()).device
        self.sample_rate = int(self._model.sampling_rate)
        fastest = self.sample_rate / int(self._model.hop_length)
        self._rates = [fastest / stride for stride in self._model.vq_strides]

    def _state(self) -> dict[str, object]:
        state: dict[str, object] = {}
        for file in self._files:
            if file.suffix == ".safetensors":
                state |= require("safetensors.torch", "snac").load_file(file)
            else:
                state |= self._torch.load(file, map_location="cpu", weights_only=True)
        return state

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self._checkpoint.name,
            revision=self._checkpoint.revision,
            weights_sha256=weights_digest(self._files),
            license=self._checkpoint.license(),
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
        )

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self._encode(audio) for audio in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [self._decode(item) for item in codes]

    def _encode(self, audio: Audio) -> Codes:
        if audio.rate != self.sample_rate:
            raise BadAudio(f"{self._checkpoint.name}: audio at {audio.rate} Hz.", f"Resample to {self.sample_rate} Hz.")
        samples = self._torch.from_numpy(audio.samples)[None, None].to(self._device)
        with self._torch.inference_mode():
            found = self._model.encode(samples)
        books = [book[0].cpu().numpy().astype(np.int64) for book in found]
        return Codes(books, self._rates, [self._model.codebook_size] * len(books), {"frames": len(audio.samples)})

    def _decode(self, codes: Codes) -> Audio:
        books = [self._torch.from_numpy(np.asarray(book))[None].to(self._device) for book in codes.codebooks]
        with self._torch.inference_mode(), seeded(0):
            wave = self._model.decode(books)[0, 0, : codes.metadata["frames"]]
        return Audio(np.asarray(wave.float().cpu().numpy(), dtype=np.float32), self.sample_rate)
