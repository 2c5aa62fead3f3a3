"""Moshi's steps on transformers against those of the package `moshi`, with the same weights, token by token."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.contracts import build
from support.tiny_codecs import fill_codebooks
from support.tiny_tts import MIMI

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("moshi")
torch.set_num_threads(1)
pytestmark = pytest.mark.slow

STEPS, BOOKS, CARD, WORDS = 40, 4, 48, 64
PACKAGE = {"dim": 32, "num_heads": 4, "num_layers": 2, "context": 24, "hidden_scale": 4.0, "card": CARD}
PACKAGE |= {"text_card": WORDS, "n_q": 2 * BOOKS, "dep_q": BOOKS, "delays": [0, 0, 1, 1, 1, 0, 1, 1, 1]}
PACKAGE |= {"depformer_dim": 16, "depformer_dim_feedforward": 32, "depformer_num_heads": 2, "depformer_num_layers": 2}
PACKAGE |= {"depformer_context": BOOKS}


@pytest.fixture(scope="module")
def language_model() -> Any:
    """The package's network with weights large enough that what it says changes all the time."""
    from moshi.models import loaders

    torch.manual_seed(0)
    settings = {key: value for key, value in loaders._lm_kwargs.items() if key not in PACKAGE} | PACKAGE
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_TORCH_COMPILE", "1")
        model = loaders.get_moshi_lm(None, settings, dtype=torch.float32).eval()
    for name, weight in model.named_parameters():
        weight.data.mul_(30 if "emb" in name else 2 if weight.dim() == 2 else 1)
    return model


