"""Training a speech LM: it learns, stops and goes on without a trace, and does not start on what nobody understands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("pyarrow")
from support.tts_fixture import CORE, DEPTH, shards_of, tiny_codec, voice  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.audio import flac_bytes  # noqa: E402
from speech_eval.audio import load as load_audio  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.codec.train import CodecTrainer  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe  # noqa: E402
from speech_eval.reference_models.speech_lm.sequence import CodecSection  # noqa: E402
from speech_eval.reference_models.training.checkpoint import (  # noqa: E402
    load_checkpoint,
    load_tensors,
    save_checkpoint,
)
from speech_eval.reference_models.training.log import TrainingStopped  # noqa: E402
from speech_eval.reference_models.tts.building import load  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402
from speech_eval.reference_models.tts.train import TTSTrainer, finish, train, train_recipe  # noqa: E402
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig  # noqa: E402

torch.set_num_threads(1)
LAYOUTS = ("flat", "interleaved", "csm", "delay")


def settings(layout: str, **training: Any) -> tuple[TTSConfig, TTSTrainingConfig]:
    """A tiny model over the tiny codec. The untrained codec garbles speech, so everything passes the check."""
    config = TTSConfig.model_validate(
        {
            "layout": layout,
            "codec": {"spec": str(tiny_codec(layout))},
            "core": CORE | {"positions": 1024},
            "depth": DEPTH if layout == "csm" else None,
        }
    )
    base = {
        "steps": 8,
        "batch_size": 2,
        "sequence": 768,
        "optimizer": {"learning_rate": 3e-3, "betas": [0.9, 0.95], "schedule": "cosine", "clip_norm": 1.0},
        "check": {"utterances": 1, "recognizer": "whisper-tiny.en", "max_wer": 100.0},
        "log_every": 2,
        "validate_every": 100,
        "save_every": 100,
    }
    return config, TTSTrainingConfig.model_validate(base | training)


def trainer(layout: str, folder: Path, *, resume: bool = False, overfit: bool = False, **training: Any) -> TTSTrainer:
    """A run over shards that are there already, without listening to them first."""
    config, wanted = settings(layout, **training)
    if not (folder / "shards").exists():
        shutil.copytree(shards_of(layout)[0], folder / "shards")
    codec = CodecSection.model_validate(shards_of(layout)[1]["codec"])
    config = config.model_copy(update={"codec": codec})
    found = TTSTrainer(config, wanted, voice(), folder, name="tts", overfit=overfit, say=lambda message: None)
    found.loop.start(resume)
    return found


def run(layout: str, folder: Path, *, stop_at: int | None = None, resume: bool = False, **options: Any) -> Any:
    """`trainer`, to its end or to `stop_at`; returns the card."""
    found = trainer(layout, folder, resume=resume, **options)
    return finish(found, stop_at)


def codec_digest(spec: str) -> str | None:
    return modelspec.resolve(spec).build().info().weights_sha256


def losses(folder: Path, kind: str = "speech") -> list[float]:
    return [json.loads(line)[kind] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_that_was_stopped_ends_up_the_same_bit_for_bit(layout: str, tmp_path: Path) -> None:
    knobs = {"steps": 6, "text_replay": 0.0 if layout in ("csm", "delay") else 0.3}
    run(layout, tmp_path / "whole", **knobs)
    run(layout, tmp_path / "parts", stop_at=3, **knobs)
    run(layout, tmp_path / "parts", resume=True, **knobs)
    whole, parts = (load_tensors(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(tmp_path: Path) -> None:
    card = run("flat", tmp_path, overfit=True, steps=30, log_every=1)
    found = losses(tmp_path)
    assert found[-1] < 0.8 * found[0] and "Overfitted" in card["description"]


def test_a_step_of_two_parts_is_the_step_of_one_batch_twice_as_large(tmp_path: Path) -> None:
    for name, size, parts in (("one", 4, 1), ("two", 2, 2)):
        run("flat", tmp_path / name, steps=2, batch_size=size, accumulate=parts, log_every=1)
    assert losses(tmp_path / "one") == pytest.approx(losses(tmp_path / "two"), rel=1e-5)


def two_stages() -> ResolvedRecipe:
    """A speech LM whose codec is trained first."""
    config, training = settings("flat", steps=2)
    codec = {"recipe": "codec/voice-16k", "size": "smoke", "changes": {"training": {"steps": 4, "save_every": 2}}}
    model = config.model_dump(mode="json", exclude={"codec", "vocabulary", "one_voice", "languages"})
    return ResolvedRecipe.model_validate(
        {"name": "tts/toy", "size": "smoke", "codec": codec, "model": model | {"core": CORE | {"positions": 2048}}}
        | {"training": training.model_dump(mode="json"), "evaluation": {"task": "seed-tts"}}
    )


@pytest.mark.slow
def test_a_run_that_was_stopped_in_the_codec_goes_on_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, said = two_stages(), list[str]()
    with pytest.raises(BadInput, match="no training state to resume from"):
        train_recipe(recipe, voice(), tmp_path / "nothing", resume=True)
    step = CodecTrainer.step

    def stopped(self: CodecTrainer, number: int, batch: Any) -> Any:
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CodecTrainer, "step", stopped)
        train_recipe(recipe, voice(), tmp_path / "out")
    card = train_recipe(recipe, voice(), tmp_path / "out", resume=True, say=said.append)
    assert card["training"]["steps"] == 2
    assert [line for line in said if line.startswith("step 4/4")], "the codec went on, it was not begun again"
    assert len((tmp_path / "out" / "codec" / "log.jsonl").read_text().splitlines()) >= 1
    with pytest.raises(BadInput, match="already"):
        train_recipe(recipe, voice(), tmp_path / "out")


@pytest.mark.slow
def test_shards_are_written_anew_where_the_audio_was_mended_before_the_training(tmp_path: Path) -> None:
    config, training = settings("flat", steps=1)
    shutil.copytree(voice(), tmp_path / "data")
    said: list[str] = []
    strict = training.model_copy(update={"check": training.check.model_copy(update={"max_wer": 0.0})})
    with pytest.raises(BadInput, match="does not match its text"):
        train(config, strict, tmp_path / "data", tmp_path / "out")
    file = next((tmp_path / "data" / "audio").rglob("*.flac"))
    file.write_bytes(flac_bytes(load_audio(file, 8000)))
    train(config, training, tmp_path / "data", tmp_path / "out", say=said.append)
    assert any("is written anew: data.sha256" in line for line in said)
    file.write_bytes(flac_bytes(load_audio(file, 16000)))
    with pytest.raises(BadInput, match=r"holds shards of something else: data\.sha256"):
        train(config, training, tmp_path / "data", tmp_path / "out", resume=True)


@pytest.mark.slow
def test_a_training_may_start_from_a_checkpoint_with_its_layout_and_its_codec(tmp_path: Path) -> None:
    run("flat", tmp_path / "first", steps=30, log_every=1)
    recipe, said = two_stages(), list[str]()
    recipe = recipe.model_copy(update={"training": recipe.training | {"steps": 2, "log_every": 1}})
    card = train_recipe(recipe, voice(), tmp_path / "on", init=str(tmp_path / "first"), say=said.append)
    fresh, begun, went_on = losses(tmp_path / "first")[0], losses(tmp_path / "first")[-1], losses(tmp_path / "on")[0]
    assert went_on < begun + 0.3 * (fresh - begun), "the first loss is that of the model it started from"
    model, first = load(tmp_path / "on")[0], load(tmp_path / "first")[0]
    assert model.config.core == first.config.core and model.config.codec.weights_sha256
    assert card["training"]["init_weights_sha256"] and not (tmp_path / "on" / "codec" / "log.jsonl").exists()
    with pytest.raises(BadInput, match="another init"):
        train_recipe(recipe, voice(), tmp_path / "on", resume=True, init=str(tmp_path / "on"))
    with pytest.raises(BadInput, match=r"--init: there is no checkpoint nowhere.*dac-16k-2k, .*llasa-3m-en"):
        train_recipe(recipe, voice(), tmp_path / "other", init="nowhere")
    with pytest.raises(BadInput, match=r"codebooks of \[16, 16\], the model was trained on"):
        train_recipe(recipe, voice(), tmp_path / "other", init=str(tmp_path / "first"), codec=str(tiny_codec("csm")))


def test_a_model_may_learn_the_codes_of_another_codec_with_the_same_codebooks(tmp_path: Path) -> None:
    run("flat", tmp_path / "first", steps=1)
    config, weights, card = load_checkpoint(tiny_codec("flat"), "codec")
    moved = {name: tensor + 0.01 if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    save_checkpoint(tmp_path / "codec", "codec", config, moved, card)
    recipe, other = two_stages(), str(tmp_path / "codec")
    recipe = recipe.model_copy(update={"training": recipe.training | {"steps": 1}})
    train_recipe(recipe, voice(), tmp_path / "on", init=str(tmp_path / "first"), codec=other)
    model, first = load(tmp_path / "on")[0], load(tmp_path / "first")[0]
    assert model.config.codec.weights_sha256 == codec_digest(other) != first.config.codec.weights_sha256
    assert model.config.core == first.config.core


def test_the_checkpoint_brings_its_codec_and_its_table_of_ids(tmp_path: Path) -> None:
    said: list[str] = []
    config, training = settings("interleaved", steps=1)
    card = train(config, training, voice(), tmp_path, say=said.append)
    model, _ = load(tmp_path)
    codec = modelspec.resolve(model.config.codec.seen_from(tmp_path)).build()
    assert codec.info().weights_sha256 == model.config.codec.weights_sha256 == card["codec"]["weights_sha256"]
    assert model.config.one_voice
    assert any(model.tokenizer.vocabulary.digest[:16] in line for line in said)
    assert any("speech-end" in line for line in said)
    assert card["license"] == "apache-2.0, synthetic" and card["packing"]["efficiency"] > 0.5


def test_speed_and_mfu_are_shown(tmp_path: Path) -> None:
    said: list[str] = []
    speaking = trainer("csm", tmp_path, steps=2)
    speaking.loop.say = said.append
    finish(speaking)
    assert any("tokens/s, MFU" in line for line in said)
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert row["tokens_per_second"] > 0 and 0 < row["mfu"] < 1.5


def test_garbage_is_not_learned(tmp_path: Path) -> None:
    config, training = settings("flat", check={"utterances": 1, "recognizer": "whisper-tiny.en", "max_wer": 0.3})
    with pytest.raises(BadInput, match=r"The packed speech does not match its text: .* is recognized as"):
        train(config, training, voice(), tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_garbage_that_is_forced_marks_the_card(tmp_path: Path) -> None:
    config, training = settings(
        "flat", steps=1, check={"utterances": 1, "recognizer": "whisper-tiny.en", "max_wer": 0.3}
    )
    card = train(config, training, voice(), tmp_path, force=True)
    assert card["heard_before_training"]["forced"] is True
    assert "| forced | True |" in (tmp_path / "README.md").read_text()


def test_a_start_over_a_run_and_a_resume_of_another_are_refused(tmp_path: Path) -> None:
    run("flat", tmp_path, steps=2, stop_at=1)
    with pytest.raises(BadInput, match="holds a training run already"):
        train(*settings("flat", steps=2), voice(), tmp_path)
    with pytest.raises(BadInput, match="another training: steps 2 is now 3"):
        trainer("flat", tmp_path, resume=True, steps=3)


@pytest.mark.parametrize("stage", ["shards", "codec", "data", "start"])
def test_a_run_that_was_interrupted_before_its_training_goes_on_with_it(stage: str, tmp_path: Path) -> None:
    (tmp_path / stage).mkdir()
    config, training = settings("flat", steps=1)
    train(config, training, voice(), tmp_path, resume=True)
    assert (tmp_path / "model.safetensors").exists()


def test_a_run_of_which_there_is_nothing_is_not_resumed(tmp_path: Path) -> None:
    config, training = settings("flat", steps=1)
    with pytest.raises(BadInput, match="has no training state to resume from"):
        train(config, training, voice(), tmp_path, resume=True)
    assert not list(tmp_path.iterdir())


def test_replayed_text_is_averaged_over_the_steps_that_had_some(tmp_path: Path) -> None:
    reading = trainer("flat", tmp_path, steps=8, log_every=8, batch_size=1, text_replay=0.2)
    found = []
    for number, batches in reading.loop.steps(reading.batches_of):
        values = reading.step(number, batches)
        found += [values["text"]] if "text" in values else []
        reading.loop.record(values)
    assert 0 < len(found) < 8
    assert reading.loop.means()["text"] == pytest.approx(sum(found) / len(found))


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_utterances(tmp_path: Path) -> None:
    spoiled = trainer("flat", tmp_path)
    with torch.no_grad():
        next(spoiled.model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingStopped, match=r"step 0: .* is not finite, on hibari-"):
        spoiled.step(0, [spoiled.batches[0]])


@pytest.mark.parametrize("layout", ["flat", "csm"])
def test_recomputed_layers_keep_less_and_learn_the_same(layout: str, tmp_path: Path) -> None:
    kept: dict[bool, int] = {}
    values = {}
    for recompute in (False, True):
        run = trainer(layout, tmp_path / str(recompute), recompute=recompute)
        held: dict[int, int] = {}

        def note(tensor: Any, held: dict[int, int] = held) -> Any:
            held[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            values[recompute] = run.step(0, [run.batches[0]])
        kept[recompute] = sum(held.values())
    assert values[True]["norm"] == pytest.approx(values[False]["norm"], rel=1e-5)
    assert kept[True] < 0.7 * kept[False]


def test_a_sequence_longer_than_the_context_is_refused(tmp_path: Path) -> None:
    config, training = settings("flat", sequence=2000)
    with pytest.raises(BadInput, match="sequence=2000: the model reads 1024"):
        train(config, training, voice(), tmp_path)
