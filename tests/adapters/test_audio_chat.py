"""Audio language models of transformers: every family tiny and random, loaded by its directory."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from support import tiny_audio_chat as tiny
from support.contracts import ask, build, check_chat, check_recognizer, check_unloads, hear, noise, run

from speech_eval.adapters.catalog import MODELS
from speech_eval.adapters.chat.audio_chat import AudioChat
from speech_eval.adapters.chat.families import FAMILIES
from speech_eval.adapters.chat.generation import room_for
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, BadInput, MissingExtra

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

# Audio tokens of 1, 2 and 29 s; None where the family takes no 31 s.
TOKENS = {
    "qwen2_audio": (25, 50, 725, None),
    "audioflamingo3": (25, 50, 725, 775),
    "musicflamingo": (25, 50, 725, 775),
    "granite_speech": (12, 21, 291, 312),
    "voxtral": (375, 375, 375, 750),
    "vibevoice_asr": (8, 15, 218, 233),
    "qwen3_asr": (13, 26, 377, 403),
    "glmasr": (12, 25, 362, 387),
    "fun_asr_nano": (17, 33, 483, 517),
    "phi4_multimodal": (13, 25, 363, 388),
    "qwen3_omni_moe_thinker": (13, 26, 377, 403),
}
SINGLE = ("audioflamingo3", "musicflamingo", "qwen3_asr", "glmasr", "fun_asr_nano")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audio-chat")


@pytest.fixture(scope="module", params=list(tiny.WRITERS))
def spec(request: pytest.FixtureRequest, folder: Path) -> str:
    family = str(request.param)
    return f"{tiny.write(family, folder / family)},max_new_tokens=8"


@pytest.fixture(scope="module")
def model(spec: str) -> AudioChat:
    adapter = build(spec)
    assert isinstance(adapter, AudioChat)
    return adapter


def family_in(spec: str) -> str:
    return Path(spec.partition(",")[0]).name


def audio_tokens(model: AudioChat, audio: Audio) -> int:
    return int((model._transcription(hear(audio)[0])["input_ids"] == model._audio_token).sum())


def test_the_catalog_knows_every_family() -> None:
    assert set(MODELS.get("audio-chat").model_types) == set(FAMILIES) == {*tiny.WRITERS, "qwen3_omni_moe"}


def test_it_keeps_the_contract_of_recognizers(model: AudioChat) -> None:
    check_recognizer(model)


def test_it_keeps_the_contract_of_chat(model: AudioChat) -> None:
    check_chat(model)


def test_recordings_of_one_length_are_heard_differently(model: AudioChat) -> None:
    spoken = [noise(2, model.sample_rate), Audio(np.zeros(2 * model.sample_rate, np.float32), model.sample_rate)]
    with torch.inference_mode():
        first, second = (model._model(**model._transcription(request)).logits[0, -1] for request in hear(*spoken))
    assert not torch.allclose(first, second, atol=1e-3)


def test_every_second_of_audio_reaches_the_model(spec: str, model: AudioChat) -> None:
    *short, long = TOKENS[family_in(spec)]
    audios = [noise(seconds, model.sample_rate) for seconds in (1, 2, 29)]
    assert [audio_tokens(model, audio) for audio in audios] == short
    beyond = noise(31, model.sample_rate)
    if long is None:
        with pytest.raises(BadAudio, match=r"31[.]0 s of audio.*takes 30 s and would cut"):
            model.transcribe(hear(beyond))
    else:
        assert audio_tokens(model, beyond) == long


def test_what_the_processor_would_cut_is_refused(folder: Path) -> None:
    model = build(str(tiny.write("audioflamingo3", folder / "short")))
    with pytest.raises(BadAudio, match=r"61[.]0 s of audio.*takes 60 s"):
        model.reply([ask(noise(61))])


def test_what_exceeds_the_positions_is_refused(spec: str) -> None:
    model = build(spec)
    limit = model._model.config.get_text_config(decoder=True).max_position_embeddings
    with pytest.raises(BadInput, match=f"leave no room for an answer in the {limit} positions"):
        model.reply([ask("word " * (limit // 5))])


def test_a_conversation_of_several_recordings(spec: str, model: AudioChat) -> None:
    asked = ask(noise(1, seed=1), "and", noise(1, seed=2))
    if family_in(spec) in SINGLE:
        with pytest.raises(BadInput, match="takes 1 recording per conversation, not 2"):
            model.reply([asked])
    else:
        assert model.reply([asked])[0].text


def test_a_system_message_reaches_the_model(model: AudioChat) -> None:
    asked = ask(noise(1), "What is said?")
    system = {
        "role": "system",
        "content": [{"type": "text", "text": "Answer in capital letters, in one short sentence, and politely."}],
    }
    told = type(asked)(asked.id, [system, *asked.messages], asked.seed, asked.max_new_tokens)
    lengths = [model._conversation(request)["input_ids"].shape[1] for request in (asked, told)]
    assert lengths[1] >= lengths[0] + 5


def test_sampling_follows_the_seed(spec: str) -> None:
    model = build(f"{spec},temperature=1.5".replace("=8", "=12"))
    first, second = (model.reply([ask("Hello", seed=seed, tokens=12)])[0] for seed in (1, 2))
    assert [model.reply([ask("Hello", seed=seed, tokens=12)])[0] for seed in (2, 1)] == [second, first]
    assert first != second


def test_an_answer_ends_at_the_last_position(spec: str, model: AudioChat) -> None:
    limit = model._model.config.get_text_config(decoder=True).max_position_embeddings
    room = room_for("a", limit - 40, 2 * limit, model._model.config)
    assert room == 40
    with pytest.raises(BadInput, match=r"a: .* tokens leave no room"):
        room_for("a", limit - 7, 8, model._model.config)


@pytest.mark.slow
def test_a_run_keeps_the_prompt_and_the_command_succeeds(spec: str, tmp_path: Path) -> None:
    assert run(spec, "asr", tmp_path / "asr", metrics="wer[whisper-normalizer@20250625]") == 0
    manifest = json.loads((tmp_path / "asr" / "run" / "manifest.json").read_text())
    prompt = manifest["model"]["metadata"]["transcription_prompt"]
    token = {"voxtral": "[TRANSCRIBE]"}.get(family_in(spec), "assistant")
    assert prompt.rstrip().rstrip(">").endswith(token.rstrip(">")) or "<asr_text>" in prompt
    assert run(spec, "voicebench-openbookqa", tmp_path / "qa") == 0
    assert run(spec, "latency", tmp_path / "latency") == 0


def test_a_prompt_of_the_users_own_is_asked_and_kept(spec: str) -> None:
    model = build(f"{spec},prompt=Note every cough")
    assert "Note every cough" in model.info().metadata["transcription_prompt"]
    assert model.transcribe(hear(noise(1, model.sample_rate)))[0]


def test_its_network_is_freed(spec: str) -> None:
    check_unloads(spec)


def test_an_unknown_language_is_refused(folder: Path) -> None:
    model = build(str(tiny.write("qwen3_asr", folder / "qwen3_asr")))
    with pytest.raises(BadInput, match="heard-0: the processor refuses the request"):
        model.transcribe(hear(noise(1), language="tlh"))


def test_a_template_that_drops_the_audio_is_refused(tmp_path: Path) -> None:
    directory = tiny.write("audioflamingo3", tmp_path / "deaf")
    (directory / "chat_template.jinja").write_text("{% for m in messages %}Hello{% endfor %}")
    with pytest.raises(BadInput, match=r"1 recordings became 0 audio tokens|refuses the request"):
        build(str(directory)).transcribe(hear(noise(1)))


@pytest.mark.parametrize("options", ["temperature=-1", "max_new_tokens=0", "dtype=int4", "heat=1"])
def test_options_that_cannot_be_are_refused(folder: Path, options: str) -> None:
    directory = tiny.write("audioflamingo3", folder / "audioflamingo3")
    with pytest.raises(BadInput):
        build(f"{directory},{options}")


# ------------------------------------------------------------------------------------------- readings


@pytest.mark.parametrize(
    ("family", "answer"),
    [
        ("audioflamingo3", "The spoken content of the audio is 'he was not'."),
        ("glmasr", "The transcription of the audio is 'he was not'."),
        ("vibevoice_asr", '[{"Start":0.0,"End":0.5,"Speaker":0,"Content":"he was"},{"Content":"not"}]'),
        ("qwen3_asr", "language English<asr_text>he was not"),
        ("qwen2_audio", "he was not"),
    ],
)
def test_a_transcript_is_read_out_of_its_frame(folder: Path, family: str, answer: str) -> None:
    model = build(str(tiny.write(family, folder / f"{family}-read")))
    ids = torch.tensor(model._processor.tokenizer.encode(answer))
    assert (model._family.read or model._plain)(model._processor, ids) == "he was not"


# -------------------------------------------------------------------------------- Qwen3-Omni and Phi-4


def test_the_thinker_is_found_in_a_whole_checkpoint_of_qwen3_omni(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    thinker = tiny.write("qwen3_omni_moe_thinker", folder / "thinker")
    whole = tmp_path / "whole"
    shutil.copytree(thinker, whole)
    config = json.loads((thinker / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps({"model_type": "qwen3_omni_moe", "thinker_config": config}))
    weights = {f"thinker.{name}": weight for name, weight in load_file(thinker / "model.safetensors").items()}
    weights["talker.model.norm.weight"] = torch.ones(8)
    save_file(weights, whole / "model.safetensors", metadata={"format": "pt"})
    said = [build(f"{path},max_new_tokens=8").transcribe(hear(noise(1))) for path in (thinker, whole)]
    assert said[0] == said[1] and said[0][0]


def test_the_speech_adapter_of_phi4_is_loaded_and_counts(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from peft import LoraConfig

    directory = tiny.write("phi4_multimodal", tmp_path / "phi4")
    plain = build(f"{directory},max_new_tokens=8")
    heard, digest = plain.transcribe(hear(noise(1))), plain.info().weights_sha256
    model = tiny.bold(tiny.phi4_model(transformers.AutoTokenizer.from_pretrained(directory)))
    model.add_adapter(LoraConfig(r=2, target_modules=["qkv_proj"], init_lora_weights=False), adapter_name="speech")
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=2.0)
    model.save_pretrained(str(directory / "speech-lora"))
    adapted = build(f"{directory},max_new_tokens=8")
    assert adapted.transcribe(hear(noise(1))) != heard and adapted.info().weights_sha256 != digest
    (directory / "speech-lora" / "adapter_model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"adapter_model\.safetensors: this file is missing"):
        build(str(directory))


# -------------------------------------------------------------------------------------------- Granite


# torchaudio 2.11.0 behind the extractor of transformers 5.23.0: frames 0, 10, 30 and 49.
GRANITE = [
    [1.17895, 1.54381, 0.77966, 1.72097, 0.12959],
    [0.10451, 1.11430, -0.24703, 1.72260, -0.24703],
    [0.10720, 1.11438, -0.24703, 1.72260, -0.12723],
    [0.00603, 1.11417, -0.24703, 1.72080, 0.09047],
]


def test_granites_features_are_those_of_torchaudio() -> None:
    from speech_eval.adapters.chat.granite_features import extractor_class

    time = np.arange(16_000) / 16_000
    wave = (0.3 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.sin(2 * np.pi * 1900 * time**2)).astype(np.float32)
    features = extractor_class()()(np.stack([wave]))["input_features"][0]
    assert features.shape == (50, 160)
    assert np.allclose(features[[0, 10, 30, 49]][:, [3, 12, 40, 95, 130]].numpy(), GRANITE, atol=1e-4)


def _with_adapter(directory: Path) -> Path:
    """Granite Speech with a LoRA adapter that changes what it says."""
    from peft import LoraConfig

    tiny.write("granite_speech", directory)
    torch.manual_seed(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = tiny.bold(tiny.granite_model(tokenizer, lora=True))
    model.add_adapter(LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=2.0)
    model.save_pretrained(str(directory))
    return directory


def test_granites_adapter_is_loaded_and_counts(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    directory = _with_adapter(tmp_path / "granite")
    model = build(f"{directory},max_new_tokens=8")
    heard, digest = model.transcribe(hear(noise(1))), model.info().weights_sha256
    from safetensors.torch import load_file, save_file

    weights = load_file(directory / "adapter_model.safetensors")
    save_file({name: 0 * weight for name, weight in weights.items()}, directory / "adapter_model.safetensors")
    without = build(f"{directory},max_new_tokens=8")
    assert without.transcribe(hear(noise(1))) != heard and without.info().weights_sha256 != digest


def test_granite_without_its_adapter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tiny.write("granite_speech", tmp_path / "granite")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"has_lora_adapter": True}))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"'peft' is not installed.*audio-chat"):
        build(str(directory))
    monkeypatch.setitem(sys.modules, "peft", json)  # any module: the file is what is missing
    with pytest.raises(BadInput, match=r"LoRA adapter, and adapter_config\.json is missing"):
        build(str(directory))