@pytest.fixture(scope="module")
def folder(language_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights under the names of transformers, beside a tiny Mimi."""
    weights = language_model.state_dict()
    depth = {"vocab_size": WORDS, "hidden_size": 16, "input_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    depth |= {"audio_vocab_size": CARD, "max_position_embeddings": BOOKS + 1, "num_codebooks": BOOKS}
    depth |= {"ffn_dim": len(weights["depformer.layers.0.gating.0.linear_in.weight"])}
    config = transformers.MoshiConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        audio_vocab_size=CARD,
        ffn_dim=len(weights["transformer.layers.0.gating.linear_in.weight"]),
        num_codebooks=BOOKS,
        sliding_window=PACKAGE["context"],
        audio_encoder_config=MIMI,
        depth_decoder_config=depth,
    )
    model = fill_codebooks(transformers.MoshiForConditionalGeneration(config), std=0.003)
    _, unexpected = model.load_state_dict(_renamed(weights), strict=False)
    assert not unexpected
    directory = tmp_path_factory.mktemp("moshi") / "model"
    model.save_pretrained(directory)
    return directory


def _renamed(weights: dict[str, Any]) -> dict[str, Any]:
    """transformers keeps the weights of all steps of the depth decoder in one array, and queries and keys apart."""
    found: dict[str, Any] = {}
    for name, value in weights.items():
        for pattern, target in NAMES:
            if match := re.fullmatch(pattern, name):
                found.setdefault(target.format(*match.groups()), []).append(value)
                break
        else:
            raise AssertionError(name)
    whole = {name: torch.stack(parts) if "depth" in name else parts[0] for name, parts in found.items()}
    for name in [name for name in whole if name.endswith("alpha") or "norm" in name]:
        whole[name] = whole[name].reshape(-1)
    for name in [name for name in whole if name.startswith("depth_decoder.") and "embed" in name]:
        whole[name] = whole[name][0]
    for name in [name for name in whole if name.endswith("in.weight")]:
        joined, heads = whole.pop(name), 2 if "depth" in name else 4
        for letter, part in zip("qkv", joined.chunk(3, dim=-2), strict=True):
            turned = letter in "qk" and "depth" not in name
            key = name.replace("in.weight", f"{letter}_proj.linear.weight")
            whole[key] = _halves(part, heads) if turned else part
    return whole


def _halves(weight: Any, heads: int) -> Any:
    """Rows of a rotated projection: the package rotates neighbors, transformers the two halves of a head."""
    rows = weight.reshape(heads, -1, 2, weight.shape[-1])
    return rows.transpose(1, 2).reshape(weight.shape)


BACKBONE, DEPTH = "decoder.model.layers.{}", "depth_decoder.layers.{}"
NAMES = [
    (r"emb\.(\d+)\.weight", "embed_tokens.{}.weight"),
    (r"text_emb\.weight", "decoder.model.embed_tokens.weight"),
    (r"text_linear\.weight", "decoder.lm_head.weight"),
    (r"out_norm\.alpha", "decoder.model.norm.weight"),
    (r"transformer\.layers\.(\d)\.self_attn\.out_projs\.0\.weight", BACKBONE + ".self_attn.o_proj.linear.weight"),
    (r"transformer\.layers\.(\d)\.self_attn\.in_projs\.0\.weight", "decoder.model.layers.{}.self_attn.in.weight"),
    (r"transformer\.layers\.(\d)\.norm1\.alpha", "decoder.model.layers.{}.input_layernorm.weight"),
    (r"transformer\.layers\.(\d)\.norm2\.alpha", "decoder.model.layers.{}.post_attention_layernorm.weight"),
    (r"transformer\.layers\.(\d)\.gating\.linear_in\.weight", "decoder.model.layers.{}.mlp.fc1.weight"),
    (r"transformer\.layers\.(\d)\.gating\.linear_out\.weight", "decoder.model.layers.{}.mlp.fc2.weight"),
    (r"depformer_in\.\d\.weight", "depth_decoder.input_projections.weight"),
    (r"depformer_emb\.(\d)\.weight", "depth_decoder.embed_tokens.{}.weight"),
    (r"depformer_text_emb\.weight", "depth_decoder.text_embed_tokens.weight"),
    (r"depformer\.layers\.(\d)\.self_attn\.out_projs\.\d\.weight", DEPTH + ".self_attn.o_proj.linear.weight"),
    (r"depformer\.layers\.(\d)\.self_attn\.in_projs\.\d\.weight", "depth_decoder.layers.{}.self_attn.in.weight"),
    (r"depformer\.layers\.(\d)\.norm1\.alpha", "depth_decoder.layers.{}.input_layernorm.weight"),
    (r"depformer\.layers\.(\d)\.norm2\.alpha", "depth_decoder.layers.{}.post_attention_layernorm.weight"),
    (r"depformer\.layers\.(\d)\.gating\.\d\.linear_in\.weight", "depth_decoder.layers.{}.mlp.fc1.weight"),
    (r"depformer\.layers\.(\d)\.gating\.\d\.linear_out\.weight", "depth_decoder.layers.{}.mlp.fc2.weight"),
    (r"linears\.\d\.weight", "depth_decoder.lm_heads.weight"),
]  # fmt: skip


def user(steps: int = STEPS, seed: int = 1) -> Any:
    """Codes [steps, codebooks] of the user."""
    return torch.randint(0, CARD, (steps, BOOKS), generator=torch.Generator().manual_seed(seed))


def package(model: Any, codes: Any) -> list[tuple[int, ...]]:
    """The word and codes of each step by `LMGen`, greedily; they come a step late."""
    from moshi.models import LMGen

    said = []
    generator = LMGen(model, use_sampling=False)
    with torch.no_grad(), generator.streaming(1):
        for step in codes:
            tokens = generator.step(step[None, :, None])
            said += [] if tokens is None else [tuple(tokens[0, :, 0].tolist())]
    return said


def stepped(folder: Path, codes: Any) -> list[tuple[int, ...]]:
    """The same by the adapter: what it hands to Mimi, with the word of the step before."""
    agent, said = build(f"{folder},temperature=0,text_temperature=0"), []

    class Voice:
        def decode(self, frame: Any) -> Any:
            said.append((word, *frame[0, :, 0].tolist()))
            return torch.zeros(agent._hop)

    agent._voice, word = Voice(), 0
    with torch.inference_mode():
        for step in codes:
            agent._step(step)
            word = int(agent._word)
    return said


def test_every_step_is_that_of_the_package(language_model: Any, folder: Path) -> None:
    """Also past the context of the package's transformer, which forgets what is older."""
    assert PACKAGE["context"] < STEPS
    expected = package(language_model, user())
    assert len(expected) == STEPS - 1 and len(set(expected)) > 20
    assert stepped(folder, user()) == expected


def test_what_is_heard_later_changes_nothing_before(language_model: Any, folder: Path) -> None:
    changed = torch.cat([user()[:12], user(seed=2)[12:]])
    one, other = stepped(folder, user()), stepped(folder, changed)
    assert one[:11] == other[:11] and one != other  # the frame of a step is complete in the next
    assert other == package(language_model, changed)
