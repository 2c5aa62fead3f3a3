"""A checkpoint of a stranger: what its descriptions say is refused in one line, and names no file elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.errors import BadInput


@pytest.mark.parametrize("name", ["config.json", "reference.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"kind": ' + "9" * 5000 + "}", "\x00", "[]"])
def test_a_description_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=name):
        modelspec.resolve(str(tmp_path)).build()


@pytest.mark.parametrize("shard", ["../../private.safetensors", "/etc/passwd", ".", 5, "a/b.safetensors"])
def test_the_shards_of_a_checkpoint_lie_beside_their_index(tmp_path: Path, shard: object) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "whisper"}')
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(BadInput, match=r"index\.json: the shard .* is not the name of a file"):
        modelspec.resolve(str(tmp_path)).build()
