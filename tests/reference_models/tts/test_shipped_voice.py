"""The voice that the project trained, on sentences that it was not trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest  # noqa: E402
from speech_eval.engine import session as runner  # noqa: E402
from speech_eval.engine.session import Settings  # noqa: E402
from speech_eval.reference_models import CHECKPOINTS  # noqa: E402

torch.set_num_threads(1)
# Of the held-out split of its data.
SENTENCES = (
    "Tongue, letter and camera.",
    "What a perfect photograph!",
    "There was my mouse under his fork.",
    "In the evening, the farmer will use no year.",
    "Could you hide her plain egg every other week?",
    "Could you buy his precise picture next summer?",
    "Her agent behind our bed was young and sharp.",
    "Glove, ladder and bank.",
)


@pytest.mark.slow
def test_held_out_sentences_are_understood(tmp_path: Path) -> None:
    manifest = tmp_path / "sentences.jsonl"
    rows = [{"id": f"s{i}", "text": text, "language": "en"} for i, text in enumerate(SENTENCES)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    settings = Settings(data=str(manifest), metrics=("wer[whisper-normalizer@20250625]",), workers=1)
    results = runner.run(modelspec.parse("llasa-3m-en"), ["seed-tts"], tmp_path / "run", settings)
    (task,) = results.tasks
    assert task.counts.ok == task.counts.expected == len(SENTENCES)
    (words,) = [number.strict.value for number in task.metrics if number.name == "wer"]
    assert words is not None and words < 30  # per cent; 20 where it was written, 19 over 113 sentences


def test_the_same_seed_is_the_same_sound_and_no_prompt_is_heard() -> None:
    voice = modelspec.resolve("llasa-3m-en").build()
    assert isinstance(voice, SpeechSynthesizer)
    asked = SynthesisRequest("a", "A small voice.", seed=3)
    (first,), (again,) = voice.synthesize([asked]), voice.synthesize([asked])
    assert (first.samples == again.samples).all() and first.rate == 16_000
    assert 0.7 < first.seconds < 3


def test_its_weights_and_their_card_come_with_the_package() -> None:
    folder = CHECKPOINTS / "llasa-3m-en"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 25e6
    info = modelspec.resolve("llasa-3m-en").build().info()
    assert info.license == "apache-2.0, synthetic" and info.weights_sha256
    assert "synthetic" in (folder / "README.md").read_text("utf-8")
