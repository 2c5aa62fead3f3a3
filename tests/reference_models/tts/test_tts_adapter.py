"""Speech LMs as model specs: checkpoints of this project and published ones, on tiny random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.metric_items import reader

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from support.tiny_lms import llasa, marks, published, save_lm, snac_like  # noqa: E402
from support.tiny_speech import codec_of, save_codec, tiny_config, tiny_lm  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import Speech, SpeechSynthesizer, SynthesisRequest  # noqa: E402
from speech_eval.engine.generate.answer import answers as answers_of  # noqa: E402
from speech_eval.errors import BadInput, SpeechEvalError  # noqa: E402
from speech_eval.records import Sample  # noqa: E402
from speech_eval.reference_models.tts import building  # noqa: E402
from speech_eval.reference_models.tts.public import FAMILIES, PublicTokenizer  # noqa: E402

torch.set_num_threads(1)


def synthesizer(spec: str) -> SpeechSynthesizer:
    adapter = modelspec.resolve(spec).build()
    assert isinstance(adapter, SpeechSynthesizer)
    return adapter


def ask(text: str = "Hello there.", seed: int = 1, voice: str | None = None, words: str | None = None) -> Any:
    load = None if voice is None else lambda: reader(voice)
    return SynthesisRequest("a", text, seed=seed, load_prompt=load, prompt_text=words)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained-looking directory with its codec inside."""
    directory = tmp_path_factory.mktemp("tts")
    codec = codec_of(save_codec(directory / "codec"))
    config = tiny_config(codec, "codec")
    section = config.codec.model_copy(update={"weights_sha256": codec.info().weights_sha256})
    model = tiny_lm(config.model_copy(update={"codec": section}))
    building.save(directory, model, model.state_dict(), {"name": "tiny", "license": "apache-2.0"})
    return directory


# ---------------------------------------------------------------------------------- checkpoints of this project


def test_a_checkpoint_directory_is_a_synthesizer_with_its_codec(checkpoint: Path) -> None:
    model = synthesizer(str(checkpoint))
    (audio,) = model.synthesize([ask()])
    assert isinstance(audio, Speech) and audio.rate == 16_000
    assert len(audio.samples) == 320 * audio.metadata["tokens"]
    info = model.info()
    assert info.name == "tiny" and info.license == "apache-2.0" and info.metadata["best_of"] == 1


def test_a_stream_is_the_same_speech_and_its_last_chunk_reports(checkpoint: Path) -> None:
    model = synthesizer(f"{checkpoint},temperature=1.3")
    (whole,) = model.synthesize([ask(seed=4)])
    chunks = list(model.stream(ask(seed=4)))
    assert len(chunks) > 1
    np.testing.assert_allclose(np.concatenate([chunk.samples for chunk in chunks]), whole.samples, atol=1e-6)
    assert isinstance(whole, Speech) and isinstance(chunks[-1], Speech)
    assert chunks[-1].metadata == whole.metadata
    assert not any(isinstance(chunk, Speech) for chunk in chunks[:-1])


def test_a_run_is_told_whether_the_model_stopped(checkpoint: Path) -> None:
    samples = [Sample(id="1", text="Hello."), Sample(id="2", text="Goodbye.")]
    for limit, stopped in ((0.02, False), (10.0, True)):
        model = synthesizer(f"{checkpoint},max_seconds={limit}")
        answers = answers_of("SpeechSynthesizer", model, samples, [1, 2], lambda path: reader("0880"))
        assert [answer.metadata["stopped"] for answer in answers] == [stopped, stopped]


