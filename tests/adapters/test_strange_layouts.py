"""Checkpoints as others write them: bfloat16 in shards, a vocabulary larger than the tokenizer's, processor files in
the layout of earlier releases, and without what a family needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import tiny_asr, tiny_audio_chat, tiny_tts, tiny_tts_latents
from support.contracts import ask, build, hear, noise, say

from speech_eval.errors import BadInput

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

WRITERS: dict[str, Any] = {
    name: module.write
    for module, names in (
        (tiny_audio_chat, ("audioflamingo3", "granite_speech", "qwen3_asr", "phi4_multimodal", "vibevoice_asr")),
        (tiny_asr, ("canary",)),
        (tiny_tts, ("csm", "higgs_audio_v2")),
        (tiny_tts_latents, ("pocket_tts", "vibevoice")),
    )
    for name in names
}


def write(family: str, folder: Path) -> Path:
    return Path(WRITERS[family](family, folder))


def resave(folder: Path, padding: int = 0) -> None:
    """In bfloat16 and shards, without a generation config, the vocabulary padded as many are for speed."""
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, architecture).from_pretrained(folder)
    if padding:
        model.resize_token_embeddings(len(model.get_input_embeddings().weight) + padding)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="20KB")
    (folder / "generation_config.json").unlink(missing_ok=True)


def earlier_layout(folder: Path, template: str = "kept") -> None:
    """The feature extractor in preprocessor_config.json and the template in tokenizer_config.json (`kept`), or nowhere
    (`lost`)."""
    processor = folder / "processor_config.json"
    if processor.is_file():
        described = json.loads(processor.read_text())
        if extractor := described.pop("feature_extractor", None):
            (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
        processor.write_text(json.dumps(described))
    jinja = folder / "chat_template.jinja"
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    if template == "kept":
        (folder / "tokenizer_config.json").write_text(json.dumps({**tokenizer, "chat_template": jinja.read_text()}))
    jinja.unlink()


@pytest.mark.parametrize("family", ["audioflamingo3", "granite_speech", "qwen3_asr", "phi4_multimodal"])
def test_audio_llms_in_another_layout_hear_and_answer(family: str, tmp_path: Path) -> None:
    folder = write(family, tmp_path / "model")
    resave(folder, padding=13)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    earlier_layout(folder)
    model = build(str(folder))
    assert isinstance(model.transcribe(hear(noise(1.0)))[0], str)
    assert model.reply([ask(noise(1.0), "What is said?")])[0].text is not None


@pytest.mark.parametrize("family", ["csm", "higgs_audio_v2", "pocket_tts", "vibevoice"])
def test_generators_in_another_layout_speak(family: str, tmp_path: Path) -> None:
    folder = write(family, tmp_path / "model")
    resave(folder)
    earlier_layout(folder)
    (audio,) = build(f"{folder},max_seconds=0.5").synthesize([say("one two", 1)])
    assert len(audio.samples)


@pytest.mark.parametrize("family", WRITERS)
def test_a_checkpoint_without_its_chat_template_is_refused_in_one_line(family: str, tmp_path: Path) -> None:
    folder = write(family, tmp_path / "model")
    earlier_layout(folder, template="lost")
    with pytest.raises(BadInput, match=r"has no chat template\. Copy the checkpoint again"):
        build(str(folder))


def test_bark_without_its_generation_config_is_refused(tmp_path: Path) -> None:
    folder = tiny_tts_latents.write("bark", tmp_path / "model")
    (folder / "generation_config.json").unlink()
    with pytest.raises(BadInput, match=r"generation_config\.json does not state semantic_config and sample_rate"):
        build(str(folder))
