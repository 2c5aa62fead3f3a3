"""SNAC, the multi-scale codec of the package `snac`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.checkpoints import choose_device, seeded, weights_digest
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, BadInput, require
from speech_eval.records import ModelInfo
from speech_eval.text.files import read_record


class Snac(AudioCodec):
    """`snac,path=DIR` or `snac,path=hubertsiuzdak/snac_24khz`: `config.json` and `pytorch_model.bin` or safetensors.

    Slow codebooks come first. The decoder adds noise, drawn from the same seed for every waveform; the padding that the
    package adds to the input is removed from the output.
    """

    def __init__(self, path: str, revision: str | None = None, device: str = "auto") -> None:
        self._torch, snac = require("torch", "snac"), require("snac", "snac")
        self._name, self._revision = path, ""
        config, self._weights = self._files(path, revision)
        try:
            self._model = snac.SNAC(**read_record(config, "Copy or fetch it again, complete."))
            self._model.load_state_dict(self._state())
        except (ValueError, TypeError, RuntimeError, OSError) as error:
            raise BadInput(f"{path}: not a SNAC checkpoint ({error}).", "Copy or fetch it again, complete.") from error
        self._model = self._model.to(choose_device(device)).eval()
        self._device = next(self._model.parameters()).device
        self.sample_rate = int(self._model.sampling_rate)
        fastest = self.sample_rate / int(self._model.hop_length)
        self._rates = [fastest / stride for stride in self._model.vq_strides]

    def _files(self, path: str, revision: str | None) -> tuple[Path, Path]:
        if not Path(path).is_dir():
            hub = require("huggingface_hub", "snac")
            try:
                config, weights = (
                    Path(hub.hf_hub_download(path, name, revision=revision))
                    for name in ("config.json", "pytorch_model.bin")
                )
            except (OSError, ValueError) as error:
                raise BadInput(f"{path}: {str(error).splitlines()[0]}", "Check the name and the network.") from error
            self._revision = config.parent.name
            return config, weights
        directory = Path(path)
        files = [directory / name for name in ("model.safetensors", "pytorch_model.bin")]
        found = [file for file in files if file.is_file()]
        if not found or not (directory / "config.json").is_file():
            raise BadInput(f"{path} holds no SNAC checkpoint.", "It needs config.json and pytorch_model.bin.")
        return directory / "config.json", found[0]

    def _state(self) -> object:
        if self._weights.suffix == ".safetensors":
            return require("safetensors.torch", "snac").load_file(self._weights)
        return self._torch.load(self._weights, map_location="cpu", weights_only=True)

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self._name,
            revision=self._revision,
            weights_sha256=weights_digest([self._weights]),
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
        )

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self._encode(audio) for audio in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [self._decode(item) for item in codes]

    def _encode(self, audio: Audio) -> Codes:
        if audio.rate != self.sample_rate:
            raise BadAudio(f"{self._name}: audio at {audio.rate} Hz.", f"Resample to {self.sample_rate} Hz.")
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
