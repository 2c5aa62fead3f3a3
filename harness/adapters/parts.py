"""The parts of a checkpoint beside its weights: tokenizers, feature extractors, processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speech_eval.errors import BadInput, require

# The last is all that a tokenizer of bytes has.
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "*.model", "tekken.json", "tokenizer_config.json")
_EXTRACTORS = ("preprocessor_config.json", "processor_config.json")
# By class: what it is, and the files of which it needs one, the usual one first.
_PARTS = {
    "AutoTokenizer": ("tokenizer", _TOKENIZERS),
    "WhisperTokenizer": ("tokenizer", _TOKENIZERS),
    "Wav2Vec2CTCTokenizer": ("tokenizer", _TOKENIZERS),
    "AutoFeatureExtractor": ("feature extractor", _EXTRACTORS),
    "AutoProcessor": ("processor", _EXTRACTORS),
}


def load_part(auto_class: str, directory: Path, *, extra: str = "asr", trust_remote_code: bool = False) -> Any:
    """`transformers.<auto_class>` from the files of a checkpoint, without a network.

    Raises `BadInput` where the directory holds none of the files that describe it: transformers would name the hub, or
    build a tokenizer that knows no word.
    """
    what, files = _PARTS[auto_class]
    if not trust_remote_code and not any(next(directory.glob(name), None) for name in files):
        raise BadInput(
            f"{directory} holds no {what} ({files[0]}).",
            "Copy the checkpoint again, complete, or take the file from the model that it was trained from.",
        )
    cls = getattr(require("transformers", extra), auto_class)
    part = cls.from_pretrained(directory, trust_remote_code=trust_remote_code, local_files_only=True)
    if what == "tokenizer":
        _mark_special(part)
    return part


def _mark_special(tokenizer: Any) -> None:
    """Have decoding leave out all special tokens. Those of a checkpoint that has no tokenizer.json, and lists them in
    added_tokens.json and special_tokens_map.json, are plain words to transformers 5."""
    special = set(tokenizer.all_special_tokens)
    unmarked = [one for one in tokenizer.added_tokens_decoder.values() if one.content in special and not one.special]
    if unmarked:
        added = type(unmarked[0])
        tokenizer.add_tokens(
            [added(one.content, special=True, normalized=False) for one in unmarked], special_tokens=True
        )