def test_speech_that_the_context_cuts_off_is_a_failure(tmp_path: Path) -> None:
    """An untrained model repeats its most likely code, and 64 positions are over soon."""
    codec = codec_of(save_codec(tmp_path / "codec"))
    model = tiny_lm(tiny_config(codec, "codec", positions=64))
    building.save(tmp_path, model, model.state_dict(), {})
    tiny, limited = synthesizer(f"{tmp_path},temperature=0"), synthesizer(f"{tmp_path},temperature=0,max_seconds=0.2")
    with pytest.raises(SpeechEvalError, match=r"a: the speech does not end within the model's 64 positions: cut off"):
        tiny.synthesize([ask("Hi")])
    with pytest.raises(SpeechEvalError, match="cut off after"):
        list(tiny.stream(ask("Hi")))
    (audio,) = limited.synthesize([ask("Hi")])  # a limit of the user's own is none of the model's failures
    assert isinstance(audio, Speech) and audio.metadata["stopped"] is False


def test_a_voice_is_cloned_from_a_recording_and_its_words(checkpoint: Path) -> None:
    model = synthesizer(f"{checkpoint},max_seconds=0.5")
    (alone,), (cloned,) = (
        model.synthesize([ask()]),
        model.synthesize([ask(voice="0880", words="He was not an ill-disposed young man.")]),
    )
    assert len(alone.samples) != len(cloned.samples) or not np.array_equal(alone.samples, cloned.samples)
    with pytest.raises(BadInput, match="no transcript"):
        model.synthesize([ask(voice="0880")])


@pytest.mark.parametrize("options", ["temperature=-1", "best_of=0", "verify=mos", "max_seconds=0", "color=red"])
def test_an_option_that_makes_no_sense_is_an_error(options: str, checkpoint: Path) -> None:
    with pytest.raises(BadInput, match=options.split("=")[0]):
        synthesizer(f"{checkpoint},{options}")


def test_another_codec_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = save_codec(tmp_path / "other", "interleaved")
    with pytest.raises(BadInput, match="other"):
        synthesizer(f"{checkpoint},codec={other}")
    retrained = save_codec(tmp_path / "retrained")
    from safetensors.torch import load_file, save_file

    state = load_file(retrained / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in state.items()}, retrained / "model.safetensors")
    with pytest.raises(BadInput, match="other weights"):
        synthesizer(f"{checkpoint},codec={retrained}")


def test_a_table_of_ids_that_changed_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    file = tmp_path / "copy" / "reference.json"
    described = json.loads(file.read_text())
    described["config"]["vocabulary"] = "0" * 64
    file.write_text(json.dumps(described))
    with pytest.raises(BadInput, match="vocabulary"):
        synthesizer(str(tmp_path / "copy"))


