"""The detokenizer: codes → what is told to the flow → mel spectrogram → waveform.

    codes ──► embeddings ──► causal reader, `ahead` frames later ──┐
                                                                   ▼
    noise ─────────────────────────────────► velocity network, NFE times ──► mel ──► Vocos head ──► sound

The only look-ahead is that of the reader over codes. Between blocks, the flow is causal at every time of its path: a
block's path depends on the paths of the blocks before it, never on later ones. So a stream that remembers keys and
values for each step of the path computes what one pass over everything computes. The Vocos head hears `reach` frames to
either side: a stream gives each frame's sound that much later, from a window that has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.codec.decoder import build_decoder
from speech_eval.reference_models.codec.layers import Transformer
from speech_eval.reference_models.codec.losses import MelLoss
from speech_eval.reference_models.codec.streaming import StreamState
from speech_eval.reference_models.conversation.flow.config import FlowConfig
from speech_eval.reference_models.conversation.flow.matching import bent, between, follow
from speech_eval.reference_models.conversation.flow.velocity import VelocityNetwork
from speech_eval.reference_models.training.checkpoint import load_checkpoint, restored
from speech_eval.reference_models.training.precision import in_float32

KIND = "flow"


class Detokenizer(nn.Module):
    """`forward` gives the training losses; `DetokenizerStream` decodes."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width, sizes = config.velocity.width, config.codec.codebook_sizes
        self.repeats = config.repeats
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in sizes)
        self.end = nn.Parameter(torch.zeros(width))  # what follows the last code
        self.nothing = nn.Parameter(torch.zeros(width))  # what the flow is told where codes are hidden
        self.reader = Transformer(config.reader, width, causal=True)
        self.velocity = VelocityNetwork(config.velocity, config.bands)
        self.vocoder = build_decoder(config.vocoder, config.bands, causal=False)
        self.analysis = MelLoss(config.codec.sample_rate, (config.vocoder.n_fft,), (config.bands,))
        self.register_buffer("mean", torch.zeros(config.bands))
        self.register_buffer("deviation", torch.ones(config.bands))

    @classmethod
    def load(cls, directory: Path) -> tuple[Detokenizer, dict[str, Any]]:
        """The model of a checkpoint directory and its card, on the CPU. Raises `BadInput` for one that does not fit."""
        plain, state, card = load_checkpoint(directory, KIND)
        model = restored(directory, lambda: cls(FlowConfig.model_validate(plain)), state)
        return model.eval(), card

    @in_float32
    def log_mel(self, audio: Tensor) -> Tensor:
        """Waveform [B, 1, F × hop] to log10 mel magnitudes [B, F, bands]; a frame's window is centered on its hop."""
        return self.analysis.log_mel(audio[..., self.config.hop // 2 :], self.config.vocoder.n_fft).mT

    def spectrogram(self, audio: Tensor) -> Tensor:
        """`log_mel` with the mean and the deviation of the training data taken out of each band."""
        return (self.log_mel(audio) - self.mean) / self.deviation

    @torch.no_grad()
    def measure(self, audio: Tensor) -> None:
        """Learn that mean and deviation from waveforms [B, 1, F × hop]."""
        frames = self.log_mel(audio).flatten(0, 1)
        self.mean.copy_(frames.mean(0))
        self.deviation.copy_(frames.std(0).clamp(min=1e-2))

    def forward(self, audio: Tensor, codes: Sequence[Tensor], hidden: float, part: int) -> dict[str, Tensor]:
        """The mean square error of the velocity at a random time of each item, the codes of a share `hidden` of them
        not told; and for the losses of the Vocos head, `part` frames of each waveform: `wave`, and `heard` from the
        true spectrogram. audio [B, 1, F × hop], codes[k] [B, frames_k]."""
        data = self.spectrogram(audio)
        told = self.told(codes)
        dropped = torch.rand(len(data), 1, 1, device=data.device) < hidden
        told = torch.where(dropped, self.nothing, told)
        time = bent(torch.rand(len(data), device=data.device))
        point, wanted = between(torch.randn_like(data), data, time)
        flow = F.mse_loss(self.velocity(point, time, told).float(), wanted)
        start = int(torch.randint(max(1, data.shape[1] - part + 1), ()))
        wave = audio[..., start * self.config.hop : (start + part) * self.config.hop]
        return {"flow": flow, "wave": wave, "heard": self.vocoder(data[:, start : start + part].mT)}

    def start_from(self, codec: nn.Module) -> bool:
        """Give the Vocos head the weights of a codec's decoder except for its first layer, which reads other frames;
        False if they have other shapes."""
        theirs = {name: value for name, value in codec.state_dict().items() if not name.startswith("read.")}
        own = {name: value.shape for name, value in self.vocoder.state_dict().items() if not name.startswith("read.")}
        if {name: value.shape for name, value in theirs.items()} != own:
            return False
        self.vocoder.load_state_dict(theirs, strict=False)
        return True

    def embed(self, codes: Sequence[Tensor]) -> Tensor:
        """codes[k] [B, frames_k] to [B, F, width], the sum over codebooks."""
        parts = [
            table(book).repeat_interleave(repeat, dim=1)
            for table, book, repeat in zip(self.embeddings, codes, self.repeats, strict=True)
        ]
        return torch.stack(parts).sum(0)

    def told(self, codes: Sequence[Tensor]) -> Tensor:
        """What the flow is told of whole recordings, [B, F, width]."""
        return self.read(self.embed(codes), StreamState(), last=True)

    def read(self, embedded: Tensor, state: StreamState, *, last: bool) -> Tensor:
        """The next embeddings [B, F, width] to what is told of the frames whose look-ahead they complete; all the rest
        if they are the `last`."""
        ahead = self.config.velocity.ahead
        if last:
            embedded = torch.cat((embedded, self.end.expand(embedded.shape[0], ahead, -1)), dim=1)
        waiting, missing = state.get(self, (embedded[:, :0], ahead))
        seen = self.reader(embedded.mT, state).mT if embedded.shape[1] else embedded
        skipped = min(missing, seen.shape[1])
        waiting, seen = torch.cat((waiting, embedded), dim=1), seen[:, skipped:]
        state[self] = (waiting[:, seen.shape[1] :], missing - skipped)
        return waiting[:, : seen.shape[1]] + seen

    def path(
        self, told: Tensor, noise: Tensor, evaluations: int, guidance: float, states: Sequence[StreamState]
    ) -> Tensor:
        """The spectrogram [B, F, bands] at the end of the path from `noise`. With `guidance` w, the velocity is
        (1 + w) × the one with codes - w × the one without (Ho and Salimans 2022). `states` has one for each step."""
        batch = len(told)
        if guidance:
            told = torch.cat((told, self.nothing.expand_as(told)))

        def velocity(x: Tensor, time: float, number: int) -> Tensor:
            at = x.new_full((len(told),), time)
            found = self.velocity(x.repeat(len(told) // batch, 1, 1), at, told, states[number])
            return (1 + guidance) * found[:batch] - guidance * found[batch:] if guidance else found

        return follow(velocity, noise, evaluations)


class DetokenizerStream:
    """One recording, part by part: `push` gives the sound that the codes so far complete. A recording that is pushed
    whole gives the same sound. The noise of a frame is a function of `seed` and the frame's number."""

    def __init__(self, model: Detokenizer, evaluations: int, guidance: float, seed: int) -> None:
        self.model, self.evaluations, self.guidance = model, evaluations, guidance
        self._reader, self._steps = StreamState(), [StreamState() for _ in range(evaluations)]
        self._noise = torch.Generator().manual_seed(seed)
        self._told = model.nothing.new_zeros(1, 0, model.config.velocity.width)  # of a block that is not complete
        self._window = model.nothing.new_zeros(1, 0, model.config.bands)  # of the spectrogram, the next sound in it
        self._heard = 0  # frames of the window whose sound was given

    @torch.inference_mode()
    def push(self, codes: Sequence[Tensor], *, last: bool = False) -> Tensor:
        """Codes [1, frames_k], possibly none, to sound [1, 1, samples], possibly none."""
        model, block = self.model, self.model.config.velocity.block
        told = torch.cat((self._told, model.read(model.embed(codes), self._reader, last=last)), dim=1)
        ready = told.shape[1] if last else told.shape[1] // block * block
        self._told, told = told[:, ready:], told[:, :ready]
        if ready:
            new = model.path(told, self.noise(ready).to(told), self.evaluations, self.guidance, self._steps)
            self._window = torch.cat((self._window, new), dim=1)
        return self._sound(last)

    def _sound(self, last: bool) -> Tensor:
        """The sound of the frames that the Vocos head sees with all their neighbors."""
        reach, hop, window = self.model.config.reach, self.model.config.hop, self._window
        first, stop = self._heard, window.shape[1] - (0 if last else reach)
        if stop <= first:
            return window.new_zeros(1, 1, 0)
        sound = self.model.vocoder(window.mT)[..., first * hop : stop * hop]
        kept = max(0, stop - reach)
        self._window, self._heard = window[:, kept:], stop - kept
        return sound

    def noise(self, frames: int) -> Tensor:
        """The next noise [1, frames, bands], drawn block by block, however many come at once."""
        block, bands = self.model.config.velocity.block, self.model.config.bands
        drawn = [torch.randn(block, bands, generator=self._noise) for _ in range(-(-frames // block))]
        return torch.cat(drawn)[None, :frames]
