"""Speech generators of transformers: CSM, Dia and Higgs Audio v2, tiny and random, loaded by their directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import tiny_tts as tiny
from support.contracts import build, check_codec, check_synthesizer, check_unloads, noise, run, say

from speech_eval.adapters.tts.native import NativeTTS
from speech_eval.errors import BadInput

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch.set_num_threads(1)

RATES = {"csm": 24_000, "dia": 44_100, "higgs_audio_v2": 24_000}
WORDS = "the words of the prompt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native-tts")


@pytest.fixture(scope="module", params=list(tiny.WRITERS))
def spec(request: pytest.FixtureRequest, folder: Path) -> str:
    family = str(request.param)
    return f"{tiny.write(family, folder / family)},max_seconds=0.6"


@pytest.fixture(scope="module")
def model(spec: str) -> NativeTTS:
    adapter = build(spec)
    assert isinstance(adapter, NativeTTS)
    return adapter


def test_it_keeps_the_contract_of_synthesizers(model: NativeTTS) -> None:
    check_synthesizer(model)


def test_it_keeps_the_contract_with_a_voice(model: NativeTTS) -> None:
    check_synthesizer(model, noise(0.8, 16_000), WORDS)  # at another rate than the model's


def test_the_voice_and_its_words_change_the_speech(spec: str, model: NativeTTS) -> None:
    family = Path(spec.partition(",")[0]).name
    first, second = (noise(0.8, 16_000, seed) for seed in (1, 2))
    asked = [say("hello", 5), say("hello", 5, first, WORDS), say("hello", 5, second, WORDS)]
    plain, *others = model.synthesize([*asked, say("hello", 5, first, "other words")])
    assert plain.rate == RATES[family]
    assert all(not np.array_equal(plain.samples, other.samples) for other in others)
    assert not np.array_equal(others[0].samples, others[1].samples)


def test_seeds_differ_and_greedy_does_not(spec: str, model: NativeTTS) -> None:
    first, second = model.synthesize([say("hello", 1), say("hello", 2)])
    assert not np.array_equal(first.samples, second.samples)
    greedy = build(f"{spec},temperature=0")
    one, two = greedy.synthesize([say("hello", 1), say("hello", 2)])
    assert np.array_equal(one.samples, two.samples)
    assert "temperature" not in greedy.info().metadata and model.info().metadata["top_k"] > 1


def test_an_answer_says_whether_the_model_stopped(model: NativeTTS) -> None:
    (audio,) = model.synthesize([say("hello", 3)])
    assert audio.metadata["stopped"] in (True, False)  # type: ignore[attr-defined]
    assert 0 < audio.seconds <= 0.7
    (cloned,) = model.synthesize([say("hello", 5, noise(0.8, 16_000), WORDS)])
    assert 0 < cloned.seconds <= 0.7 and cloned.metadata["tokens"] <= 0.7 * 90  # type: ignore[attr-defined]


def test_bad_requests_are_refused(model: NativeTTS) -> None:
    with pytest.raises(BadInput, match="no text to speak"):
        model.synthesize([say(" ")])
    with pytest.raises(BadInput, match="voice prompt has no transcript"):
        model.synthesize([say("hello", 0, noise(0.8, 16_000))])


def test_a_voice_prompt_beyond_the_positions_is_refused(spec: str, model: NativeTTS) -> None:
    seconds = 180 if "csm" in spec else 45
    with pytest.raises(BadInput, match=r"of the .* positions of .*shorter voice prompt"):
        model.synthesize([say("hello", 0, noise(seconds, 16_000), WORDS)])


@pytest.mark.parametrize("options", ["temperature=-1", "top_p=0", "max_seconds=0", "color=red"])
def test_options_that_cannot_be_are_refused(spec: str, options: str) -> None:
    with pytest.raises(BadInput):
        build(f"{spec.partition(',')[0]},{options}")


@pytest.mark.slow
def test_the_command_finishes_its_tasks(spec: str, tmp_path: Path) -> None:
    metrics = "wer[seed-tts-eval@2024-06]"
    assert run(spec, "seed-tts", tmp_path / "seed", metrics=metrics) == 0
    assert run(spec, "latency", tmp_path / "latency") == 0
    manifest = json.loads((tmp_path / "seed" / "run" / "manifest.json").read_text())
    assert manifest["model"]["metadata"]["max_seconds"] == 0.6


def test_its_network_is_freed(spec: str) -> None:
    check_unloads(spec)


# ------------------------------------------------------------------------------------------ codecs of their own


@pytest.mark.parametrize("family", ["dia", "higgs_audio_v2"])
def test_the_codec_is_found_named_or_beside(folder: Path, tmp_path: Path, family: str) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tiny.write(family, folder / f"{family}-moved"), moved)
    described = json.loads((moved / "processor_config.json").read_text())
    described["audio_tokenizer"]["audio_tokenizer_name_or_path"] = ""
    (moved / "processor_config.json").write_text(json.dumps(described))
    inside = build(f"{moved},max_seconds=0.5")
    (moved / "codec").rename(tmp_path / "elsewhere")
    named = build(f"{moved},codec={tmp_path / 'elsewhere'},max_seconds=0.5")
    assert inside.info().metadata["codec_weights"] == named.info().metadata["codec_weights"]
    with pytest.raises(BadInput, match=r"does not say where its codec is.*codec=DIR"):
        build(str(moved))


def test_higgs_tokenizer_keeps_the_contract_of_codecs(folder: Path, tmp_path: Path) -> None:
    tiny.save_higgs_tokenizer(folder / "higgs-tokenizer")
    codec = build(str(folder / "higgs-tokenizer"))
    assert (codec.sample_rate, codec.depths[-1]) == (24_000, codec._model.config.num_quantizers)
    check_codec(codec)
    assert run(str(folder / "higgs-tokenizer"), "codec-reconstruction", tmp_path, metrics="bitrate[measured@1]") == 0


def test_csm_says_no_code_that_its_codec_lacks(folder: Path) -> None:
    model = build(f"{tiny.write('csm', folder / 'csm')},max_seconds=4,temperature=5,top_k=0")
    assert all(audio.seconds > 0 for audio in model.synthesize([say("hello", seed) for seed in range(3)]))
