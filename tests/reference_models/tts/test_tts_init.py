"""Training that starts from published speech LMs, on tiny random directories as transformers writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytest.importorskip("pyarrow")
from support.tiny_lms import published, save_lm  # noqa: E402
from support.tiny_speech import save_codec, spoken_tones  # noqa: E402

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest  # noqa: E402
from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.data.token_shards import Shards  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe  # noqa: E402
from speech_eval.reference_models.tts.building import load  # noqa: E402
from speech_eval.reference_models.tts.published import PublishedTokenizer  # noqa: E402
from speech_eval.reference_models.tts.train import train_recipe  # noqa: E402

torch.set_num_threads(1)
TRAINING = {
    "steps": 2,
    "batch_size": 1,
    "sequence": 1024,
    "optimizer": {"learning_rate": 1e-2},
    "check": {"utterances": 1, "recognizer": "whisper-tiny.en", "max_wer": 100.0},
    "log_every": 1,
}


def recipe(**changes: Any) -> ResolvedRecipe:
    core = {"type": "llama", "width": 8, "layers": 1, "heads": 1, "feed_forward": 8}
    parts = {"name": "tts/toy", "size": "smoke", "codec": None, "model": {"core": core}, "training": TRAINING}
    return ResolvedRecipe.model_validate(parts | {"evaluation": {"task": "seed-tts"}} | changes)


def first_loss(lm: Any, tokenizer: PublishedTokenizer, output: Path, family: str) -> float:
    """Mean nats of speech and its end over the documents of the shards, by transformers' own loss."""
    total = count = 0.0
    shards = Shards(output / "shards")
    for document in (shards[i] for i in range(len(shards))):
        named = f"{document.speaker}: " if family == "orpheus" else ""
        prompt = tokenizer.family.written(named + document.spoken)
        ids = torch.tensor([[*prompt, *tokenizer.family.speech(document.codes), tokenizer.family.end]])
        labels = ids.clone()
        labels[:, : len(prompt)] = -100
        many = ids.shape[1] - len(prompt)
        total, count = total + float(lm(input_ids=ids, labels=labels).loss) * many, count + many
    return total / count


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llasa", "orpheus", "neutts"])
def test_a_published_model_goes_on_learning_in_its_own_tokens(family: str, tmp_path: Path) -> None:
    path, codec, _ = published(family, tmp_path)
    before = transformers.AutoModelForCausalLM.from_pretrained(path)
    data, output = spoken_tones(tmp_path / "data"), tmp_path / "on"
    card = train_recipe(recipe(), data, output, init=str(path), codec=codec, overfit=True)
    model, _ = load(output)
    assert isinstance(model.tokenizer, PublishedTokenizer) and model.config.core.type == "hub"
    assert model.core.get_input_embeddings().weight.shape == before.get_input_embeddings().weight.shape
    assert card["training"]["init_weights_sha256"] and card["codec"]["weights_sha256"]
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    with torch.inference_mode():
        assert rows[0]["speech"] == pytest.approx(first_loss(before, model.tokenizer, output, family), rel=1e-4)
    assert rows[-1]["speech"] < rows[0]["speech"]
    moved = (
        before.base_model.layers[0].mlp.up_proj.weight != model.core.base_model.layers[0].mlp.up_proj.weight
    ).float()
    assert moved.mean() > 0.9
    speaker = resolve(f"{output},max_seconds=0.5").build()
    assert isinstance(speaker, SpeechSynthesizer)
    (audio,) = speaker.synthesize([SynthesisRequest("a", "Two.", seed=1)])
    assert len(audio.samples) > 0


@pytest.mark.slow
def test_adapters_learn_beside_frozen_weights_and_are_added_to_them(tmp_path: Path) -> None:
    path, codec, _ = published("llasa", tmp_path)
    data, output = spoken_tones(tmp_path / "data"), tmp_path / "on"
    wanted = recipe(training=TRAINING | {"lora": {"rank": 2, "targets": ["q_proj", "down_proj"]}})
    said: list[str] = []
    card = train_recipe(wanted, data, output, init=str(path), codec=codec, overfit=True, say=said.append)
    # One layer: q_proj is 16 to 16, down_proj 32 to 16.
    assert card["training"]["lora"] == {"layers": 2, "learned": 2 * (16 + 16) + 2 * (32 + 16)}
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["speech"] < rows[0]["speech"]
    before = transformers.AutoModelForCausalLM.from_pretrained(path)
    model, _ = load(output)
    changed = {
        name.rpartition("layers.")[2]
        for (name, old), new in zip(before.named_parameters(), model.core.parameters(), strict=True)
        if not torch.equal(old, new)
    }
    assert changed == {"0.self_attn.q_proj.weight", "0.mlp.down_proj.weight"}
    adapted = pytest.importorskip("peft").PeftModel.from_pretrained(before, output / "adapter")
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        assert torch.allclose(adapted(input_ids=ids).logits, model.core(input_ids=ids).logits, atol=1e-5)
    again = train_recipe(wanted.model_copy(), data, output, init=str(path), codec=codec, overfit=True, resume=True)
    assert again["training"]["steps"] == 2
    strange = recipe(training=TRAINING | {"lora": {"targets": ["to_q"]}})
    with pytest.raises(BadInput, match=r"no layer is named to_q\. .*q_proj"):
        train_recipe(strange, data, tmp_path / "other", init=str(path), codec=codec)


def test_what_cannot_be_trained_is_said_by_name(tmp_path: Path) -> None:
    data = spoken_tones(tmp_path / "data")
    path, codec, _ = published("outetts", tmp_path / "o")
    with pytest.raises(BadInput, match=r"--init .*of the family outetts cannot be trained here"):
        train_recipe(recipe(), data, tmp_path / "a", init=str(path), codec=codec)
    with pytest.raises(BadInput, match="type llama without the speech tokens of a known family"):
        train_recipe(recipe(), data, tmp_path / "a", init=str(save_lm(tmp_path / "text", 97, [])))
    transformers.CsmConfig().save_pretrained(tmp_path / "csm")
    (tmp_path / "csm" / "model.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match=r"type csm .*cannot be trained here"):
        train_recipe(recipe(), data, tmp_path / "a", init=str(tmp_path / "csm"))


def test_a_recipe_that_would_give_a_speaking_model_a_second_vocabulary_is_refused(tmp_path: Path) -> None:
    path, _, _ = published("llasa", tmp_path)
    model = {"frontend": "tokenizer", "core": {"type": "hub", "name": str(path), "positions": 512}}
    codec = {"spec": str(save_codec(tmp_path / "other"))}
    with pytest.raises(BadInput, match=r"speaks already: it has the speech tokens of llasa\. .*--init"):
        train_recipe(recipe(model=model, codec=codec), spoken_tones(tmp_path / "data"), tmp_path / "out")
