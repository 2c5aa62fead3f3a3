"""Dialogues as codes on disk, encoded once.

SHARDS/train.safetensors     codes of each dialogue by its number: uint16 [2, K, frames], the agent's first; held-out…
SHARDS/train.jsonl           per dialogue: its id, its frames, and the agent's words with their times
SHARDS/shards.json           the codec, what was encoded, what was left out and why; written last
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors import safe_open
from safetensors.numpy import save

from speech_eval.adapters.base import AudioCodec
from speech_eval.cache import make_folder, write_atomically
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.conversation.duplex.channels import AGENT, USER, load_channels, words_in
from speech_eval.reference_models.conversation.duplex.layout import Word
from speech_eval.reference_models.data.corpus import Clip, Corpus, LeftOut, report
from speech_eval.reference_models.data.splits import HELD_OUT, TRAIN
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, TwoWayStream, load_codec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.training.config import Policy
from speech_eval.reference_models.training.log import differences

SUMMARY = "shards.json"
_VERSION = 1


@dataclass(frozen=True)
class Dialogue:
    """Codes [2, K, frames] of the agent and the user, and the agent's words."""

    id: str
    codes: Ints
    words: list[Word]


def write_dialogues(
    corpus: Corpus,
    codec_spec: str,
    output: Path,
    *,
    on_bad: Policy = "skip",
    renew: bool = False,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Encode every two-channel recording that tells its words; returns the summary. Shards of the same data and codec
    are kept; with `renew`, others are written anew. Raises `BadInput` naming what differs without `renew`, and where
    there is no dialogue to train on."""
    codec = load_codec(codec_spec)
    TwoWayStream(SpeechCodec(codec))  # raises for a codec that no conversation could be held through
    plan = {"version": _VERSION, "data": corpus.identity(), "codec_sha256": codec.info().weights_sha256}
    make_folder(output)
    with FileLock(output / ".lock"):  # several processes of one training may ask at once
        done = output / SUMMARY
        if done.is_file():
            summary: dict[str, Any] = json.loads(done.read_text("utf-8"))
            if not (changed := differences(summary["plan"], plan)):
                return summary
            if not renew:
                raise BadInput(f"{output} holds shards of something else: {changed}.", "Choose another folder.")
            say(f"{output} is written anew: {changed}")
        summary = {"plan": plan, **_write(corpus, codec, codec_spec, output, on_bad, progress, say)}
        write_atomically(done, (json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
    return summary


def _write(
    corpus: Corpus, codec: AudioCodec, spec: str, output: Path, on_bad: Policy, progress: Progress, say: Say
) -> dict[str, Any]:
    speech, left_out, splits, done = SpeechCodec(codec), [], {}, 0
    for split in (TRAIN, HELD_OUT):
        tensors: dict[str, Any] = {}
        lines: list[dict[str, Any]] = []
        seconds = 0.0
        for clip in corpus.split(split):
            found = _encoded(clip, speech)
            done += 1
            progress("encode", done, len(corpus.clips))
            if isinstance(found, LeftOut):
                left_out.append(found)
                continue
            tensors[str(len(lines))] = found.codes.astype(np.uint16)
            words = [[word.text, word.start, word.end] for word in found.words]
            lines.append({"id": found.id, "frames": found.codes.shape[-1], "words": words})
            seconds += clip.seconds
        write_atomically(output / f"{split}.safetensors", save(tensors))
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_atomically(output / f"{split}.jsonl", text.encode())
        splits[split] = {"dialogues": len(lines), "hours": round(seconds / 3600, 4)}
    report(left_out, len(corpus.clips), "dialogues", on_bad, say)
    if not splits[TRAIN]["dialogues"]:
        corpus.refuse("two-channel recording with words to train on", left_out)
    section = CodecSection(
        spec=spec,
        codebook_sizes=tuple(speech.codebook_sizes),
        frame_rates=tuple(speech.frame_rates),
        weights_sha256=codec.info().weights_sha256 or "",
        sample_rate=codec.sample_rate,
    )
    left = {item.clip: item.reason for item in (*corpus.left_out, *left_out)}
    return {"codec": section.model_dump(mode="json"), "splits": splits, "passed_over": left}


def _encoded(clip: Clip, codec: SpeechCodec) -> Dialogue | LeftOut:
    """A dialogue, or why it cannot be used."""
    try:
        words = words_in(clip.sample)
        channels = load_channels(clip.path, codec.sample_rate)
    except SpeechEvalError as error:
        kind = "words" if isinstance(error, BadInput) else "unreadable"
        return LeftOut(clip.id, kind, error.problem.rstrip(".").removeprefix(f"{clip.id}: "))
    if len(channels) != 2:
        return LeftOut(clip.id, "channels", f"it has {len(channels)} channels, a dialogue has 2")
    codes = np.stack([np.stack(codec.encode(channels[which])) for which in (AGENT, USER)])
    return Dialogue(clip.id, codes, words[AGENT])


class Dialogues:
    """The shards of a split, opened. Codes are read on access."""

    def __init__(self, folder: Path, split: str = TRAIN) -> None:
        self.summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text("utf-8"))
        self.codec = CodecSection.model_validate(self.summary["codec"])
        self._rows = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()]
        self._file = safe_open(folder / f"{split}.safetensors", framework="np")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Dialogue:
        row = self._rows[index]
        codes = np.asarray(self._file.get_tensor(str(index)), dtype=np.int64)
        return Dialogue(row["id"], codes, [Word(*word) for word in row["words"]])

    def words(self) -> Iterator[str]:
        """The agent's words of all dialogues."""
        for row in self._rows:
            yield from (word[0] for word in row["words"])
