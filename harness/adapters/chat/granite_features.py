"""The input of Granite Speech: stacked log mel frames, computed with torch alone.

The class of transformers needs torchaudio, which no release offers for a CPU build of a current torch. Everything but
the mel spectrogram is inherited from it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from speech_eval.adapters.parts import load_part


def load_processor(directory: Path) -> Any:
    """The `GraniteSpeechProcessor` of a checkpoint directory."""
    from transformers import GraniteSpeechProcessor

    tokenizer = load_part("AutoTokenizer", directory)
    return GraniteSpeechProcessor(extractor_class().from_pretrained(directory), tokenizer, **_template(tokenizer))


def _template(tokenizer: Any) -> dict[str, Any]:
    return {"chat_template": tokenizer.chat_template} if tokenizer.chat_template else {}


@cache
def extractor_class() -> Any:
    """`GraniteSpeechFeatureExtractor` with its own mel spectrogram: HTK scale, power 2, no normalization."""
    import torch
    from transformers import BatchFeature, GraniteSpeechFeatureExtractor, SequenceFeatureExtractor
    from transformers.audio_utils import mel_filter_bank

    class Extractor(GraniteSpeechFeatureExtractor):
        def __init__(
            self,
            sampling_rate: int = 16_000,
            n_fft: int = 512,
            win_length: int = 400,
            hop_length: int = 160,
            n_mels: int = 80,
            projector_window_size: int = 15,
            projector_downsample_rate: int = 5,
            padding_value: float = 0.0,
            **kwargs: Any,
        ) -> None:
            size = kwargs.pop("feature_size", None) or n_mels
            kwargs.pop("melspec_kwargs", None)
            SequenceFeatureExtractor.__init__(self, size, sampling_rate, padding_value, **kwargs)
            self.melspec_kwargs = {
                "sample_rate": sampling_rate,
                "n_fft": n_fft,
                "win_length": win_length,
                "hop_length": hop_length,
                "n_mels": n_mels,
            }
            self.projector_window_size = projector_window_size
            self.projector_downsample_rate = projector_downsample_rate

        def __call__(self, audios: Any, device: str | None = "cpu") -> Any:
            batch, lengths = self._get_audios_and_audio_lengths(audios)
            sizes = self._get_num_audio_features(lengths)
            mask = torch.arange(max(sizes))[None] < torch.tensor(sizes)[:, None]
            features = {"input_features": self._frames(batch.float()), "audio_embed_sizes": sizes}
            return BatchFeature({**features, "input_features_mask": mask})

        def _frames(self, waves: Any) -> Any:
            """Waves [B, samples] to frames [B, T, 2 × mels], two mel frames each."""
            mel = self.melspec_kwargs
            bands = mel_filter_bank(mel["n_fft"] // 2 + 1, mel["n_mels"], 0, mel["sample_rate"] / 2, mel["sample_rate"])
            spectrum = torch.stft(
                waves,
                mel["n_fft"],
                mel["hop_length"],
                mel["win_length"],
                torch.hann_window(mel["win_length"]),
                return_complex=True,
            ).abs()
            energies = spectrum.square().transpose(1, 2) @ torch.from_numpy(bands).float()
            levels = energies.clip(min=1e-10).log10()
            floored = torch.maximum(levels, levels.amax(dim=(1, 2), keepdim=True) - 8) / 4 + 1
            even = floored[:, : floored.shape[1] // 2 * 2]
            return even.reshape(len(even), -1, 2 * mel["n_mels"])

    Extractor.__name__ = GraniteSpeechFeatureExtractor.__name__
    return Extractor