def test_the_best_of_several_candidates_is_kept(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier is given: the longest candidate gets the highest reward."""
    from speech_eval.reference_models.speech_lm.rl.rewards import Reward
    from speech_eval.reference_models.speech_lm.rl.verifiers import Verifier

    def rewards_by_length(
        self: Verifier, text: str, audio: Any, prompt: Any = None, language: str = "en"
    ) -> dict[str, Reward]:
        return {"cer": Reward(min(1.0, audio.seconds / 10.0), True)}

    monkeypatch.setattr(Verifier, "__init__", lambda self, config: None)
    monkeypatch.setattr(Verifier, "rewards", rewards_by_length)
    (one,) = synthesizer(str(checkpoint)).synthesize([ask(seed=3)])
    (best,) = synthesizer(f"{checkpoint},best_of=6").synthesize([ask(seed=3)])
    assert isinstance(best, Speech)
    rewards = best.metadata["rewards"]
    assert len(rewards) == 6 and rewards[best.metadata["chosen"]] == max(rewards)
    assert len(best.samples) / 160_000 == pytest.approx(max(rewards)) and rewards[0] == pytest.approx(one.seconds / 10)
    with pytest.raises(BadInput, match="best_of=6"):
        next(synthesizer(f"{checkpoint},best_of=6").stream(ask()))


# ------------------------------------------------------------------------------------------ published checkpoints


def prompt_text(model: PublicTokenizer, ids: Any) -> str:
    return "".join(model.text_tokenizer.convert_ids_to_tokens([int(i) for i in ids]))


def test_llasa_reads_a_chat_and_says_one_token_a_code(tmp_path: Path) -> None:
    codec = save_codec(tmp_path / "codec")
    model = synthesizer(f"llasa,path={llasa(tmp_path)},codec={codec},max_seconds=1")
    lm: Any = model._model.tokenizer  # type: ignore[attr-defined]
    ids = lm.prompt_ids("Hi you", "Oh", [np.array([5, 63])])
    assert prompt_text(lm, ids) == (
        "[user]Convert the text to speech:<|TEXT_UNDERSTANDING_START|>Oh Hi you<|TEXT_UNDERSTANDING_END|>"
        "[assistant]<|SPEECH_GENERATION_START|><|s_5|><|s_63|>"
    )
    assert ids[-2:].tolist() == [97 + 8 + 5, 97 + 8 + 63]  # len(tokenizer) + 8 + code
    assert prompt_text(lm, [lm.end]) == "<|SPEECH_GENERATION_END|>"
    assert lm.sampling.temperature == 0.8 and lm.sampling.top_p == 1.0
    (audio,) = model.synthesize([ask("Hi you")])
    assert isinstance(audio, Speech) and len(audio.samples) == 320 * audio.metadata["tokens"]


def test_llasa_with_a_codec_of_another_size_is_refused(tmp_path: Path) -> None:
    codec = save_codec(tmp_path / "codec")
    for codes in (63, 65):
        path = llasa(tmp_path / str(codes), codes)
        with pytest.raises(BadInput, match="The codec has 64 codes"):
            synthesizer(f"llasa,path={path},codec={codec}")


def test_orpheus_has_4096_ids_for_each_of_seven_places(tmp_path: Path) -> None:
    path = save_lm(tmp_path / "orpheus", 128_266 + 7 * 4096, [])
    model = synthesizer(f"orpheus,path={path},codec={snac_like(tmp_path)},voice=tara,max_seconds=0.5")
    lm: Any = model._model.tokenizer  # type: ignore[attr-defined]
    asked = model._utterance(ask("Hi"))  # type: ignore[attr-defined]
    text = lm.text_tokenizer.encode("tara: Hi")
    assert (asked.text, asked.speaker) == ("Hi", "tara")
    assert lm.prompt_ids(asked.text, speaker=asked.speaker).tolist() == [128259, *text, 128009, 128260, 128261, 128257]
    # One coarse step: c0[t], c1[2t], c2[4t], c2[4t+1], c1[2t+1], c2[4t+2], c2[4t+3].
    codes = [np.array([7]), np.array([20, 21]), np.array([40, 41, 42, 43])]
    prompt = lm.prompt_ids("Hi", "Oh", codes).tolist()
    frame = [128266 + place * 4096 + code for place, code in enumerate([7, 20, 40, 41, 21, 42, 43])]
    start = prompt.index(128257) + 1
    assert prompt[start : start + 9] == [*frame, 128258, 128262]
    for found, wanted in zip(lm.codes(np.array([*frame, frame[0]])), codes, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert 128258 not in lm.allowed(0) and 128258 in lm.allowed(7) and 128258 not in lm.allowed(8)
    (audio,) = model.synthesize([ask("Hi")])
    assert len(audio.samples) % 1280 == 0 and np.isfinite(audio.samples).all()


def test_orpheus_without_room_for_its_codes_is_refused(tmp_path: Path) -> None:
    path = save_lm(tmp_path / "llama", 200, [])
    with pytest.raises(BadInput, match="no room"):
        synthesizer(f"orpheus,path={path},codec={snac_like(tmp_path)}")
    with pytest.raises(BadInput, match="speaks SNAC"):
        synthesizer(f"orpheus,path={path},codec={save_codec(tmp_path / 'codec')}")


def test_neutts_reads_phonemes_in_the_voice_of_a_prompt(tmp_path: Path) -> None:
    names = marks("TEXT_PROMPT_START", "TEXT_PROMPT_END", "SPEECH_GENERATION_START", "SPEECH_GENERATION_END")
    path = save_lm(tmp_path / "neutts", 97 + 4 + 64, [*names, *(f"<|speech_{i}|>" for i in range(64))])
    model = synthesizer(f"neutts,path={path},codec={save_codec(tmp_path / 'codec')},max_seconds=0.5")
    lm: Any = model._model.tokenizer  # type: ignore[attr-defined]
    written = prompt_text(lm, lm.prompt_ids("Hi", "No", [np.array([5])]))
    assert written.startswith("user: Convert the text to speech:<|TEXT_PROMPT_START|>n")
    assert written.endswith("<|TEXT_PROMPT_END|>\nassistant:<|SPEECH_GENERATION_START|><|speech_5|>")
    assert lm.sampling.top_k == 50
    (audio,) = model.synthesize([ask("Hi", voice="0880", words="He was not an ill-disposed young man.")])
    assert len(audio.samples)
    with pytest.raises(BadInput, match="voice of a prompt"):
        model.synthesize([ask("Hi")])


def test_outetts_speaks_freely_and_its_codes_are_picked_out(tmp_path: Path) -> None:
    names = marks("im_start", "im_end", "text_start", "text_end", "audio_start", "audio_end", "code", "word_start")
    codes = [f"<|c{book}_{i}|>" for book in (1, 2) for i in range(17)]  # one more than the codec has
    path = save_lm(tmp_path / "outetts", 97 + 8 + 34, [*names, *codes])
    rvq = save_codec(tmp_path / "codec", "csm")
    model = synthesizer(f"outetts,path={path},codec=[{rvq},n_codebooks=2],max_seconds=1")
    lm: Any = model._model.tokenizer  # type: ignore[attr-defined]
    written = prompt_text(lm, lm.prompt_ids("Hi"))
    assert written == "<|im_start|>\n<|text_start|>Hi<|text_end|>\n<|audio_start|>\n"
    said = lm.text_tokenizer.encode("<|word_start|>Hi<|code|><|c1_3|><|c2_4|><|c1_5|><|c2_6|><|c1_7|>")
    assert [book.tolist() for book in lm.codes(np.array(said))] == [[3, 5], [4, 6]]
    (audio,) = model.synthesize([ask("Hi")])
    assert len(audio.samples) % 320 == 0
    prompted = model.synthesize([ask("Hi", voice="0880", words="He was not an ill-disposed young man.")])[0]
    assert np.array_equal(prompted.samples, audio.samples)  # in a voice of its own
    with pytest.raises(BadInput, match="aligned words"):
        lm.prompt_ids("Hi", "No", [np.array([5]), np.array([5])])


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_language_model_of_another_family_is_refused(family: str, tmp_path: Path) -> None:
    path = save_lm(tmp_path / "lm", 97, [])
    with pytest.raises(BadInput, match=r"has no token|speaks"):
        synthesizer(f"{family},path={path},codec={save_codec(tmp_path / 'codec')}")


# ------------------------------------------------------------------------------- found by what their tokenizers hold


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_its_directory_is_a_synthesizer(family: str, tmp_path: Path) -> None:
    path, codec, voice = published(family, tmp_path)
    model = synthesizer(f"{path},codec=[{codec}],max_seconds=1")
    assert type(model).__name__.lower() == family and model.info().metadata["codec"]
    (audio,) = model.synthesize([ask("Hi", **voice)])
    assert len(audio.samples)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_without_a_codec_the_published_one_is_asked_for(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    path, _, _ = published(family, tmp_path)
    with pytest.raises(BadInput, match=r"codec=SPEC"):
        synthesizer(str(path))


def test_a_text_model_stays_one(tmp_path: Path) -> None:
    path = save_lm(tmp_path / "lm", 200, [])
    assert modelspec.resolve(str(path)).interfaces == ["AudioLanguageModel"]
