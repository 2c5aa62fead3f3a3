"""The duplex model that the project trained: it lets a user finish, and answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("hibari")

from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.engine.generate.conversation import converse  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.metrics.dialogue.turn_segments import turn_of  # noqa: E402
from speech_eval.reference_models import CHECKPOINTS  # noqa: E402
from speech_eval.reference_models.conversation.duplex.adapter import ReferenceDuplex  # noqa: E402
from speech_eval.reference_models.data.dialogues import RATE, user_turn  # noqa: E402
from speech_eval.signal import vad  # noqa: E402

torch.set_num_threads(1)


@pytest.mark.slow
def test_it_answers_after_the_turn_and_not_in_the_pause() -> None:
    model = resolve("duplex-small").build()
    assert isinstance(model, ReferenceDuplex)
    clean = 0.0
    for seed in range(2_000_001, 2_000_007):
        made = user_turn(seed, "hibari-low", (0.9,), "user")
        said = converse(model, Audio(made.user, RATE))
        clean += turn_of(vad.segments_of(said), made.turn_ends[0])["clean"]
        assert len(model.text.split()) >= 4
    assert clean >= 4, "of six; a timeout of 0.8 s takes none of them"


@pytest.mark.parametrize("name", ["duplex-16k", "duplex-small"])
def test_weights_and_card_come_with_the_package(name: str) -> None:
    folder = CHECKPOINTS / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6
    assert "apache-2.0" in (folder / "README.md").read_text("utf-8")
    info = resolve(name).build().info()
    assert info.weights_sha256 and info.license.startswith("apache-2.0")


def of_a_stranger(name: str, folder: Path, part: str, value: object) -> str:
    """A shipped checkpoint with another value in its configuration."""
    shutil.copytree(CHECKPOINTS / name, folder)
    described = json.loads((folder / "reference.json").read_text("utf-8"))
    place, _, key = part.rpartition(".")
    (described["config"][place] if place else described["config"])[key] = value
    (folder / "reference.json").write_text(json.dumps(described))
    return str(folder)


@pytest.mark.parametrize("name", ["duplex-small", "llasa-3m-en"])
@pytest.mark.parametrize(
    "codec", ["{}/code.py:Codec", "[{}/code.py:Codec]", "xcodec2,path={},trust_remote_code=true", "openai:{}#m", "{}/x"]
)
def test_a_codec_that_a_checkpoint_names_runs_no_code(name: str, codec: str, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    spec = of_a_stranger(name, tmp_path / "model", "codec.spec", codec.format(tmp_path))
    with pytest.raises(BadInput, match="neither a folder, a model of the catalog nor of the hub"):
        resolve(spec).build()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("acoustic_delay", 10**9, "'acoustic_delay': Input should be less"),
        ("text_delay", -(10**9), "'text_delay': Input should be greater"),
        ("pieces", 999, r"size mismatch for embeddings\.0"),
        ("codec.codebook_sizes", [512], "belong to another configuration .Unexpected key"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(part: str, value: object, named: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=named) as error:
        resolve(of_a_stranger("duplex-small", tmp_path / "model", part, value)).build()
    assert "\n" not in str(error.value)
