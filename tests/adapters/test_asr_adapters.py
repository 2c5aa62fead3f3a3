"""Recognizers: real clips through the shipped Whispers, tiny real architectures through the CTC adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import jiwer
import numpy as np
import pytest

from speech_eval.adapters import checkpoints
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.assets import store as assets
from speech_eval.assets.convert import ct2
from speech_eval.assets.convert.whisper import convert
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
    directory = tmp_path / "tiny"
    source = checkpoints.converted("whisper-tiny.en", convert)
    config = transformers.WhisperConfig.from_pretrained(source)
    config.update({"d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64})
    config.update({"decoder_ffn_dim": 64, "encoder_attention_heads": 1, "decoder_attention_heads": 1})
    torch.manual_seed(0)
    transformers.WhisperForConditionalGeneration(config).save_pretrained(directory)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (directory / name).write_bytes((source / name).read_bytes())
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

_VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
_SMALL = {
    "vocab_size": len(_VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "pad_token_id": 0,
}
_CONVS = {"conv_dim": [32] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


def _w2v2(norm: str) -> tuple[object, object]:
    config = transformers.Wav2Vec2Config(
        **_SMALL, **_CONVS, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer"
    )
    return transformers.Wav2Vec2ForCTC(config), transformers.Wav2Vec2FeatureExtractor(
        return_attention_mask=norm == "layer"
    )


def _hubert() -> tuple[object, object]:
    config = transformers.HubertConfig(**_SMALL, **_CONVS, feat_extract_norm="layer", do_stable_layer_norm=True)
    return transformers.HubertForCTC(config), transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)


def _wavlm() -> tuple[object, object]:
    config = transformers.WavLMConfig(**_SMALL, **_CONVS, feat_extract_norm="layer", do_stable_layer_norm=True)
    return transformers.WavLMForCTC(config), transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)


def _w2v_bert(adapter: bool) -> tuple[object, object]:
    config = transformers.Wav2Vec2BertConfig(**_SMALL, add_adapter=adapter, output_hidden_size=32)
    return transformers.Wav2Vec2BertForCTC(config), transformers.SeamlessM4TFeatureExtractor()


def _like_wav2vec2(name: str) -> tuple[object, object]:
    """Another encoder of the same shape: the class of transformers is named after `name`."""
    config = getattr(transformers, f"{name}Config")(**_SMALL, **_CONVS, feat_extract_norm="layer")
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    return getattr(transformers, f"{name}ForCTC")(config), extractor


def _parakeet() -> tuple[object, object]:
    encoder = {key: value for key, value in _SMALL.items() if key not in ("vocab_size", "pad_token_id")}
    shape = {"conv_kernel_size": 3, "num_mel_bins": 80, "subsampling_conv_channels": 8, "num_key_value_heads": 2}
    config = transformers.ParakeetCTCConfig(
        vocab_size=_SMALL["vocab_size"], pad_token_id=0, encoder_config=encoder | shape
    )
    return transformers.ParakeetForCTC(config), transformers.ParakeetFeatureExtractor(feature_size=80)


_MODELS: dict[str, Callable[[], tuple[object, object]]] = {
    "wav2vec2-group": lambda: _w2v2("group"),
    "wav2vec2-layer": lambda: _w2v2("layer"),
    "hubert": _hubert,
    "wavlm": _wavlm,
    "wav2vec2-conformer": lambda: _like_wav2vec2("Wav2Vec2Conformer"),
    "unispeech-sat": lambda: _like_wav2vec2("UniSpeechSat"),
    "data2vec-audio": lambda: _like_wav2vec2("Data2VecAudio"),
    "parakeet": _parakeet,
    "wav2vec2-bert": lambda: _w2v_bert(adapter=False),
    "wav2vec2-bert-adapter": lambda: _w2v_bert(adapter=True),
}


def save_ctc(name: str, directory: Path) -> Path:
    """A random checkpoint of a real class. Its head is made bold, so that frames differ in their likeliest symbol."""
    torch.manual_seed(0)
    model, extractor = _MODELS[name]()
    if name == "parakeet":
        for weight in model.parameters():  # type: ignore[attr-defined]
            weight.data.mul_(20 if weight.dim() > 1 else 1)
    head = model.ctc_head if name == "parakeet" else model.lm_head  # type: ignore[attr-defined]
    for weight in head.parameters():
        weight.data.normal_(std=3.0 if weight.dim() > 1 else 0.0)
    model.save_pretrained(directory)  # type: ignore[attr-defined]
    extractor.save_pretrained(directory)  # type: ignore[attr-defined]
    vocabulary = directory / "vocab.json"
    vocabulary.write_text(json.dumps({symbol: i for i, symbol in enumerate(_VOCABULARY)}))
    transformers.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(directory)
    return directory


@pytest.mark.parametrize("name", sorted(_MODELS))
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
    symbols = [_VOCABULARY[b] for a, b in zip([None, *best], best, strict=False) if a != b and b != 0]
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
