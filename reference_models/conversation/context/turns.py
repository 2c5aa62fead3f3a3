"""Conversations as turns: cut out of two-channel recordings, then joined into the documents that a model learns.

    turn 0: text, sound · turn 1: text, sound · turn 2: text, sound …       one document; loss on the sound of all turns

A turn of the user begins with a mark, one of the agent with nothing: a model's own voice is the agent's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speech_eval.audio import Audio, flac_bytes
from speech_eval.cache import write_atomically
from speech_eval.errors import SpeechEvalError
from speech_eval.progress import Say
from speech_eval.reference_models.conversation.duplex.channels import AGENT, USER, load_channels, turns_of, words_in
from speech_eval.reference_models.conversation.duplex.layout import Word
from speech_eval.reference_models.data.corpus import Clip, Corpus, LeftOut, report
from speech_eval.reference_models.data.token_shards import Document, Shards
from speech_eval.reference_models.speech_lm.tokenizer import Example, FrameTokenizer
from speech_eval.reference_models.training.config import Policy

NAMES = {AGENT: "agent", USER: "user"}
MARK = "[user] "
_GAP = 1.0  # seconds of silence that separate two turns of one speaker
_BEFORE, _AFTER = 0.1, 0.2  # seconds kept around the words


@dataclass(frozen=True)
class Turn:
    """Where a turn lies in its conversation, and its document."""

    conversation: str
    number: int
    document: Document

    @property
    def said(self) -> str:
        """The text as the model reads it."""
        return (MARK if self.document.speaker == NAMES[USER] else "") + self.document.spoken


def cut_turns(corpus: Corpus, output: Path, on_bad: Policy, say: Say) -> Path:
    """Write an AudioFolder of the turns of every two-channel recording, in the order in which they begin; returns it.
    A folder that is complete is kept. Recordings that do not tell their words are left out by name. Raises `BadInput`
    for the first of them if `on_bad` is stop, and where no conversation is left."""
    done = output / "metadata.jsonl"
    if done.is_file():
        return output
    lines: list[dict[str, str]] = []
    left_out: list[LeftOut] = []
    for clip in corpus.clips:
        try:
            channels, words = load_channels(clip.path, clip.rate), words_in(clip.sample)
        except SpeechEvalError as error:
            left_out.append(LeftOut(clip.id, "words", error.problem.rstrip(".")))
            continue
        if len(channels) != len(NAMES):
            left_out.append(LeftOut(clip.id, "channels", f"it has {len(channels)} channels, a conversation has 2"))
            continue
        lines += _written(clip, channels, words, output)
    report(left_out, len(corpus.clips), "conversations", on_bad, say)
    if not lines:
        corpus.refuse("two-channel recording with words", left_out)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomically(done, text.encode())
    say(f"{len(lines)} turns of {len(corpus.clips) - len(left_out)} conversations")
    return output


def _written(
    clip: Clip, channels: Sequence[Audio], words: Sequence[Sequence[Word]], output: Path
) -> Iterator[dict[str, str]]:
    """Write the turns of a conversation; their rows."""
    turns = [(turn[0].start, channel, turn) for channel in (AGENT, USER) for turn in turns_of(words[channel], _GAP)]
    for number, (start, channel, turn) in enumerate(sorted(turns, key=lambda item: item[:2])):
        first, stop = (max(0, round(at * clip.rate)) for at in (start - _BEFORE, turn[-1].end + _AFTER))
        name = f"{clip.id}#{number:02d}"
        file = f"{re.sub(r'[^A-Za-z0-9-]', '_', name)}.flac"
        sound = np.ascontiguousarray(channels[channel].samples[first:stop])
        write_atomically(output / file, flac_bytes(Audio(sound, clip.rate)))
        row = {"file_name": file, "id": name, "text": " ".join(word.text for word in turn)}
        yield row | {"speaker": NAMES[channel], "language": clip.sample.language, "split": clip.split}


def conversations(shards: Shards) -> list[list[Turn]]:
    """The turns of each conversation, in order."""
    found: dict[str, list[Turn]] = {}
    for document in (shards[index] for index in range(len(shards))):
        name, _, number = document.id.rpartition("#")
        found.setdefault(name, []).append(Turn(name, int(number), document))
    return [sorted(turns, key=lambda turn: turn.number) for turns in found.values()]


def joined(tokenizer: FrameTokenizer, turns: Sequence[Turn]) -> Example:
    """One document: the rows and labels of the turns, one after the other."""
    examples = [tokenizer.example(turn.said, turn.document.codes) for turn in turns]
    rows, labels = zip(*examples, strict=True)
    return np.concatenate(rows), np.concatenate(labels)


def fitting(tokenizer: FrameTokenizer, turns: Sequence[Turn], positions: int) -> list[list[Turn]]:
    """A conversation in parts of consecutive turns that fit; a turn that is too long alone is a part all the same."""
    parts: list[list[Turn]] = []
    room = 0
    for turn in turns:
        length = len(tokenizer.example(turn.said, turn.document.codes)[0])
        if not parts or length > room:
            parts.append([])
            room = positions
        parts[-1].append(turn)
        room -= length
    return parts
