"""How a duplex model takes turns, beside timeouts after silence, and what it hears: words or only loudness.

    python benchmarks/duplex_turns.py CHECKPOINT DATA/held-out-speaker.jsonl --turns 48 [--eagerness 0]

The model runs with all turns in one batch, sampled as its adapter does.

curve     decisions from one pass in which the agent stays silent: the first frame in which it would begin a word, for
          each `eagerness` (the adapter's option). Cut-offs, missed turns and latency as the task defines them, of when
          the first word would be heard
measured  the sound of a conversation at one `eagerness`, measured as the task `turn-taking` does
timeout   Silero VAD and a timeout, measured in the same way

`heard: loudness` replaces the user's codes in each frame with sound, and in two after it, by those of another such
frame, of any turn: what is left is when there is sound.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
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
from speech_eval.metrics.dialogue.turn_segments import TOLERANCE, turn_of
from speech_eval.records import Sample
from speech_eval.reference_models.conversation.duplex import checkpoint
from speech_eval.reference_models.conversation.duplex.layout import words_of
from speech_eval.reference_models.conversation.duplex.model import DuplexLM
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY
from speech_eval.signal import vad

_QUIET = 6  # frames, as in the adapter
_LOUD = 0.001  # RMS of a frame with any sound: the turns have no noise
_AFTER = 2  # frames whose codes still tell of the sound before them
_WAVE_LATE = 0.02  # seconds, of the Vocos decoder of codec/duplex-16k
_CURVE = [float(eagerness) for eagerness in range(-6, 7)]


class Batch:
    """A model in as many conversations at once as there are users [B, K, T]."""

    def __init__(
        self, model: DuplexLM, users: Tensor, temperatures: tuple[float, float], eagerness: float, seed: int
    ) -> None:
        self.model, self.users, self.eagerness = model, users, eagerness
        self.codes, self.words = temperatures
        self.random = torch.Generator().manual_seed(seed)
        self.quiet = torch.full((len(users),), _QUIET)

    def run(self) -> Tensor:
        """Text and the agent's codes [B, T, 1 + K]."""
        return torch.stack(list(self._frames(lambda hidden: self.model.speak(hidden, self._word, self._code))), dim=1)

    def margins(self) -> Tensor:
        """By how much [B, T] the logit of a word's beginning exceeds that of padding, while the agent stays silent: it
        begins where `eagerness` lifts this above 0."""
        model, found = self.model, []

        def silent(hidden: Tensor) -> Tensor:
            logits = model.head(hidden)
            found.append(logits[:, model.epad] - logits[:, model.pad])
            return model.write(hidden, torch.full((len(hidden),), model.pad), self._code)

        for _ in self._frames(silent):
            pass
        return torch.stack(found, dim=1)

    @torch.inference_mode()
    def _frames(self, said: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
        """Text and codes [B, 1 + K] of each frame, as `said` has them from the hidden state before it."""
        model, (count, books, frames) = self.model, self.users.shape
        cache, begins = DynamicCache(), torch.tensor(model.delays.slots[: model.written])
        mine = model.start[: model.written].expand(count, -1)
        heard = torch.full((count, books), EMPTY)
        for at in range(frames):
            hidden = model.advance(torch.cat([mine, heard], dim=1), cache, at)
            mine = torch.where(at < begins, EMPTY, said(hidden))
            self.quiet = torch.where(mine[:, 0] == model.pad, self.quiet + 1, 0)
            yield mine
            heard = self.users[:, :, at]

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
    late = max(model.delays.agent)
    books = [rows[:, begin : rows.shape[1] - late + begin, 1 + k] for k, begin in enumerate(model.delays.agent)]
    found = []
    for index in range(len(rows)):
        wave = codec.decode([book[index].numpy() for book in books]).samples
        silence = np.zeros(round((late / codec.step_rate + _WAVE_LATE) * codec.sample_rate), dtype=np.float32)
        found.append(Audio(np.concatenate([silence, wave]), codec.sample_rate))
    return found


def decided(model: DuplexLM, margins: Tensor, ends: Sequence[float], eagerness: float) -> dict[str, float]:
    """Shares of turns cut off, missed and taken cleanly, and the mean latency of these, of when the first word would be
    heard: the frame after the decision, after the acoustic delay and that of the codec's decoder."""
    frame, latencies, cut = 1 / model.config.codec.frame_rates[0], [], 0
    for row, end in zip(margins + eagerness > 0, ends, strict=True):
        if row.any():
            begins = (int(row.int().argmax()) + 1 + model.config.acoustic_delay) * frame + _WAVE_LATE
            cut += begins < end - TOLERANCE
            latencies += [begins - end] if begins >= end - TOLERANCE else []
    share = {"clean": len(latencies), "cut_off": cut, "missed": len(ends) - cut - len(latencies)}
    late = round(float(np.mean(latencies)), 3) if latencies else float("nan")
    return {name: round(count / len(ends), 3) for name, count in share.items()} | {"latency": late}


def shuffled(users: Tensor, audios: Sequence[Audio], hop: int, seed: int) -> Tensor:
    """Codes [B, K, T] with those of frames with speech in another order, over all turns."""
    frames = users.shape[-1]
    loud = torch.zeros(len(users), frames, dtype=torch.bool)
    for index, audio in enumerate(audios):
        whole = audio.samples[: len(audio.samples) // hop * hop].reshape(-1, hop)
        loud[index, : len(whole)] = torch.from_numpy(np.sqrt((whole**2).mean(1)) > _LOUD)[:frames]
    for _ in range(_AFTER):
        loud[:, 1:] |= loud[:, :-1].clone()
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


def users_of(turns_list: Path, count: int, codec: SpeechCodec) -> tuple[list[Sample], list[Audio]]:
    """The first samples of a list, and their user channels at the rate of the codec."""
    dataset = datasets.load_dataset(str(turns_list))
    samples = list(dataset.samples[:count])
    return samples, [
        user_channel(sample, lambda path: load(dataset.audio_path(path))).resampled(codec.sample_rate)
        for sample in samples
    ]


def encoded(codec: SpeechCodec, audios: Sequence[Audio]) -> Tensor:
    """The codes [B, K, T] of recordings, the last frame of the shorter ones repeated."""
    found = [np.stack(codec.encode(audio)) for audio in audios]
    frames = max(codes.shape[1] for codes in found)
    filled = [np.pad(codes, ((0, 0), (0, frames - codes.shape[1])), mode="edge") for codes in found]
    return torch.from_numpy(np.stack(filled))


def channels(model: DuplexLM, codec: SpeechCodec, rows: Tensor, users: Sequence[Audio]) -> list[Audio]:
    """The agent's channels of rows [B, T, 1 + K], as long as those of the users."""
    found = zip(spoken(model, codec, rows), users, strict=True)
    return [Audio(one.samples[: len(user.samples)], one.rate) for one, user in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("turns_list", type=Path)
    parser.add_argument("--turns", type=int, default=48)
    parser.add_argument("--eagerness", type=float, nargs="*", default=[0.0], help="of the measured conversations")
    parser.add_argument("--timeouts", type=float, nargs="*", default=[0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text-temperature", type=float, default=0.0)
    given = parser.parse_args()
    temperatures = (given.temperature, given.text_temperature)
    torch.set_num_threads(1)
    model, pieces, _ = checkpoint.load(given.checkpoint)
    codec = SpeechCodec(load_codec(model.config.codec.seen_from(given.checkpoint)))
    samples, audios = users_of(given.turns_list, given.turns, codec)
    ends = [float(sample.metadata["turn_end"]) for sample in samples]
    users = encoded(codec, audios)
    hop = round(codec.sample_rate / codec.step_rate)
    for name, heard in (("words", users), ("loudness", shuffled(users, audios, hop, given.seed))):
        margins = Batch(model, heard, temperatures, 0.0, given.seed).margins()
        for eagerness in _CURVE:
            say("curve", {"heard": name, "eagerness": eagerness} | decided(model, margins, ends, eagerness))
        for eagerness in given.eagerness:
            rows = Batch(model, heard, temperatures, eagerness, given.seed).run()
            said = channels(model, codec, rows, audios)
            say("measured", {"heard": name, "eagerness": eagerness} | measured(said, ends))
            for index in range(3 if name == "words" else 0):
                words = words_of(rows[index, :, 0].numpy(), model.pad, model.epad)
                say("words", {"user": samples[index].text, "agent": " ".join(pieces.word(ids) for _, ids in words)})
    for timeout in given.timeouts:
        agent = VadTimeout(timeout=timeout)
        say("timeout", measured([converse(agent, audio) for audio in audios], ends) | {"seconds": timeout})


def say(what: str, values: dict[str, Any]) -> None:
    print(json.dumps({"what": what, **values}), flush=True)


if __name__ == "__main__":
    main()
