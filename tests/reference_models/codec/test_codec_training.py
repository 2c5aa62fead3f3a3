"""Codec training: resumable at any step bit for bit, and never silent about what went wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
from support.codec_training_fixture import CODEC, TRAINING, speech  # noqa: E402

from speech_eval.audio import Audio, flac_bytes, load  # noqa: E402
from speech_eval.errors import BadInput, SpeechEvalError  # noqa: E402
from speech_eval.reference_models import CHECKPOINTS  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.codec.train import CodecTrainer, train, train_recipe  # noqa: E402
from speech_eval.reference_models.codec.training_config import TrainingConfig  # noqa: E402
from speech_eval.reference_models.data.segments import Batch  # noqa: E402
from speech_eval.reference_models.recipes.schema import load as load_recipe  # noqa: E402
from speech_eval.reference_models.training.checkpoint import load_checkpoint, load_tensors  # noqa: E402
from speech_eval.reference_models.training.config import OptimizerConfig  # noqa: E402
from speech_eval.reference_models.training.log import TrainingStopped  # noqa: E402

torch.set_num_threads(1)


def changed(**changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({**TRAINING.model_dump(), **changes})


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole")
    train(CODEC, TRAINING, speech(), output)
    return output


def trainer(output: Path, training: TrainingConfig = TRAINING, said: list[str] | None = None) -> CodecTrainer:
    say = (lambda message: None) if said is None else said.append
    return CodecTrainer(CODEC, training, speech(), output, name="codec/test", overfit=False, say=say)


# ----------------------------------------------------------------------------------------------- resume


def test_an_interrupted_run_ends_up_the_same_bit_for_bit(uninterrupted: Path, tmp_path: Path) -> None:
    # Step 5 of an epoch of many: the discriminators have started, the EMA and the optimizers have a history.
    train(CODEC, TRAINING, speech(), tmp_path, stop_at=5)
    train(CODEC, TRAINING, speech(), tmp_path, resume=True)
    for file in ("training.safetensors", "model.safetensors"):
        whole, resumed = load_tensors(uninterrupted / file), load_tensors(tmp_path / file)
        assert whole.keys() == resumed.keys()
        different = [name for name in whole if not torch.equal(whole[name], resumed[name])]
        assert different == []


def test_a_balanced_run_resumes_bit_for_bit_too(tmp_path: Path) -> None:
    training = changed(balancer=True, steps=5)
    train(CODEC, training, speech(), tmp_path / "whole")
    train(CODEC, training, speech(), tmp_path / "parts", stop_at=3)
    train(CODEC, training, speech(), tmp_path / "parts", resume=True)
    whole, parts = (load_tensors(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.slow
def test_batches_made_by_worker_processes_are_the_same(tmp_path: Path) -> None:
    batches = trainer(tmp_path).batches
    here, there = ([*batches.from_step(3, 6, workers)] for workers in (0, 1))
    assert all(torch.equal(a.audio, b.audio) and a.clips == b.clips for a, b in zip(here, there, strict=True))


def test_resuming_without_a_state_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no training state"):
        train(CODEC, TRAINING, speech(), tmp_path, resume=True)


def test_starting_over_a_run_is_an_error(uninterrupted: Path) -> None:
    with pytest.raises(BadInput, match="holds a training run already"):
        train(CODEC, TRAINING, speech(), uninterrupted)


def test_a_truncated_state_is_named(uninterrupted: Path, tmp_path: Path) -> None:
    data = (uninterrupted / "training.safetensors").read_bytes()
    (tmp_path / "training.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="broken or truncated training state"):
        train(CODEC, TRAINING, speech(), tmp_path, resume=True)


def test_resuming_with_other_settings_names_them(uninterrupted: Path) -> None:
    with pytest.raises(BadInput, match="another training: batch_size 2 is now 3"):
        train(CODEC, changed(batch_size=3), speech(), uninterrupted, resume=True)


def test_a_training_may_start_from_a_checkpoint_with_its_architecture(uninterrupted: Path, tmp_path: Path) -> None:
    recipe = load_recipe("codec/dac-16k", "smoke")
    training = changed(steps=1, log_every=1, optimizer={"learning_rate": 1e-9}).model_dump(mode="json")
    recipe = recipe.model_copy(update={"training": training})
    card = train_recipe(recipe, speech(), tmp_path / "on", init=str(uninterrupted))
    before, after = (load_checkpoint(folder, "codec") for folder in (uninterrupted, tmp_path / "on"))
    assert after[0] == before[0], "the architecture is the checkpoint's"
    assert all(torch.allclose(after[1][name], before[1][name], atol=1e-4) for name in before[1] if "encoder" in name)
    assert card["training"]["init_weights_sha256"]
    with pytest.raises(BadInput, match="kind 'tts', not 'codec'"):
        train_recipe(recipe, speech(), tmp_path / "other", init="llasa-3m-en")


def test_the_shipped_codec_is_trained_on(tmp_path: Path) -> None:
    recipe = load_recipe("codec/dac-16k", "smoke")
    recipe = recipe.model_copy(update={"training": recipe.training | {"steps": 1, "batch_size": 1, "save_every": 1}})
    train_recipe(recipe, speech(), tmp_path, init="dac-16k-2k")
    after, before = (Codec.load(folder)[0].config for folder in (tmp_path, CHECKPOINTS / "dac-16k-2k"))
    assert after == before


def test_resuming_on_other_data_names_it(uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(speech(), tmp_path / "mended")
    file = next((tmp_path / "mended" / "audio").rglob("*.flac"))
    file.write_bytes(flac_bytes(load(file, 8000)))
    for other, changed_count in ((tmp_path / "mended", False), ("asterisk-it@train", True)):
        with pytest.raises(BadInput, match=r"another data: .*sha256 \w{12}… is now \w{12}…") as caught:
            train(CODEC, TRAINING, other, uninterrupted, resume=True)
        assert ("recordings" in caught.value.problem) == changed_count


def test_a_short_held_out_recording_is_validated_on_or_left_out_by_name(tmp_path: Path) -> None:
    said: list[str] = []
    shutil.copytree(speech(), tmp_path / "data")
    list_of = tmp_path / "data" / "metadata.jsonl"
    made = [json.loads(line) for line in list_of.read_text().splitlines() if '"train"' in line]
    for number, row in enumerate(made):
        row["split"] = "held-out" if number < 3 else "train"
    list_of.write_text("".join(json.dumps(row) + "\n" for row in made))
    for row, seconds in zip(made, (0.12, 0.04), strict=False):
        file = tmp_path / "data" / str(row["file_name"])
        audio = load(file)
        file.write_bytes(flac_bytes(Audio(audio.samples[: round(seconds * audio.rate)] + 0.1, audio.rate)))
    config = changed(steps=1, validation_clips=8, mel_windows=[2048], mel_bands=[80])
    card = train(CODEC, config, tmp_path / "data", tmp_path / "out", say=said.append)
    assert card["validation"]["clips"] == 2
    assert f"left out {made[1]['id']} (short): it lasts 0.040 s, less than 0.1 s" in said


def test_resuming_another_model_names_it(uninterrupted: Path) -> None:
    other = CodecConfig.model_validate(CODEC.model_dump() | {"causal": True})
    with pytest.raises(BadInput, match="another config: causal False is now True"):
        train(other, TRAINING, speech(), uninterrupted, resume=True)


# -------------------------------------------------------------------------------------------- checkpoint


def test_the_checkpoint_holds_the_config_and_the_mean_weights(uninterrupted: Path) -> None:
    config, state, card = load_checkpoint(uninterrupted, "codec")
    assert CodecConfig.model_validate(config) == CODEC
    mean = load_tensors(uninterrupted / "training.safetensors")
    assert all(torch.equal(state[name], mean[f"ema/{name}"]) for name in state)
    assert any(not torch.equal(state[name], mean[f"codec/{name}"]) for name in state)
    assert card["training"]["steps"] == 8 and card["license"] == "cc-by-sa-3.0"


def test_the_card_reports_codebooks_on_held_out_speech(uninterrupted: Path) -> None:
    card = load_checkpoint(uninterrupted, "codec")[2]
    assert len(card["codebooks"]) == 2
    assert all(0 < level["usage"] <= 1 and level["perplexity"] >= 1 for level in card["codebooks"])
    assert card["losses"]["distil"] == "off" and card["losses"]["mel"] == 15


def test_validation_leaves_something_to_hear_and_to_look_at(uninterrupted: Path) -> None:
    folder = uninterrupted / "validation" / "step-0000008"
    sounds, pictures = sorted(folder.glob("*.flac")), sorted(folder.glob("*.svg"))
    assert [file.stem for file in sounds] == [file.stem for file in pictures] and sounds
    drawing = ElementTree.fromstring(pictures[0].read_text())
    words = [element.text or "" for element in drawing.iter() if element.tag.endswith("text")]
    assert float(drawing.get("width", "0")) > 900 and {"kHz", "seconds", "8"} <= set(words)  # 16 kHz: up to 8 kHz
    assert any("original" in word for word in words) and any("decoded, step 8" in word for word in words)


def test_the_log_has_a_line_a_report_without_repeats(tmp_path: Path) -> None:
    training = changed(log_every=2, save_every=3, steps=6)
    train(CODEC, training, speech(), tmp_path, stop_at=3)
    train(CODEC, training, speech(), tmp_path, resume=True)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 3, 4, 6]
    assert all(len(row["entropy"]) == 2 and "mel" in row["losses"] for row in rows)


def test_losses_go_to_tensorboard_where_asked(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    train(CODEC, changed(steps=2, tensorboard=True), speech(), tmp_path)
    (events,) = (tmp_path / "tensorboard").glob("events.out.*")
    assert b"losses/mel" in events.read_bytes() and b"validation/mel" in events.read_bytes()


# ----------------------------------------------------------------------------------------------- losses


def test_the_loss_table_is_said_at_the_start(tmp_path: Path) -> None:
    said: list[str] = []
    train(CODEC, changed(steps=1), speech(), tmp_path, say=said.append)
    assert "  loss mel: 15" in said and "  loss distil: off" in said


def test_one_batch_can_be_overfitted(tmp_path: Path) -> None:
    training = changed(
        steps=60,
        adversary=None,
        losses={"mel": 15, "commitment": 0.25, "codebook": 1},
        optimizer={"learning_rate": 1e-2, "schedule": "cosine"},
        log_every=10,
        validation_clips=1,
    )
    card = train(CODEC, training, speech(), tmp_path, overfit=True)
    mel = [json.loads(line)["losses"]["mel"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert mel[-1] < 0.5 * mel[0]
    assert "Overfitted" in card["description"]


def test_discriminators_stay_as_they_are_until_their_start(tmp_path: Path) -> None:
    training = changed(adversary=TRAINING.adversary.model_copy(update={"start": 5}).model_dump())  # type: ignore[union-attr]
    run = trainer(tmp_path, training)
    before = {name: value.clone() for name, value in run.discriminators.state_dict().items()}
    assert "adversarial" not in run.step(4, run.batches[4])
    assert all(torch.equal(before[name], value) for name, value in run.discriminators.state_dict().items())
    assert {"adversarial", "feature_matching", "discriminator"} <= run.step(5, run.batches[5]).keys()
    assert any(not torch.equal(before[name], value) for name, value in run.discriminators.state_dict().items())


def test_losses_that_need_discriminators_need_discriminators() -> None:
    with pytest.raises(ValueError, match="need discriminators"):
        changed(adversary=None)


def test_distillation_without_a_teacher_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing is distilled"):
        trainer(tmp_path, changed(losses={"mel": 1.0, "distil": 1.0}, adversary=None))


def test_learning_rates_warm_up_and_come_down() -> None:
    cosine = OptimizerConfig(learning_rate=1.0, warmup_steps=10, schedule="cosine", final_share=0.1)
    assert cosine.rate_at(0, 0.0) == pytest.approx(0.1)
    assert cosine.rate_at(50, 0.5) == pytest.approx(0.55) and cosine.rate_at(99, 1.0) == pytest.approx(0.1)
    exponential = OptimizerConfig(learning_rate=1.0, gamma=0.5)
    assert [exponential.rate_at(step, 0.0) for step in range(3)] == [1.0, 0.5, 0.25]


def test_a_run_ends_when_its_minutes_are_up(tmp_path: Path) -> None:
    card = train(CODEC, changed(steps=10_000, minutes=1e-6), speech(), tmp_path)
    assert card["training"]["steps"] == 1


# ------------------------------------------------------------------------------------------------ trouble


def test_a_step_that_is_no_number_leaves_the_weights_alone_and_is_counted(tmp_path: Path) -> None:
    said: list[str] = []
    run = trainer(tmp_path, changed(on_nan="skip"), said)
    before = {name: value.clone() for name, value in run.codec.named_parameters()}
    spoiled = Batch(run.batches[0].audio * float("nan"), ["some-clip", "another"])
    assert run.step(3, spoiled) == {}
    assert all(torch.equal(before[name], value) for name, value in run.codec.named_parameters())
    assert run.log.counts()["steps_not_finite"] == 1
    assert any("step 3" in line and "some-clip, another" in line for line in said)


def test_a_step_that_is_no_number_stops_the_run_where_the_policy_says_so(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    with pytest.raises(TrainingStopped, match=r"step 0: the loss .* is not finite, on some-clip"):
        run.step(0, Batch(run.batches[0].audio * float("nan"), ["some-clip"]))


def test_ten_bad_steps_in_a_row_stop_any_run(tmp_path: Path) -> None:
    diverging = changed(on_nan="skip", steps=40, optimizer={"learning_rate": 1e30}, adversary=None, losses={"mel": 1.0})
    with pytest.raises(TrainingStopped) as stopped:
        train(CODEC, diverging, speech(), tmp_path)
    assert isinstance(stopped.value, SpeechEvalError) and stopped.value.exit_code == 1


@pytest.mark.parametrize("every", [1, 3])
def test_a_discriminator_gradient_that_is_no_number_is_named_and_ends_the_run(every: int, tmp_path: Path) -> None:
    adversary = TRAINING.adversary.model_copy(update={"start": 0, "every": every})  # type: ignore[union-attr]
    training = changed(adversary=adversary.model_dump(), on_nan="skip", steps=100)
    said: list[str] = []
    run = trainer(tmp_path, training, said)
    # A finite loss whose gradient overflows, as that of a square root near zero does.
    next(run.discriminators.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    assert run.step(0, run.batches[0]) == {}
    assert "skipped step 0: the norm of the discriminators' gradient is not finite" in said[-1]
    with pytest.raises(TrainingStopped, match="the norm of the discriminators' gradient is not finite"):
        for number in range(1, 50):
            run.step(number, run.batches[number])


def test_a_corrupt_recording_is_named_and_counted_in_the_card(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(speech(), folder)
    broken = _first(folder, "train")
    (folder / broken["file_name"]).write_bytes(b"fLaC and nothing more")
    said: list[str] = []
    card = train(CODEC, changed(steps=1), folder, tmp_path / "out", say=said.append)
    assert card["trouble"]["left_out"] == 1 and card["trouble"]["clips"] == [broken["id"]]
    assert any(broken["id"] in line and "unreadable" in line for line in said)
    with pytest.raises(BadInput, match="not a readable audio file"):
        train(CODEC, changed(steps=1, on_bad_data="stop"), folder, tmp_path / "stopped")


def _first(folder: Path, split: str) -> dict[str, Any]:
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    return next(row for row in rows if row["split"] == split)
