"""How a duplex model takes turns, beside timeouts after silence, and what it hears: words or only loudness.

    python benchmarks/duplex_turns.py CHECKPOINT DATA/held-out-speaker.jsonl --turns 48

Every row is measured as the task `turn-taking` does. The model runs with all turns in one batch, sampled as its adapter
does. `shuffled` replaces the user's codes in each frame with speech by those of another such frame, of any turn: what
is left is when there is sound. `eagerness` is the adapter's option of that name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from speech_eval import datasets
from speech_eval.adapters.duplex.vad_timeout import VadTimeout
from speech_eval.audio import Audio, load
from speech_eval.engine.generate.conversation import converse, user_channel
from speech_eval.metrics.dialogue.turn_segments import turn_of
from speech_eval.reference_models.conversation.duplex import checkpoint
from speech_eval.reference_models.conversation.duplex.layout import words_of
from speech_eval.reference_models.conversation.duplex.model import DuplexLM
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY
from speech_eval.signal import vad

_QUIET = 6  # frames, as in the adapter
_LOUD = 0.01  # RMS of a frame with speech


class Batch:
    """A model in as many conversations at once as there are users [B, K, T]."""

    def __init__(
        self, model: DuplexLM, users: Tensor, temperatures: tuple[float, float], eagerness: float, seed: int
    ) -> None:
        self.model, self.users, self.eagerness = model, users, eagerness
        self.codes, self.words = temperatures
        self.random = torch.Generator().manual_seed(seed)
        self.quiet = torch.full((len(users),), _QUIET)

    @torch.inference_mode()
    def run(self) -> Tensor:
        """Text and the agent's codes [B, T, 1 + K]."""
        model, (count, books, frames) = self.model, self.users.shape
        cache, begins = DynamicCache(), torch.tensor(model.delays.slots[: model.written])
        mine = model.start[: model.written].expand(count, -1)
        heard, rows = torch.full((count, books), EMPTY), []
        for at in range(frames):
            hidden = model.advance(torch.cat([mine, heard], dim=1), cache, at)
            mine = torch.where(at < begins, EMPTY, model.speak(hidden, self._word, self._code))
            self.quiet = torch.where(mine[:, 0] == model.pad, self.quiet + 1, 0)
            rows.append(mine)
            heard = self.users[:, :, at]
        return torch.stack(rows, dim=1)

    def _word(self, logits: Tensor) -> Tensor:
        logits = logits.clone()
        logits[:, self.model.epad] += self.eagerness * (self.quiet >= _QUIET)
        return self._draw(logits, self.words)

    def _code(self, logits: Tensor) -> Tensor:
        return self._draw(logits, self.codes)

    def _draw(self, logits: Tensor, temperature: float) -> Tensor:
        if temperature == 0.0:
            return logits.argmax(-1)
        noise = torch.empty_like(logits).exponential_(generator=self.random).clamp(min=1e-20)
        return (logits / temperature - noise.log()).argmax(-1)


def spoken(model: DuplexLM, codec: SpeechCodec, rows: Tensor) -> list[Audio]:
    """The sound of rows [B, T, 1 + K] when it is heard: as late as the acoustic codes and the decoder make it."""
    late, wave_late = max(model.delays.agent), 0.02  # of the Vocos decoder of codec/duplex-16k
    books = [rows[:, begin : rows.shape[1] - late + begin, 1 + k] for k, begin in enumerate(model.delays.agent)]
    found = []
    for index in range(len(rows)):
        wave = codec.decode([book[index].numpy() for book in books]).samples
        silence = np.zeros(round((late / codec.step_rate + wave_late) * codec.sample_rate), dtype=np.float32)
        found.append(Audio(np.concatenate([silence, wave]), codec.sample_rate))
    return found


def shuffled(users: Tensor, audios: Sequence[Audio], hop: int, seed: int) -> Tensor:
    """Codes [B, K, T] with those of frames with speech in another order, over all turns."""
    frames = users.shape[-1]
    loud = torch.zeros(len(users), frames, dtype=torch.bool)
    for index, audio in enumerate(audios):
        whole = audio.samples[: len(audio.samples) // hop * hop].reshape(-1, hop)
        loud[index, : len(whole)] = torch.from_numpy(np.sqrt((whole**2).mean(1)) > _LOUD)[:frames]
    found, places = users.clone(), loud.nonzero()
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    found[places[:, 0], :, places[:, 1]] = users[places[order][:, 0], :, places[order][:, 1]]
    return found


def measured(audios: Sequence[Audio], ends: Sequence[float]) -> dict[str, float]:
    """Shares of clean turns and of cut-offs, and the mean latency of the clean ones."""
    parts = [turn_of(vad.segments_of(audio), end) for audio, end in zip(audios, ends, strict=True)]
    clean = sum(part["clean"] for part in parts)
    return {
        "clean": round(clean / len(parts), 3),
        "cut_off": round(sum(part["cut_off"] for part in parts) / len(parts), 3),
        "taken": round(sum(part["turn"] for part in parts) / len(parts), 3),
        "latency": round(sum(part["latency"] for part in parts) / clean, 3) if clean else float("nan"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("turns_list", type=Path)
    parser.add_argument("--turns", type=int, default=48)
    parser.add_argument("--eagerness", type=float, nargs="*", default=[-4.0, -2.0, 0.0, 2.0, 4.0])
    parser.add_argument("--timeouts", type=float, nargs="*", default=[0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text-temperature", type=float, default=0.0)
    given = parser.parse_args()
    temperatures = (given.temperature, given.text_temperature)
    torch.set_num_threads(1)
    dataset = datasets.load_dataset(str(given.turns_list))
    samples = dataset.samples[: given.turns]
    model, pieces, _ = checkpoint.load(given.checkpoint)
    codec = SpeechCodec(load_codec(model.config.codec.seen_from(given.checkpoint)))
    audios = [
        user_channel(sample, lambda path: load(dataset.audio_path(path))).resampled(codec.sample_rate)
        for sample in samples
    ]
    ends = [float(sample.metadata["turn_end"]) for sample in samples]
    encoded = [np.stack(codec.encode(audio)) for audio in audios]
    frames = max(codes.shape[1] for codes in encoded)
    users = torch.from_numpy(np.stack([_filled(codes, frames) for codes in encoded]))
    hop = round(codec.sample_rate / codec.step_rate)
    for name, heard in (("duplex", users), ("shuffled", shuffled(users, audios, hop, given.seed))):
        for eagerness in given.eagerness:
            rows = Batch(model, heard, temperatures, eagerness, given.seed).run()
            said = [
                Audio(one.samples[: len(user.samples)], one.rate)
                for one, user in zip(spoken(model, codec, rows), audios, strict=True)
            ]
            say(name, measured(said, ends) | {"eagerness": eagerness})
            if name == "duplex" and eagerness == 0.0:
                for index in range(3):
                    words = words_of(rows[index, :, 0].numpy(), model.pad, model.epad)
                    say("words", {"user": samples[index].text, "agent": " ".join(pieces.word(ids) for _, ids in words)})
    for timeout in given.timeouts:
        agent = VadTimeout(timeout=timeout)
        say("timeout", measured([converse(agent, audio) for audio in audios], ends) | {"seconds": timeout})


def _filled(codes: Ints, frames: int) -> Ints:
    """Codes [K, T] up to `frames`, the last frame repeated."""
    return np.pad(codes, ((0, 0), (0, frames - codes.shape[1])), mode="edge")


def say(what: str, values: dict[str, Any]) -> None:
    print(json.dumps({"what": what, **values}), flush=True)


if __name__ == "__main__":
    main()
