"""The agent's words as pieces: byte-level BPE, learned from the transcripts, beside the weights as `pieces.json`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput
from speech_eval.text.files import LARGEST_RECORD, read_bytes

FILE = "pieces.json"
_SILENT = re.compile(r"[^\w' ]+")


def plain(word: str) -> str:
    """A word as it is learned: lower case, without punctuation."""
    return _SILENT.sub("", word.lower()).strip()


class Pieces:
    """Ids of words, one word at a time."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def learn(cls, words: Iterable[str], size: int) -> Pieces:
        """At most `size` pieces, the 256 bytes included."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(map(plain, words), trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, directory: Path) -> Pieces:
        """Those of a checkpoint directory. Raises `BadInput` for a file that is missing or broken."""
        file = directory / FILE
        try:
            return cls(Tokenizer.from_str(read_bytes(file, LARGEST_RECORD).decode("utf-8")))
        except Exception as error:  # tokenizers raises plain Exception for a file that it cannot read
            raise BadInput(f"{file}: {error}.", "Copy the checkpoint again, complete.") from error

    def save(self, directory: Path) -> None:
        write_atomically(directory / FILE, self._tokenizer.to_str().encode())

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def ids(self, word: str) -> list[int]:
        """The pieces of a word; none for one that is all punctuation."""
        return list(self._tokenizer.encode(plain(word)).ids)

    def word(self, ids: Sequence[int]) -> str:
        """The inverse of `ids`, up to case and punctuation."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))
