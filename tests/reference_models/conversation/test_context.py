"""Contextual speech: turns cut out of two channels, documents of several turns, and the likelihood of the next one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from support.tiny_speech import codec_of, save_codec, tiny_config, tiny_lm  # noqa: E402

from speech_eval.reference_models.conversation.context.config import ContextConfig  # noqa: E402
from speech_eval.reference_models.conversation.context.train import train_recipe  # noqa: E402
from speech_eval.reference_models.conversation.context.turns import (  # noqa: E402
    MARK,
    Turn,
    conversations,
    cut_turns,
    fitting,
    joined,
)
from speech_eval.reference_models.data.corpus import open_corpus  # noqa: E402
from speech_eval.reference_models.data.token_shards import Document, Shards, write_shards  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load  # noqa: E402
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY, IGNORE  # noqa: E402
from speech_eval.reference_models.tts import building  # noqa: E402
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig  # noqa: E402

torch.set_num_threads(1)
RATE = 16000
TURNS = [[1, "Two words.", 0.5, 1.5], [0, "An answer.", 2.0, 3.0], [1, "Thanks.", 3.5, 4.0]]


def two_channels(path: Path, count: int = 3) -> Path:
    """Conversations of three turns, each a tone of its speaker; the last conversation is held out."""
    path.mkdir()
    rows, time = [], np.arange(5 * RATE) / RATE
    for number in range(count):
        sound = np.zeros((len(time), 2), np.float32)
        for channel, _, start, end in TURNS:
            inside = (time >= start) & (time < end)
            sound[inside, channel] = 0.2 * np.sin(2 * np.pi * (150 + 60 * channel + 5 * number) * time[inside])
        soundfile.write(path / f"{number}.wav", sound, RATE)
        split = "held-out" if number == count - 1 else "train"
        rows.append({"file_name": f"{number}.wav", "id": f"c{number}", "text": "…", "language": "en"})
        rows[-1] |= {"turns": TURNS, "split": split}
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_turns_are_cut_out_of_their_channel_in_the_order_they_begin(tmp_path: Path) -> None:
    corpus = open_corpus(two_channels(tmp_path / "talk"))
    folder = cut_turns(corpus, tmp_path / "turns", "stop", lambda _: None)
    write_shards(folder, str(save_codec(tmp_path / "codec", "csm")), tmp_path / "shards")
    held_out, train = (conversations(Shards(tmp_path / "shards", split)) for split in ("held-out", "train"))
    assert len(train) == 2 and [turn.conversation for turn in held_out[0]] == ["c2"] * 3
    assert [turn.said for turn in held_out[0]] == [f"{MARK}Two words.", "An answer.", f"{MARK}Thanks."]
    answer = next(row for row in folder.glob("*01.flac") if row.name.startswith("c0"))
    samples, _ = soundfile.read(answer)
    assert len(samples) / RATE == pytest.approx(1.3, abs=0.01)
    loudest = np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples)
    assert loudest == pytest.approx(150, abs=2), "the agent's channel"


def turns(tmp_path: Path) -> tuple[list[Turn], building.TokenLM]:
    codec = save_codec(tmp_path / "codec", "csm")
    config = tiny_config(codec_of(codec), str(codec), "csm")
    random = np.random.default_rng(0)
    found = []
    for number, (speaker, text) in enumerate((("user", "Hello."), ("agent", "Yes?"), ("user", "Bye."))):
        codes = [random.integers(0, 16, 12 + number) for _ in range(3)]
        found.append(Turn("c", number, Document(f"c#{number}", text, text, speaker, "en", 1.0, codes)))
    return found, tiny_lm(config)


def test_a_document_has_the_text_and_the_sound_of_each_turn_and_ends_each(tmp_path: Path) -> None:
    parts, model = turns(tmp_path)
    rows, labels = joined(model.tokenizer, parts)
    alone = [model.tokenizer.example(turn.said, turn.document.codes) for turn in parts]
    assert len(rows) == sum(len(own) for own, _ in alone) == len(labels)
    assert int((labels[:, 0] == model.tokenizer.end).sum()) == 3
    said = "".join(
        chr(int(i) - model.tokenizer.vocabulary.block("text")[0]) for i in rows[:, -1] if i > 4 and i != EMPTY
    )
    assert said == f"{MARK}Hello.Yes?{MARK}Bye."
    sound = rows[rows[:, 0] != EMPTY][:, :3]
    np.testing.assert_array_equal(sound, np.concatenate([np.stack(turn.document.codes, 1) for turn in parts]))


def test_the_next_turn_hears_the_turns_before_it(tmp_path: Path) -> None:
    parts, model = turns(tmp_path)

    def nats(context: list[Turn]) -> float:
        rows, labels = joined(model.tokenizer, [*context, parts[2]])
        own = len(model.tokenizer.example(parts[2].said, parts[2].document.codes)[0])
        labels[:-own] = IGNORE
        with torch.no_grad():
            found = model(torch.from_numpy(rows)[None], torch.from_numpy(labels)[None])
        return float(sum(found.values()))

    assert nats(parts[:2]) != pytest.approx(nats([]), rel=1e-6)
    assert nats([parts[0]]) != pytest.approx(nats(parts[:2]), rel=1e-6)


def test_a_conversation_is_parted_where_it_does_not_fit(tmp_path: Path) -> None:
    parts, model = turns(tmp_path)
    lengths = [len(joined(model.tokenizer, [turn])[0]) for turn in parts]
    cut = fitting(model.tokenizer, parts, lengths[0] + lengths[1])
    assert [[turn.number for turn in part] for part in cut] == [[0, 1], [2]]
    assert [len(part) for part in fitting(model.tokenizer, parts, 1)] == [1, 1, 1]


@pytest.mark.parametrize("size", ["smoke", "cpu", "reference", "scale"])
def test_every_size_of_the_recipe_can_be_read(size: str) -> None:
    recipe = load("conversation/csm-context", size)
    config = recipe.read(ContextConfig, {**recipe.model, "codec": {"spec": "x"}}).speech_lm()
    training = recipe.read(TTSTrainingConfig, recipe.training)
    assert config.layout == "csm" and training.sequence <= config.core.positions


@pytest.mark.slow
def test_training_learns_conversations(tmp_path: Path) -> None:
    data, codec = two_channels(tmp_path / "talk"), save_codec(tmp_path / "codec", "csm")
    changes = {
        "model": {
            "type": "csm-context",
            "layout": "csm",
            "core": {"type": "llama", "width": 32, "layers": 1, "heads": 2, "feed_forward": 64, "positions": 512},
            "depth": {"width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "share": 1.0},
        },
        "training": {"steps": 12, "batch_size": 1, "sequence": 400, "log_every": 4, "validate_every": 12}
        | {
            "optimizer": {"learning_rate": 1e-2},
            "check": {"utterances": 1, "max_wer": 1000.0, "recognizer": "whisper-tiny.en"},
        },
        "codec": {"spec": str(codec)},
    }
    recipe = ResolvedRecipe.model_validate(load("conversation/csm-context", "smoke").model_dump() | changes)
    card = train_recipe(recipe, data, tmp_path / "out")
    assert card["data"]["shards"]["train"]["utterances"] == 6 and card["training"]["steps"] == 12
    rows = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["first"] < rows[0]["first"]
    model, _ = building.load(tmp_path / "out")
    assert model.config.layout == "csm"
