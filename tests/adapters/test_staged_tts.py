"""Pocket TTS, VibeVoice, Bark and SpeechT5, tiny and random, loaded by their directory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support import tiny_tts_latents as tiny
from support.contracts import build, check_synthesizer, check_unloads, noise, run, say

from speech_eval.adapters.tts.native import NativeTTS
from speech_eval.errors import BadInput

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch.set_num_threads(1)

RATES = {"pocket_tts": 24_000, "vibevoice": 24_000, "bark": 24_000, "speecht5": 16_000}
CLONES = ("pocket_tts", "vibevoice")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("staged-tts")


@pytest.fixture(scope="module", params=list(tiny.WRITERS))
def spec(request: pytest.FixtureRequest, folder: Path) -> str:
    family = str(request.param)
    return f"{tiny.write(family, folder / family)},max_seconds=0.6"


@pytest.fixture(scope="module")
def model(spec: str) -> NativeTTS:
    adapter = build(spec)
    assert isinstance(adapter, NativeTTS)
    return adapter


def family_in(spec: str) -> str:
    return Path(spec.partition(",")[0]).name


def test_it_keeps_the_contract_of_synthesizers(model: NativeTTS) -> None:
    check_synthesizer(model)


def test_a_voice_needs_no_words_and_changes_the_speech_of_those_that_clone(spec: str, model: NativeTTS) -> None:
    voices = [noise(0.8, 16_000, seed) for seed in (1, 2)]  # at another rate than the model's
    plain, first, second = model.synthesize([say("hello", 5), *(say("hello", 5, voice) for voice in voices)])
    same = np.array_equal(plain.samples, first.samples), np.array_equal(first.samples, second.samples)
    assert same == ((False, False) if family_in(spec) in CLONES else (True, True))
    check_synthesizer(model, voices[0])


def test_the_seed_decides_and_an_answer_says_whether_it_stopped(spec: str, model: NativeTTS) -> None:
    first, second = model.synthesize([say("hello", 1), say("hello", 2)])
    assert not np.array_equal(first.samples, second.samples)
    assert first.rate == RATES[family_in(spec)] and 0 < first.seconds <= 0.7
    assert first.metadata["stopped"] in (True, False)  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="no text to speak"):
        model.synthesize([say(" ")])


@pytest.mark.parametrize("options", ["temperature=-1", "top_p=0", "max_seconds=0", "color=red"])
def test_options_that_cannot_be_are_refused(spec: str, options: str) -> None:
    with pytest.raises(BadInput):
        build(f"{spec.partition(',')[0]},{options}")


@pytest.mark.parametrize(
    ("family", "option"), [("vibevoice", "top_k=3"), ("speecht5", "temperature=1"), ("pocket_tts", "top_p=0.5")]
)
def test_what_a_family_does_not_sample_by_is_refused(folder: Path, family: str, option: str) -> None:
    with pytest.raises(BadInput, match="does not sample by"):
        build(f"{tiny.write(family, folder / family)},{option}")


@pytest.mark.slow
def test_the_command_finishes_its_tasks(spec: str, tmp_path: Path) -> None:
    assert run(spec, "seed-tts", tmp_path / "seed", metrics="wer[seed-tts-eval@2024-06]") == 0
    assert run(spec, "latency", tmp_path / "latency") == 0
    manifest = json.loads((tmp_path / "seed" / "run" / "manifest.json").read_text())
    assert manifest["model"]["metadata"]["max_seconds"] == 0.6


def test_its_network_is_freed(spec: str) -> None:
    check_unloads(spec)


# --------------------------------------------------------------------------------------------- one family each


def test_pocket_tts_speaks_long_texts_sentence_by_sentence(folder: Path) -> None:
    model = build(f"{tiny.write('pocket_tts', folder / 'pocket_tts')},max_seconds=6,temperature=0")
    long = "one two three four five six. " * 4
    one, other, short = model.synthesize([say(long, 1), say(long, 2), say("one two three four five six.", 1)])
    assert np.array_equal(one.samples, other.samples) and one.seconds > short.seconds


def test_vibevoice_follows_its_steps_and_guidance(folder: Path) -> None:
    directory = tiny.write("vibevoice", folder / "vibevoice")
    models = [build(f"{directory},max_seconds=0.6,{more}") for more in ("steps=3", "steps=5", "guidance_scale=3")]
    said = [model.synthesize([say("hello", 1)])[0].samples for model in models]
    assert not np.array_equal(said[0], said[1]) and not np.array_equal(said[0], said[2])
    assert models[0].info().metadata["guidance_scale"] == 1.3 and models[1].info().metadata["num_diffusion_steps"] == 5


def test_bark_speaks_in_a_preset_voice(folder: Path) -> None:
    directory = tiny.write("bark", folder / "bark")
    plain, voiced = (build(f"{directory},max_seconds=0.6{more}") for more in ("", ",voice=v2/one"))
    one, other = (model.synthesize([say("hello", 1)])[0].samples for model in (plain, voiced))
    assert not np.array_equal(one, other) and voiced.info().metadata["voice"] == "v2/one"
    with pytest.raises(BadInput, match=r"no voice 'v3'.*voice=v2/one"):
        build(f"{directory},voice=v3")
    with pytest.raises(BadInput, match=r"300 tokens.*takes 128 and would cut"):
        plain.synthesize([say("a" * 300)])
    (directory / "speaker_embeddings_path.json").write_text(
        json.dumps({"out": {f"{part}_prompt": "../x.npy" for part in ("semantic", "coarse", "fine")}})
    )
    with pytest.raises(BadInput, match="outside of the checkpoint"):
        build(f"{directory},voice=out")


def test_speecht5_speaks_in_the_voice_of_an_x_vector(folder: Path, tmp_path: Path) -> None:
    directory = tiny.write("speecht5", folder / "speecht5")
    np.save(tmp_path / "voice.npy", np.random.default_rng(0).standard_normal(8))
    np.save(tmp_path / "wrong.npy", np.zeros(3))
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.savez(tmp_path / "archive.npz", voice=np.zeros(8))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "huge.npy", np.zeros(8))
    whole = (tmp_path / "huge.npy").read_bytes()
    (tmp_path / "huge.npy").write_bytes(whole.replace(b"(8,), }" + b" " * 14, b"(99999999999999,), }", 1))
    plain, voiced = (build(f"{directory},max_seconds=0.6{more}") for more in ("", f",speaker={tmp_path}/voice.npy"))
    one, other = (model.synthesize([say("hello", 1)])[0].samples for model in (plain, voiced))
    assert not np.array_equal(one, other) and plain.info().metadata["speaker"] == "zeros"
    unreadable = dict.fromkeys(("pickled", "words", "archive", "empty", "huge", "absent"), "not a readable array")
    for name, message in {"wrong": "takes 8 finite ones", **unreadable}.items():
        with pytest.raises(BadInput, match=message):
            build(f"{directory},speaker={tmp_path}/{name}.npy")
    with pytest.raises(BadInput, match="letters"):
        plain.synthesize([say("a" * 1000)])
