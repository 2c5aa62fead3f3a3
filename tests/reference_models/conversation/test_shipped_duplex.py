"""The duplex model that the project trained: it lets a user finish, and answers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("hibari")

from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.engine.generate.conversation import converse  # noqa: E402
from speech_eval.metrics.dialogue.turn_segments import turn_of  # noqa: E402
from speech_eval.reference_models import CHECKPOINTS  # noqa: E402
from speech_eval.reference_models.conversation.duplex.adapter import ReferenceDuplex  # noqa: E402
from speech_eval.reference_models.data.dialogues import RATE, user_turn  # noqa: E402
from speech_eval.signal import vad  # noqa: E402

torch.set_num_threads(1)


@pytest.mark.slow
def test_it_answers_after_the_turn_and_not_in_the_pause() -> None:
    made = user_turn(2_000_002, "hibari-low", 0.9, known=True)
    model = resolve("duplex-small").build()
    assert isinstance(model, ReferenceDuplex)
    said = converse(model, Audio(made.user, RATE))
    found = turn_of(vad.segments_of(said), made.turn_ends[0])
    assert found["clean"] == 1.0 and found["latency"] < 0.6
    assert len(model.text.split()) >= 4


@pytest.mark.parametrize("name", ["duplex-16k", "duplex-small"])
def test_weights_and_card_come_with_the_package(name: str) -> None:
    folder = CHECKPOINTS / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6
    assert "apache-2.0" in (folder / "README.md").read_text("utf-8")
    info = resolve(name).build().info()
    assert info.weights_sha256 and info.license.startswith("apache-2.0")
