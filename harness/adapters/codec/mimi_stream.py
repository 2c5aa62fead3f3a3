"""Mimi's decoder frame by frame. transformers keeps the state of its attention between calls, but not that of its
convolutions, so frames decoded one by one would crackle; here both are kept, and the sound is that of one call."""

from __future__ import annotations

from typing import Any

# Latents (two per frame) that the convolutions after the transformer look back: 9.
_CONTEXT = 16


class MimiStream:
    """The state of one stream of codes through `MimiModel`."""

    def __init__(self, mimi: Any) -> None:
        self._mimi = mimi
        self._latent: Any = None  # of the last frame
        self._cache: Any = None
        self._hidden: Any = None  # the last latents after the transformer

    def decode(self, codes: Any) -> Any:
        """Codes [1, codebooks, frames] to the waveform [frames × hop] that follows what was decoded before."""
        import torch

        decoder, latents = self._mimi.decoder, self._mimi.quantizer.decode(codes)
        before = [] if self._latent is None else [self._latent]
        raised = decoder.upsample(torch.cat([*before, latents], dim=-1))
        raised = raised[..., -latents.shape[-1] * decoder.config.latent_stride :]
        self._latent = latents[..., -1:]
        attended = decoder.decoder_transformer(raised.transpose(1, 2), past_key_values=self._cache, use_cache=True)
        self._cache = attended.past_key_values
        new = attended.last_hidden_state.transpose(1, 2)
        hidden = new if self._hidden is None else torch.cat([self._hidden, new], dim=-1)
        self._hidden = hidden[..., -_CONTEXT:]
        wave = decoder.decoder_seanet(hidden[..., -_CONTEXT - new.shape[-1] :]).reshape(-1)
        hop = wave.shape[-1] // min(hidden.shape[-1], _CONTEXT + new.shape[-1])
        return wave[-new.shape[-1] * hop :]
