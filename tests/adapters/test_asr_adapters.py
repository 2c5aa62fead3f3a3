"""Recognizers: real clips through the shipped Whispers, tiny real architectures through the CTC adapter."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jiwer
import numpy as np
import pytest
from support.tiny_asr import save_whisper
from support.tiny_ctc import MODELS, VOCABULARY, save_ctc

from speech_eval.adapters import checkpoints
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.assets import store as assets
from speech_eval.assets.convert import ct2
from speech_eval.audio import Audio, load
from speech_eval.cache import make_once
from speech_eval.errors import BadAudio, BadInput

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def build(spec: str) -> SpeechRecognizer:
    adapter = modelspec.resolve(spec).build()
    assert isinstance(adapter, SpeechRecognizer)
    return adapter


def ask(*audios: Audio, language: str = "en") -> list[TranscriptionRequest]:
    return [
        TranscriptionRequest(str(i), (lambda audio=audio: audio), language=language) for i, audio in enumerate(audios)
    ]


def words(text: str) -> str:
    text = text.lower().replace("mr.", "mister").replace("-", " ")
    return " ".join(re.sub(r"[^a-z' ]", " ", text).split())


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Audio]]:
    """Five sentences of a LibriVox reading with their text, 24.7 s."""
    directory = assets.ensure("librivox-pocketsphinx")
    lines = re.findall(r"<s> (.*) </s> \((.*)\)", (directory / "transcription").read_text())
    return [(text, load(directory / f"{name}.wav", 16_000)) for text, name in lines]


@pytest.fixture(scope="module")
def tiny_en() -> SpeechRecognizer:
    torch.set_num_threads(1)
    return build("whisper-tiny.en")


# ------------------------------------------------------------------------------------------------ Whisper


@pytest.fixture(scope="module")
def heard(tiny_en: SpeechRecognizer, clips: list[tuple[str, Audio]]) -> list[str]:
    """What tiny.en hears in the clips, one by one."""
    return [tiny_en.transcribe(ask(audio))[0] for _, audio in clips]


def test_whisper_hears_real_speech(heard: list[str], clips: list[tuple[str, Audio]]) -> None:
    assert jiwer.wer([text for text, _ in clips], [words(text) for text in heard]) < 0.08


def test_a_whisper_batch_hears_what_each_clip_says_alone(
    tiny_en: SpeechRecognizer, heard: list[str], clips: list[tuple[str, Audio]]
) -> None:
    assert tiny_en.transcribe(ask(*(audio for _, audio in clips[2:]))) == heard[2:]


def test_converted_weights_hear_what_the_shipped_ones_hear(heard: list[str], clips: list[tuple[str, Audio]]) -> None:
    shipped = build("faster-whisper-tiny.en,compute_type=float32")
    assert shipped.transcribe(ask(*(audio for _, audio in clips[1:4]))) == heard[1:4]


@pytest.mark.slow
def test_speech_beyond_30_seconds_is_heard_to_its_end(
    tiny_en: SpeechRecognizer, clips: list[tuple[str, Audio]]
) -> None:
    speech = np.concatenate([audio.samples for _, audio in clips])
    long = Audio(np.concatenate([speech, speech])[-38 * 16_000 :], 16_000)
    short, whole = tiny_en.transcribe(ask(clips[4][1], long))
    assert words(short) == words("He might even have been made amiable himself.")
    assert words(whole).endswith(words("He might even have been made amiable himself."))
    assert words(whole).count("john dashwood") == 1


@pytest.mark.slow
def test_a_short_window_hears_what_fits_into_it_and_refuses_the_rest(clips: list[tuple[str, Audio]]) -> None:
    quick = build("whisper-tiny.en,window_seconds=8")
    fitting = [(text, audio) for text, audio in clips if audio.seconds < 8]
    heard = [words(text) for text in quick.transcribe(ask(*(audio for _, audio in fitting)))]
    assert len(fitting) >= 3 and jiwer.wer([text for text, _ in fitting], heard) < 0.15
    (text, audio), *_ = fitting
    (request,) = ask(audio)
    assert quick.nll(request, text) < 1.5 < quick.nll(request, "nothing of this has been said here")  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="0: longer than window_seconds=8"):
        quick.transcribe(ask(Audio(np.zeros(9 * 16_000, np.float32), 16_000)))


@pytest.mark.parametrize("seconds", [0.01, 0.1, 1.0])
def test_silence_and_snippets_are_answered(tiny_en: SpeechRecognizer, seconds: float) -> None:
    silence = Audio(np.zeros(int(seconds * 16_000), np.float32), 16_000)
    assert len(tiny_en.transcribe(ask(silence))[0]) < 40


def test_an_english_model_refuses_other_languages(tiny_en: SpeechRecognizer, clips: list[tuple[str, Audio]]) -> None:
    with pytest.raises(BadInput, match="English only"):
        tiny_en.transcribe(ask(clips[0][1], language="fr"))


def test_a_multilingual_model_is_told_the_language(clips: list[tuple[str, Audio]]) -> None:
    base = build("faster-whisper-base")
    with pytest.raises(BadInput, match="no language 'tlh'"):
        base.transcribe(ask(clips[1][1], language="tlh"))
    assert words(base.transcribe(ask(clips[1][1], language="en-GB"))[0]) == clips[1][0]


def test_info_identifies_the_weights(tiny_en: SpeechRecognizer) -> None:
    info = tiny_en.info()
    assert info.name == "whisper-tiny.en" and info.license == "MIT" and info.parameters == 37_760_256
    assert re.fullmatch("[0-9a-f]{64}", info.weights_sha256)


# ------------------------------------------------------------------------------- tiny Whisper on disk


@pytest.fixture
def tiny_whisper(tmp_path: Path) -> Path:
    """A random Whisper of the real class, with the shipped English tokenizer."""
    directory = save_whisper(tmp_path / "tiny")
    (directory / "README.md").write_text("---\nlicense: apache-2.0\n---\nA model.\n")
    return directory


def test_a_directory_is_a_model_spec(tiny_whisper: Path) -> None:
    resolved = modelspec.resolve(f"{tiny_whisper},num_beams=2,device=cpu")
    adapter = resolved.build()
    info = resolved.describe(adapter)
    assert (info.name, info.license, info.interfaces) == ("tiny", "apache-2.0", ["SpeechRecognizer"])
    assert info.options == {"num_beams": 2, "device": "cpu"}


def test_truncated_weights_are_named(tiny_whisper: Path) -> None:
    weights = tiny_whisper / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(BadInput, match=r"model\.safetensors: broken or truncated"):
        build(str(tiny_whisper))


def test_missing_parameters_are_never_made_up(tiny_whisper: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny_whisper / "model.safetensors")
    weights.pop("model.encoder.conv1.weight")
    save_file(weights, tiny_whisper / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"model\.encoder\.conv1\.weight are missing"):
        build(str(tiny_whisper))


def test_pickled_weights_are_refused(tiny_whisper: Path) -> None:
    (tiny_whisper / "model.safetensors").rename(tiny_whisper / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"only pickled weights \(pytorch_model\.bin\)"):
        build(str(tiny_whisper))


def test_a_missing_shard_is_named(tiny_whisper: Path) -> None:
    (tiny_whisper / "model.safetensors").rename(tiny_whisper / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tiny_whisper / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(BadInput, match=r"model-00002-of-00002\.safetensors: this shard is missing"):
        build(str(tiny_whisper))


@pytest.mark.parametrize(
    "options", ["dtype=int8", "device=toaster", "num_beams=0", "window_seconds=31", "beams=3", "revision=main"]
)
def test_options_that_cannot_be_are_refused(tiny_whisper: Path, options: str) -> None:
    with pytest.raises(BadInput):
        build(f"{tiny_whisper},{options}")


def test_a_hub_checkpoint_has_its_commit_as_revision(
    tiny_whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub" / "models--some--whisper"
    (hub / "snapshots").mkdir(parents=True)
    tiny_whisper.rename(hub / "snapshots" / ("0123456789" * 4))
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("0123456789" * 4)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    info = build("whisper,path=some/whisper").info()
    assert (info.name, info.revision) == ("some/whisper", "0123456789" * 4)


def test_a_repository_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="hf:some/thing: "):
        checkpoints.locate("some/thing")


# -------------------------------------------------------------------------------------------- conversion


def test_a_truncated_ctranslate2_file_is_named(tmp_path: Path) -> None:
    whole = (assets.ensure("whisper-tiny.en") / "model.bin").read_bytes()
    (tmp_path / "model.bin").write_bytes(whole[:100_000])
    with pytest.raises(BadInput, match=r"model\.bin: not a whole CTranslate2 model"):
        ct2.read(tmp_path / "model.bin")


def test_an_incomplete_ctranslate2_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(BadInput, match=r"config\.json is missing"):
        build(str(tmp_path))


def test_a_failed_conversion_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(work: Path) -> None:
        (work / "half").write_text("done")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        make_once(tmp_path / "made", fail)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_conversion_is_done_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def make(work: Path) -> None:
        calls.append(work)
        (work / "model").write_text("weights")

    assert make_once(tmp_path / "made", make) == make_once(tmp_path / "made", make) == tmp_path / "made"
    assert len(calls) == 1 and (tmp_path / "made" / "model").read_text() == "weights"


# --------------------------------------------------------------------------------------------------- CTC


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_ctc_batch_says_what_each_clip_says_alone(name: str, tmp_path: Path, clips: list[tuple[str, Audio]]) -> None:
    adapter = build(str(save_ctc(name, tmp_path / name)))
    audios = [Audio(audio.samples[: 16_000 * (i + 1) + 777 * i], 16_000) for i, (_, audio) in enumerate(clips[:3])]
    alone = [adapter.transcribe(ask(audio))[0] for audio in audios]
    assert adapter.transcribe(ask(*audios)) == alone
    assert all(len(set(text)) > (0 if name == "parakeet" else 3) for text in alone)


def test_ctc_merges_repeats_and_drops_blanks(tmp_path: Path, clips: list[tuple[str, Audio]]) -> None:
    directory = save_ctc("wav2vec2-group", tmp_path / "model")
    model = transformers.Wav2Vec2ForCTC.from_pretrained(directory).eval()
    audio = clips[1][1]
    wave = torch.from_numpy((audio.samples - audio.samples.mean()) / np.sqrt(audio.samples.var() + 1e-7))
    with torch.inference_mode():
        best = model(wave[None]).logits[0].argmax(-1).tolist()
    symbols = [VOCABULARY[b] for a, b in zip([None, *best], best, strict=False) if a != b and b != 0]
    expected = "".join(symbols).replace("|", " ").strip()
    assert build(str(directory)).transcribe(ask(audio)) == [expected]


def test_ctc_refuses_audio_shorter_than_a_frame(tmp_path: Path) -> None:
    adapter = build(str(save_ctc("wav2vec2-group", tmp_path / "model")))
    with pytest.raises(BadAudio, match="shorter than one frame"):
        adapter.transcribe(ask(Audio(np.zeros(200, np.float32), 16_000)))


def test_ctc_refuses_an_encoder_without_a_head(tmp_path: Path) -> None:
    directory = save_ctc("hubert", tmp_path / "model")
    transformers.HubertModel.from_pretrained(directory).save_pretrained(directory)
    with pytest.raises(BadInput, match="weights of lm_head"):
        build(str(directory))


def test_ctc_refuses_another_models_tokenizer(tmp_path: Path) -> None:
    directory = save_ctc("wav2vec2-group", tmp_path / "model")
    (directory / "vocab.json").write_text(json.dumps({"<unk>": 0, "<pad>": 1, "|": 2, "a": 3}))
    with pytest.raises(BadInput, match="does not fit the model"):
        build(str(directory))
