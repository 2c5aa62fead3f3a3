"""What the shipped workers ask of the systems they wrap: every call fits the signature in the pinned source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.originals import ROOT, SIGNATURES, Original

from speech_eval.adapters.remote.worker.exchange import float_wav
from speech_eval.audio import Audio, read

torch = pytest.importorskip("torch")
WAVE = 0.5 * np.sin(np.arange(1600, dtype=np.float32) / 9)


@pytest.fixture
def original(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Original]:
    """The stand-in of the worker that the test is named by; all that was read of the original must be called."""
    name = request.function.__name__.removeprefix("test_")
    made = Original(name, tmp_path, monkeypatch)
    yield made
    assert made.uncalled() == set()


@pytest.fixture
def sound(tmp_path: Path) -> Callable[..., Any]:
    """Audio as it arrives at a worker: a file, its rate and its samples."""

    def make(seconds: float = 0.5) -> Any:
        path = tmp_path / f"{seconds}.wav"
        path.write_bytes(float_wav(Audio(np.zeros(round(16_000 * seconds), np.float32), 16_000)))
        return SimpleNamespace(path=str(path), rate=16_000, samples=[0.0] * round(16_000 * seconds), metadata={})

    return make


def asks(**fields: Any) -> SimpleNamespace:
    known = {"id": "a", "text": "Hello.", "language": "en", "seed": 7, "prompt_audio": None, "prompt_text": None}
    return SimpleNamespace(**{**known, **fields})


def clones(sound: Callable[..., Any], **fields: Any) -> SimpleNamespace:
    return asks(prompt_audio=sound(), prompt_text="said", **fields)


def heard(audio: Any, rate: int, samples: object = WAVE, tolerance: float = 1e-6) -> None:
    """The audio as the harness would read it."""
    found = read(audio.content(), "answer")
    assert found.rate == rate
    np.testing.assert_allclose(found.samples, samples, atol=tolerance)


def tensor() -> Any:
    return torch.from_numpy(WAVE.copy())[None]


# ---------------------------------------------------------------------------------------- from repositories


def test_cosyvoice2(original: Original, sound: Callable[..., Any]) -> None:
    pieces: Any = {"inference_zero_shot": lambda a: iter([{"tts_speech": tensor()}] * 2)}
    pieces["inference_cross_lingual"] = pieces["inference_zero_shot"]
    model = original.cls("CosyVoice2", "CosyVoice", answers=pieces, sample_rate=24_000)
    original.module("cosyvoice.cli.cosyvoice", CosyVoice2=model)
    worker, request = original.build(path="weights", fp16=True), clones(sound)
    heard(worker.synthesize(request), 24_000, np.tile(WAVE, 2))
    assert [len(piece.samples[0]) for piece in worker.stream(request)] == [1600, 1600]
    worker.synthesize(asks(prompt_audio=sound()))
    with pytest.raises(ValueError, match="voice of a prompt"):
        worker.synthesize(asks())
    (made,), (whole, streamed) = original.asked("CosyVoice2.__init__"), original.asked("CosyVoice.inference_zero_shot")
    assert (made["model_dir"], made["fp16"]) == ("weights", True)
    assert (whole["tts_text"], whole["prompt_text"], whole["prompt_wav"]) == (
        "Hello.",
        "said",
        request.prompt_audio.path,
    )
    assert (whole["stream"], streamed["stream"], whole["text_frontend"]) == (False, True, False)


def test_index_tts(original: Original, sound: Callable[..., Any]) -> None:
    def infer(asked: dict[str, Any]) -> Any:
        if asked["stream_return"]:
            return iter([tensor() * 32_767, torch.zeros(1, 10)])
        return 22_050, (WAVE * 32_767).astype(np.int16)[:, None]

    original.module("indextts.infer_v2_5", IndexTTS2=original.cls("IndexTTS2", answers={"infer": infer}))
    worker = original.build(path="weights")
    heard(worker.synthesize(clones(sound, language="zh-CN")), 22_050, tolerance=1e-4)
    assert [piece.rate for piece in worker.stream(clones(sound))] == [22_050, 22_050]
    for refused in (asks(), clones(sound, language="fr")):
        with pytest.raises(ValueError, match="voice prompt"):
            worker.synthesize(refused)
    (made,), asked = original.asked("IndexTTS2.__init__"), original.asked("IndexTTS2.infer")
    assert (made["cfg_path"], made["model_dir"]) == ("weights/config.yaml", "weights")
    assert [call["lang"] for call in asked] == ["ZH", "EN"] and asked[0]["output_path"] is None


def test_salmonn(original: Original, sound: Callable[..., Any]) -> None:
    settings = SimpleNamespace(prompt_template="USER: {}\nASSISTANT:", whisper_path="whisper")
    model = original.cls(
        "SALMONN", answers={"from_config": lambda a: a["owner"](), "generate": lambda a: ["hello</s>"]}
    )
    model.to, model.eval = lambda self, device: self, lambda self: self  # of torch.nn.Module
    config = original.cls("Config", config=SimpleNamespace(model=settings, generate={"num_beams": 4}))
    extractor = SimpleNamespace(from_pretrained=lambda path: f"features of {path}")
    original.module("config", Config=config)
    original.module("models.salmonn", SALMONN=model)
    original.module("utils", prepare_one_sample=original.function("prepare_one_sample", lambda a: "sample"))
    original.module("transformers", WhisperFeatureExtractor=extractor)
    worker, audio = original.build(config="decode.yaml"), sound()
    assert worker.transcribe(asks(audio=audio)) == "hello"
    parts = [{"type": "audio", "audio": audio}, {"type": "text", "text": "Who speaks?"}]
    assert worker.reply(asks(messages=[{"role": "user", "content": parts}])) == "hello"
    with pytest.raises(ValueError, match="up to 30 s"):
        worker.transcribe(asks(audio=sound(31)))
    first, second = original.asked("SALMONN.generate")
    spoken = "USER: <Speech><SpeechHere></Speech> Recognize the speech and give me the transcription.\nASSISTANT:"
    assert first["prompts"] == [spoken] and "Who speaks?" in second["prompts"][0]
    assert first["samples"] == "sample" and first["generate_cfg"] == {"num_beams": 4}
    assert original.asked("Config.__init__")[0]["args"].cfg_path == "decode.yaml"


def test_kimi_audio(original: Original, sound: Callable[..., Any]) -> None:
    def generate(asked: dict[str, Any]) -> Any:
        return (tensor() if asked["output_type"] == "both" else None), " hello "

    original.module("kimia_infer.api.kimia", KimiAudio=original.cls("KimiAudio", answers={"generate": generate}))
    worker, audio = original.build(path="weights", speak=True), sound()
    assert worker.transcribe(asks(audio=audio)) == "hello"
    messages = [{"role": "user", "content": [{"type": "audio", "audio": audio}]}]
    reply = worker.reply(asks(messages=messages, max_new_tokens=9))
    heard(reply["audio"], 24_000)
    worker.speak = False
    worker.reply(asks(messages=messages, max_new_tokens=9))
    asked = original.asked("KimiAudio.generate")
    assert [call["output_type"] for call in asked] == ["text", "both", "text"] and asked[2]["max_new_tokens"] == 9
    assert [chat["message_type"] for chat in asked[0]["chats"]] == ["text", "audio"]
    assert asked[1]["chats"] == [{"role": "user", "message_type": "audio", "content": audio.path}]


def test_spark_tts(original: Original, sound: Callable[..., Any]) -> None:
    network = SimpleNamespace(
        quantizer=SimpleNamespace(codebook_size=8192),
        speaker_encoder=SimpleNamespace(quantizer=SimpleNamespace(codebook_size=4096)),
    )
    codes = {"tokenize": lambda a: (torch.arange(32)[None, None], torch.arange(25)[None]), "detokenize": lambda a: WAVE}
    codec = original.cls("BiCodecTokenizer", answers=codes, model=network)()
    own: Any = {"sample_rate": 16_000, "device": "cpu", "audio_tokenizer": codec}
    original.module("cli.SparkTTS", SparkTTS=original.cls("SparkTTS", answers={"inference": lambda a: WAVE}, **own))
    worker, request = original.build(path="weights", device="cpu"), clones(sound)
    heard(worker.synthesize(request), 16_000)
    worker.synthesize(asks())
    found = worker.encode(sound())
    assert [len(book) for book in found["codebooks"]] == [25, 32]
    assert (found["frame_rates"], found["codebook_sizes"]) == ([50, 64.0], [8192, 4096])  # 32 codes in half a second
    heard(worker.decode({key: [np.asarray(v).tolist() for v in found[key]] for key in found}), 16_000)
    cloned, created = original.asked("SparkTTS.inference")
    assert (cloned["prompt_speech_path"], cloned["prompt_text"], cloned["gender"]) == (
        request.prompt_audio.path, "said", None,
    )  # fmt: skip
    assert (created["gender"], created["pitch"], created["prompt_speech_path"]) == ("female", "moderate", None)
    (decoded,) = original.asked("BiCodecTokenizer.detokenize")
    assert (decoded["global_tokens"].shape, decoded["semantic_tokens"].shape) == ((1, 32), (1, 25))


def test_glm_tts(original: Original, sound: Callable[..., Any]) -> None:
    answers = {"_extract_speech_token": lambda a: torch.tensor([[1, 2, 3]]), "_extract_text_token": lambda a: "tokens"}
    voices = original.cls("TTSFrontEnd", answers=answers)()
    texts = original.cls("TextFrontEnd", answers={"text_normalize": lambda a: a["text"].lower()})()
    loaded = original.function("load_models", lambda a: (voices, texts, "tokenizer", "llm", "flow"))
    spoken = original.function("generate_long", lambda a: (tensor(), None, [], {}))
    original.module("glmtts_inference", load_models=loaded, generate_long=spoken, DEVICE="cpu")
    worker, request = original.build(rate=32_000), clones(sound)
    heard(worker.synthesize(request), 32_000)
    with pytest.raises(ValueError, match="voice prompt and its text"):
        worker.synthesize(asks(prompt_audio=sound()))
    (call,) = original.asked("generate_long")
    assert (call["text_info"], call["seed"], call["llm"], call["flow"]) == (["a", "hello."], 7, "llm", "flow")
    assert call["cache"]["cache_speech_token"] == [[1, 2, 3]] and call["flow_prompt_token"].tolist() == [[1, 2, 3]]
    assert original.asked("TTSFrontEnd._extract_text_token") == [{"text": "said "}]
    assert original.asked("TTSFrontEnd._extract_speech_token") == [{"path_or_tuple": [request.prompt_audio.path]}]
    assert original.asked("load_models")[0]["sample_rate"] == 32_000


# ---------------------------------------------------------------------------------------- from packages


def test_outetts(original: Original, sound: Callable[..., Any]) -> None:
    spoken = original.cls("ModelOutput", audio=tensor()[None], sr=44_100)()
    answers = {
        "load_default_speaker": lambda a: "own",
        "create_speaker": lambda a: "clone",
        "generate": lambda a: spoken,
    }
    model = original.cls("InterfaceHF", answers=answers)()
    original.module(
        "outetts",
        Interface=original.function("Interface", lambda a: model),
        ModelConfig=original.cls("ModelConfig"),
        GenerationConfig=original.function("GenerationConfig", lambda a: a),
    )
    worker = original.build(path="weights")
    heard(worker.synthesize(clones(sound)), 44_100)
    heard(worker.synthesize(asks()), 44_100)
    assert [call["speaker"] for call in original.asked("GenerationConfig")] == ["clone", "own"]
    assert original.asked("ModelConfig.__init__")[0]["tokenizer_path"] == "weights"


def test_neutts(original: Original, sound: Callable[..., Any]) -> None:
    answers = {
        "infer": lambda a: WAVE,
        "infer_stream": lambda a: iter([WAVE, WAVE]),
        "encode_reference": lambda a: torch.arange(4),
    }
    original.module("neutts", NeuTTS=original.cls("NeuTTS", answers=answers, sample_rate=24_000))
    worker = original.build(path="neuphonic/neutts-air-q4-gguf")
    assert len(list(worker.stream(clones(sound)))) == 2
    heard(worker.synthesize(clones(sound)), 24_000)
    (call,) = original.asked("NeuTTS.infer")
    assert (call["text"], call["ref_text"], call["ref_codes"].tolist()) == ("Hello.", "said", [0, 1, 2, 3])
    with pytest.raises(ValueError, match="voice prompt and its text"):
        worker.synthesize(asks())


def test_moshi(original: Original, sound: Callable[..., Any]) -> None:
    mimi_answers: Any = {"encode": lambda a: torch.zeros(1, 8, 1), "decode": lambda a: torch.zeros(1, 1, 1920)}
    mimi_answers |= {"sample_rate": lambda a: 24_000, "frame_rate": lambda a: 12.5}
    mimi = original.cls("MimiModel", "StreamingModule", answers=mimi_answers)()
    tokens = iter([None, torch.arange(9)[None, :, None]])
    lm = original.cls("LMGen", "StreamingModule", answers={"step": lambda a: next(tokens)})
    found: Any = {"get_mimi": lambda a: mimi, "get_moshi": lambda a: "lm", "from_hf_repo": lambda a: loaded}
    info = original.cls("CheckpointInfo", answers=found, lm_gen_config={"temp": 0.5})
    loaded = info()
    original.module("moshi.models", LMGen=lm, loaders=SimpleNamespace(CheckpointInfo=info))
    worker = original.build(path="here/config.json", device="cpu")
    assert (worker.sample_rate, worker.chunk_seconds) == (24_000, 0.08)
    worker.reset()
    chunk = SimpleNamespace(samples=[0.0] * 1920)
    assert [len(worker.step(chunk).samples) for _ in range(2)] == [1920, 1920]
    assert original.asked("MimiModel.encode")[0]["x"].shape == (1, 1, 1920)
    assert original.asked("MimiModel.decode")[0]["codes"].shape == (1, 8, 1)  # without the text
    assert original.asked("LMGen.__init__")[0]["temp"] == 0.5
    assert original.asked("CheckpointInfo.from_hf_repo")[0]["config_path"] == Path("here/config.json")


def test_nemo(original: Original, sound: Callable[..., Any], tmp_path: Path) -> None:
    parakeet = original.cls("EncDecRNNTModel", answers={"transcribe": lambda a: [SimpleNamespace(text="hello")]})
    canary = original.cls("EncDecMultiTaskModel", answers={"transcribe": lambda a: ["bonjour"]})
    parakeet.eval = canary.eval = lambda self: self  # of torch.nn.Module
    base = original.cls("Model", "ModelPT", answers={
        "from_pretrained": lambda a: parakeet(), "restore_from": lambda a: canary(),
    })  # fmt: skip
    original.module("nemo.collections.asr.models", ASRModel=base, EncDecMultiTaskModel=canary)
    request = asks(audio=sound(), language="fr-FR")
    assert original.build(path="nvidia/parakeet", device="cpu").transcribe(request) == "hello"
    (tmp_path / "canary.nemo").touch()
    (tmp_path / "nemo" / "source").rmdir()
    (tmp_path / "nemo" / "worker.py").unlink()
    (tmp_path / "nemo").rmdir()
    assert original.build(path=str(tmp_path / "canary.nemo")).transcribe(request) == "bonjour"
    (told,) = original.asked("EncDecMultiTaskModel.transcribe")
    assert told["prompt"] == {"source_lang": "fr", "target_lang": "fr"} and told["audio"] == [request.audio.path]


def test_f5_tts(original: Original, sound: Callable[..., Any]) -> None:
    answers = {"infer": lambda a: (WAVE, 24_000, None)}
    original.module("f5_tts.api", F5TTS=original.cls("F5TTS", answers=answers))
    worker, request = original.build(path="model.safetensors"), clones(sound)
    heard(worker.synthesize(request), 24_000)
    for refused, why in ((asks(), "its text"), (asks(prompt_audio=sound(13), prompt_text="said"), "12 s")):
        with pytest.raises(ValueError, match=why):
            worker.synthesize(refused)
    (call,) = original.asked("F5TTS.infer")
    assert (call["ref_file"], call["ref_text"], call["gen_text"]) == (request.prompt_audio.path, "said", "Hello.")
    assert (call["seed"], original.asked("F5TTS.__init__")[0]["ckpt_file"]) == (7, "model.safetensors")


def test_chatterbox(original: Original, sound: Callable[..., Any], tmp_path: Path) -> None:
    voices = []

    def generate(asked: dict[str, Any]) -> Any:
        voices.append(asked["owner"].conds)
        if asked["audio_prompt_path"]:
            asked["owner"].conds = "the prompt's"  # as the package does
        return tensor()

    made: Any = {"from_local": lambda a: a["owner"](), "from_pretrained": lambda a: a["owner"](), "generate": generate}
    model = original.cls("ChatterboxTTS", answers=made, conds="its own", sr=24_000)
    original.module("chatterbox.tts", ChatterboxTTS=model)
    worker = original.build(path="weights", device="cpu")
    for request in (clones(sound), asks()):
        heard(worker.synthesize(request), 24_000)
    assert voices == ["its own", "its own"]
    with pytest.raises(ValueError, match="speaks English, not zh"):
        worker.synthesize(asks(language="zh"))
    type(worker)(device="cpu")  # without a path


def test_sensevoice(original: Original, sound: Callable[..., Any]) -> None:
    tagged = "<|en|><|NEUTRAL|><|Speech|><|withitn|>Hello there."
    original.module("funasr", AutoModel=original.cls("AutoModel", answers={"generate": lambda a: [{"text": tagged}]}))
    worker = original.build(path="weights", device="cpu")
    assert worker.transcribe(asks(audio=sound(), language="en-US")) == "Hello there."
    worker.transcribe(asks(audio=sound(), language="fr"))
    with pytest.raises(ValueError, match="30 s"):
        worker.transcribe(asks(audio=sound(31)))
    assert [call["cfg"]["language"] for call in original.asked("AutoModel.generate")] == ["en", "auto"]


def test_every_worker_is_bound() -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.parent.name for path in (ROOT / "workers").glob("*/worker.py")} == set(SIGNATURES)
    assert set(SIGNATURES) <= tests
