"""Recipes: what they build, and the whole chain from data to verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
from support.codec_training_fixture import CODEC, TRAINING  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from speech_eval.audio import flac_bytes  # noqa: E402
from speech_eval.audio import load as load_audio  # noqa: E402
from speech_eval.cli.main import app  # noqa: E402
from speech_eval.errors import BadInput, UnknownName  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.codec.training_config import TrainingConfig  # noqa: E402
from speech_eval.reference_models.recipes.reproduce import judge, reproduce, train  # noqa: E402
from speech_eval.reference_models.recipes.schema import lay_over, load, names  # noqa: E402
from speech_eval.reference_models.recipes.show import describe  # noqa: E402

torch.set_num_threads(1)
CODECS = (
    "codec/dac-16k",
    "codec/dac-44k",
    "codec/duplex-16k",
    "codec/encodec-24k",
    "codec/fsq-16k",
    "codec/mimi-24k",
    "codec/snac-24k",
)
SIZES = ("smoke", "cpu", "reference", "scale")


def test_the_codec_recipes_are_there() -> None:
    assert set(CODECS) <= set(names())


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_every_recipe_can_be_built(name: str, size: str) -> None:
    recipe = load(name, size)
    training = TrainingConfig.model_validate(recipe.training)
    model = {**recipe.model, "semantic": None}  # its weights are not what is asked about
    with torch.device("meta"):
        codec = Codec(CodecConfig.model_validate(model))
    assert training.segment_seconds * codec.config.sample_rate >= codec.block
    limit = {"smoke": 1.5, "cpu": 9.0}.get(size, 400.0)
    assert sum(p.numel() for p in codec.parameters()) < limit * 1e6


@pytest.mark.parametrize(
    ("name", "kilobits", "frames", "parameters"),
    [
        ("codec/dac-16k", 6.0, [50.0] * 12, (70, 80)),
        ("codec/dac-44k", 7.752, [44_100 / 512] * 9, (70, 80)),
        ("codec/encodec-24k", 24.0, [75.0] * 32, (14, 16)),
        ("codec/fsq-16k", 0.8, [50.0], None),
        ("codec/snac-24k", 0.984, [11.71875, 23.4375, 46.875], (20, 30)),
        ("codec/mimi-24k", 1.1, [12.5] * 8, (60, 100)),
    ],
)
def test_scale_has_the_published_rates(
    name: str, kilobits: float, frames: list[float], parameters: tuple[int, int] | None
) -> None:
    with torch.device("meta"):
        codec = Codec(CodecConfig.model_validate({**load(name, "scale").model, "semantic": None}))
    assert codec.frame_rates == frames
    assert codec.bitrate / 1000 == pytest.approx(kilobits, abs=1e-3)
    if parameters:
        assert parameters[0] < sum(p.numel() for p in codec.parameters()) / 1e6 < parameters[1]


def test_the_small_codec_with_discriminators_has_two_kilobits_and_few_weights() -> None:
    recipe = load("codec/dac-16k", "2k")
    training = TrainingConfig.model_validate(recipe.training)
    with torch.device("meta"):
        codec = Codec(CodecConfig.model_validate(recipe.model))
    assert codec.bitrate == 2000 and codec.codebook_sizes == [1024] * 4
    assert sum(p.numel() for p in codec.parameters()) < 6e6
    assert training.adversary is not None and 0 < training.adversary.start < training.steps


def test_mimi_is_causal_and_distils_into_its_first_codebook() -> None:
    recipe = load("codec/mimi-24k", "scale")
    config = CodecConfig.model_validate(recipe.model)
    assert config.causal and config.semantic is not None and config.semantic.mode == "distil"
    assert recipe.training["losses"]["mel"] == 0 and recipe.training["losses"]["distil"] > 0


@pytest.mark.parametrize("name", names())
def test_scale_is_not_trained_on_two_hours_of_prompts_by_mistake(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"size scale, is made for data of your own.*--data"):
        reproduce(name, "scale", tmp_path) if "voice-16k" not in name else train("codec/dac-16k", "scale", tmp_path)


def test_unknown_recipes_and_sizes_are_named() -> None:
    with pytest.raises(UnknownName, match="no recipe named 'codec/opus'"):
        load("codec/opus", "smoke")
    with pytest.raises(UnknownName, match="no size 'huge'"):
        load("codec/dac-16k", "huge")


def test_a_misspelt_section_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: codec/mine\nmodle: {}\nevaluation: {task: codec-reconstruction}\nsizes: {smoke: {}}\n")
    with pytest.raises(BadInput, match="'modle': Extra inputs are not permitted"):
        load(str(file), "smoke")


def test_sections_are_laid_over_key_by_key_unless_their_type_changes() -> None:
    base = {"encoder": {"type": "conv", "channels": 64}, "steps": 5}
    assert lay_over(base, {"encoder": {"channels": 8}})["encoder"] == {"type": "conv", "channels": 8}
    assert lay_over(base, {"encoder": {"type": "stft"}})["encoder"] == {"type": "stft"}


# ------------------------------------------------------------------------------------------- reproduce


def recipe_file(folder: Path, expected: dict[str, Any] | None) -> Path:
    recipe: dict[str, Any] = {
        "name": "codec/tiny",
        "data": {"sources": ["asterisk-en", "asterisk-it"], "limit": 16},
        "model": CODEC.model_dump(mode="json"),
        "training": {**TRAINING.model_dump(mode="json"), "steps": 3},
        "evaluation": {
            "task": "codec-reconstruction",
            "split": "held-out-speaker",
            "limit": 2,
            "metrics": ["bitrate[measured@1]", "mel-distance[multi-resolution]"],
        },
        "sizes": {"smoke": {}},
    }
    if expected is not None:
        recipe["expected"] = {"smoke": {"seed": 0, "hardware": "any", "minutes": 1, "metrics": expected}}
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(recipe))
    return file


BITRATE = "bitrate[measured@1]/bitrate"


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduced")
    done = reproduce(str(recipe_file(folder, None)), "smoke", folder / "out")
    assert done.exit_code == 2, "nothing is recorded for it"
    return folder


def verdict(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["reproduce", str(folder / "tiny.yaml"), "-o", str(folder / "out"), *words])


def test_numbers_within_the_tolerance_are_reproduced(reproduced: Path) -> None:
    recipe_file(reproduced, {BITRATE: {"value": 0.4, "tolerance": 0.02}})  # 2 books of 16 codes, 50 frames a second
    before = (reproduced / "out/checkpoint/model.safetensors").stat().st_mtime_ns
    done = verdict(reproduced, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    (judged,) = [item for item in found["judged"] if item["metric"] == BITRATE]
    assert judged["ok"] is True and found["card"]["training"]["steps"] == 3
    assert (reproduced / "out/checkpoint/model.safetensors").stat().st_mtime_ns == before, "trained only once"


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda recipe: recipe["training"].update(steps=5), r"training\.steps 3 is now 5"),
        (lambda recipe: recipe["model"]["quantizer"].update(codebook_size=8), r"quantizer\.codebook_size 16 is now 8"),
        (lambda recipe: recipe["training"]["losses"].update(stft=0), r"training\.losses\.stft 1\.0 is now 0"),
    ],
)
def test_an_edited_recipe_is_not_taken_for_the_one_that_was_trained(
    reproduced: Path, edit: Callable[[Any], None], named: str
) -> None:
    recipe = yaml.safe_load(recipe_file(reproduced, None).read_text())
    edit(recipe)
    (reproduced / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(BadInput, match=rf"checkpoint was trained from something else: .*{named}"):
        reproduce(str(reproduced / "tiny.yaml"), "smoke", reproduced / "out")


def test_what_only_the_reports_of_a_training_use_may_change(reproduced: Path) -> None:
    recipe = yaml.safe_load(recipe_file(reproduced, None).read_text())
    recipe["training"]["log_every"] = 7
    (reproduced / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    assert reproduce(str(reproduced / "tiny.yaml"), "smoke", reproduced / "out").exit_code == 2


def test_prepared_data_that_was_changed_since_is_noticed(reproduced: Path, tmp_path: Path) -> None:
    recipe_file(reproduced, None)
    shutil.copytree(reproduced / "out", tmp_path / "out")
    file = next((tmp_path / "out" / "data" / "audio").rglob("*.flac"))
    file.write_bytes(flac_bytes(load_audio(file, 8000)))
    with pytest.raises(BadInput, match=r"something else: data\.sha256 \w{12}… is now \w{12}…"):
        reproduce(str(reproduced / "tiny.yaml"), "smoke", tmp_path / "out")


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("data", {"source": ["asterisk-en"]}, r"'data\.source': Extra inputs .*did you mean 'sources'"),
        ("data", {"sources": "asterisk-en"}, r"'data\.sources': Input should be a list"),
        ("data", {"limit": 0}, r"'data\.limit': Input should be greater than 0"),
        ("data", {"held_out_source": "asterisk-itt"}, "No source is named asterisk-itt"),
        (
            "evaluation",
            {"task": "codec-reconstruction", "split": "heldout"},
            r"'evaluation\.split': Input should be",
        ),
        ("evaluation", {"task": "codec-reconstrucion"}, "codec-reconstrucion"),
        ("training", {"steps": 8, "optimiser": {}}, r"'training\.optimiser': Extra inputs .*did you mean 'optimizer'"),
        ("training", {"steps": 0}, r"'training\.steps': Input should be greater than 0"),
        ("model", {"latent_dims": 64}, r"'model\.latent_dims': Extra inputs .*did you mean 'latent_dim'"),
        ("evaluation", {"task": "codec-reconstruction", "metrics": ["stoy[pystoi]"]}, "stoy"),
    ],
)
def test_what_a_recipe_misspells_is_named_before_anything_is_computed(
    part: str, value: dict[str, Any], named: str, tmp_path: Path
) -> None:
    recipe = yaml.safe_load(recipe_file(tmp_path, None).read_text())
    recipe[part] = value
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(BadInput, match=named):
        reproduce(str(tmp_path / "tiny.yaml"), "smoke", tmp_path / "out")
    assert not (tmp_path / "out" / "data" / "audio").exists()
    if part in ("model", "training"):
        with pytest.raises(BadInput, match=named):
            describe(str(tmp_path / "tiny.yaml"), "smoke")


def test_numbers_outside_the_tolerance_are_not(reproduced: Path) -> None:
    recipe_file(reproduced, {BITRATE: {"value": 0.5, "tolerance": 0.02}})
    done = verdict(reproduced)
    assert done.exit_code == 1 and "NOT as recorded" in done.output


def test_a_recorded_number_that_was_not_found_counts_as_wrong(reproduced: Path) -> None:
    from speech_eval.engine.run_directory import RunDirectory

    recipe_file(reproduced, {"pesq-wb[p862.2]/pesq-wb": {"value": 1.1, "tolerance": 9.0}})
    recipe = load(str(reproduced / "tiny.yaml"), "smoke")
    judged = judge(recipe, RunDirectory(reproduced / "out/run").results())
    assert [item.ok for item in judged if item.expected is not None] == [False]
