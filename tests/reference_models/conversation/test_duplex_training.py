"""From stereo recordings to an agent: what is learned is what it says, chunk by chunk, without looking ahead."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("transformers")
import soundfile  # noqa: E402
from support.tiny_duplex import HOP, RATE, dialogues, recipe, save_codec  # noqa: E402
from support.tiny_speech import codec_of  # noqa: E402

from speech_eval.adapters.base import Codes  # noqa: E402
from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.engine.generate.conversation import converse  # noqa: E402
from speech_eval.errors import BadAudio, BadInput  # noqa: E402
from speech_eval.reference_models.conversation.duplex import checkpoint  # noqa: E402
from speech_eval.reference_models.conversation.duplex.adapter import ReferenceDuplex  # noqa: E402
from speech_eval.reference_models.conversation.duplex.channels import load_channels  # noqa: E402
from speech_eval.reference_models.conversation.duplex.data import shifted  # noqa: E402
from speech_eval.reference_models.conversation.duplex.shards import Dialogues  # noqa: E402
from speech_eval.reference_models.conversation.duplex.train import SHARDS, train_recipe  # noqa: E402
from speech_eval.reference_models.training.checkpoint import WEIGHTS  # noqa: E402
from speech_eval.reference_models.training.state import FILE  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("duplex")
    train_recipe(
        recipe(save_codec(folder / "codec"), 200, semantic_weight=10.0),
        dialogues(folder / "data"),
        folder / "out",
        overfit=True,
    )
    return folder


def agent(folder: Path, **options: float) -> ReferenceDuplex:
    return ReferenceDuplex(str(folder / "out"), **{"temperature": 0.0, "text_temperature": 0.0, **options})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_dialogue_learned_by_heart_is_spoken_back(overfitted: Path) -> None:
    model, (left, right) = agent(overfitted), load_channels(overfitted / "data" / "0.wav", RATE)
    said = converse(model, right)
    assert model.text == "it rains"
    # heard a frame of 80 ms after they are said in the training, since the acoustic codes are that late
    assert [start for _, start in model.words()] == pytest.approx([1.52, 1.84], abs=1e-6)
    written, learned = np.array(model.written), Dialogues(overfitted / "out" / SHARDS)[0].codes[0]
    assert (written[:36, 1] == learned[0]).all() and (learned[1:, :-1] == written[1:36, 2:].T).all()
    lm, _, _ = checkpoint.load(overfitted / "out")
    assert (written[:, 0] == lm.epad).sum() == 2 and (written[30:, 0] == lm.pad).all()
    whole = codec_of(overfitted / "codec").decode([Codes(list(learned), [12.5] * 3, [16] * 3, {"frames": 36 * HOP})])[0]
    late = HOP + 320  # the acoustic delay, and the decoder's
    assert np.allclose(said.samples[late:], whole.samples[: len(said.samples) - late], atol=1e-4)
    assert said.seconds == right.seconds == left.seconds


def test_future_sound_of_the_user_changes_nothing_before(overfitted: Path) -> None:
    model, (_, right) = (
        agent(overfitted, temperature=1.0, text_temperature=1.0),
        load_channels(overfitted / "data" / "0.wav", RATE),
    )
    other = right.samples.copy()
    other[20 * HOP :] = np.random.default_rng(1).normal(0, 0.3, len(other) - 20 * HOP)
    first, second = converse(model, right), converse(model, Audio(other, RATE))
    same = 21 * HOP  # chunk 20 is answered during chunk 21
    assert np.array_equal(first.samples[:same], second.samples[:same])
    assert np.array_equal(converse(model, right).samples, first.samples), "the same conversation, the same answer"


def test_the_checkpoint_is_a_model_of_the_harness(overfitted: Path) -> None:
    model = resolve(str(overfitted / "out")).build()
    assert isinstance(model, ReferenceDuplex) and (model.sample_rate, model.chunk_seconds) == (RATE, 0.08)
    assert model.info().parameters and model.info().weights_sha256


@pytest.mark.parametrize("chunk", [Audio(np.zeros(HOP, np.float32), 8000), Audio(np.zeros(HOP - 1, np.float32), RATE)])
def test_a_chunk_of_another_length_or_rate_is_refused(overfitted: Path, chunk: Audio) -> None:
    with pytest.raises(BadAudio, match="hears 1280 samples at 16000 Hz"):
        agent(overfitted).step(chunk)


def test_an_eager_agent_begins_to_speak_at_once(overfitted: Path) -> None:
    model = agent(overfitted, eagerness=100.0)
    lm, _, _ = checkpoint.load(overfitted / "out")
    assert model.written[0][0] == lm.epad


def test_a_codec_with_other_weights_is_refused(overfitted: Path, tmp_path: Path) -> None:
    other = save_codec(tmp_path / "codec", seed=1)
    with pytest.raises(BadInput, match="the given codec has other weights"):
        ReferenceDuplex(str(overfitted / "out"), codec=str(other))


def test_a_step_takes_less_than_it_lasts(overfitted: Path) -> None:
    model, chunk = agent(overfitted), Audio(np.zeros(HOP, np.float32), RATE)
    begun = time.process_time()
    for _ in range(10):
        model.step(chunk)
    assert (time.process_time() - begun) / 10 < model.chunk_seconds


@pytest.mark.slow
def test_a_resumed_training_ends_where_the_whole_one_does(tmp_path: Path) -> None:
    codec, data = save_codec(tmp_path / "codec"), dialogues(tmp_path / "data", count=3)
    varied = recipe(codec, 6, text_mask=0.5, delay_jitter=0.3, sequence=20)
    train_recipe(varied, data, tmp_path / "whole")
    train_recipe(varied, data, tmp_path / "parts", stop_at=3)
    card = train_recipe(varied, data, tmp_path / "parts", resume=True)
    assert card["training"]["steps"] == 6
    assert (tmp_path / "whole" / WEIGHTS).read_bytes() == (tmp_path / "parts" / WEIGHTS).read_bytes()
    assert (tmp_path / "parts" / FILE).is_file()
    with pytest.raises(BadInput, match="trained with another training: text_mask"):
        train_recipe(recipe(codec, 6, delay_jitter=0.3, sequence=20), data, tmp_path / "parts", resume=True)


def test_recordings_that_are_no_dialogues_are_named(tmp_path: Path) -> None:
    data = dialogues(tmp_path / "data", count=4)
    soundfile.write(data / "1.wav", np.random.default_rng(0).normal(0, 0.1, HOP * 9), RATE)
    rows = [json.loads(line) for line in (data / "metadata.jsonl").read_text().splitlines()]
    rows[2]["words"] = [[3, "who", 0.0, 1.0]]
    del rows[3]["words"]
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said: list[str] = []
    card = train_recipe(recipe(save_codec(tmp_path / "codec"), 1), data, tmp_path / "out", say=said.append)
    text = "\n".join(said)
    assert (
        "left out 3 (words): neither" in text and "left out 1 (channels): it has 1 channels, a dialogue has 2" in text
    )
    assert "row 0 of 'words' is [3, 'who', 0.0, 1.0]" in text and "neither 'words' nor 'turns'" in text
    assert card["trouble"]["left_out"] == 3 and card["data"]["dialogues"]["train"]["dialogues"] == 1


def test_a_start_or_a_codec_of_another_kind_is_refused_before_training(tmp_path: Path) -> None:
    data, trained = dialogues(tmp_path / "data"), recipe(save_codec(tmp_path / "codec"), 1)
    with pytest.raises(BadInput, match="is a checkpoint of kind 'audio-llm', not 'duplex'"):
        train_recipe(trained, data, tmp_path / "out", init="listen-135m")
    with pytest.raises(BadInput, match="--init, through the codec"):
        train_recipe(trained, data, tmp_path / "out", init="duplex-small")
    with pytest.raises(BadInput, match="does not stream in both directions"):
        train_recipe(trained, data, tmp_path / "other", codec="dac-16k-2k")


def test_turns_without_word_times_are_aligned_by_letters(tmp_path: Path) -> None:
    data = dialogues(tmp_path / "data")
    row = json.loads((data / "metadata.jsonl").read_text())
    del row["words"]
    row["turns"] = [[1, "weather?", 0.2, 1.0], [0, "it rains", 2.0, 2.9]]
    (data / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    train_recipe(recipe(save_codec(tmp_path / "codec"), 1), data, tmp_path / "out")
    words = Dialogues(tmp_path / "out" / SHARDS)[0].words
    assert [(word.text, round(word.start, 6)) for word in words] == [("it", 2.0), ("rains", 2.3)]


def test_a_shifted_text_is_filled_with_padding() -> None:
    text = np.array([1, 2, 3])
    assert shifted(text, 1, 9).tolist() == [9, 1, 2] and shifted(text, -2, 9).tolist() == [3, 9, 9]
    assert shifted(text, 0, 9).tolist() == [1, 2, 3]
