"""The worker for Moshi with the real package `moshi` and a tiny checkpoint of random weights: frames in, frames out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from speech_eval import load_run
from speech_eval.adapters import spec as modelspec
from speech_eval.audio import Audio
from speech_eval.cli.main import app
from speech_eval.engine.generate.conversation import converse
from speech_eval.workers.catalog import HERE

torch = pytest.importorskip("torch")
moshi = pytest.importorskip("moshi")
FRAME = 1920
LM = {"dim": 32, "text_card": 64, "n_q": 8, "dep_q": 4, "card": 32, "num_heads": 2, "num_layers": 1, "context": 50}
LM |= {"hidden_scale": 4.0, "depformer_dim": 16, "depformer_dim_feedforward": 32, "depformer_num_heads": 2}
LM |= {"depformer_num_layers": 1, "depformer_context": 4, "delays": [0, 0, 1, 1, 1, 0, 1, 1, 1]}


@pytest.fixture(scope="module", autouse=True)
def uncompiled() -> Iterator[None]:
    """The package compiles its networks unless it is told not to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_TORCH_COMPILE", "1")
        patch.setenv("NO_CUDA_GRAPH", "1")
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config.json of a model of a few thousand parameters, with its files beside it."""
    from moshi.models import loaders
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("moshi")
    codec = json.loads(json.dumps(loaders._mimi_config))
    codec["seanet"] |= {"dimension": 16, "n_filters": 2}
    codec["transformer"] |= {
        "d_model": 16,
        "num_heads": 2,
        "num_layers": 1,
        "dim_feedforward": 32,
        "input_dimension": 16,
    }
    codec["transformer"]["output_dimensions"] = [16]
    codec["quantizer"] |= {"dimension": 8, "n_q": 8, "bins": 32, "input_dimension": 16, "output_dimension": 16}
    lm = {key: value for key, value in loaders._lm_kwargs.items() if key not in LM} | LM
    torch.manual_seed(0)
    mimi = loaders.get_mimi(None, codec, num_codebooks=4)
    for name, values in mimi.state_dict().items():
        if name.endswith("embedding_sum"):  # untrained codebooks are zero; these are as large as what they encode
            values.copy_(0.01 * torch.randn_like(values))
    save_file({key: value.clone() for key, value in mimi.state_dict().items()}, folder / "mimi.safetensors")
    model = loaders.get_moshi_lm(None, dict(lm), dtype=torch.float32)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    weights |= {key: 30 * value for key, value in weights.items() if key.startswith("emb.")}  # so that it hears
    save_file(weights, folder / "moshi.safetensors")
    (folder / "mimi.json").write_text(json.dumps(codec))
    names = {"moshi_name": "moshi.safetensors", "mimi_name": "mimi.safetensors", "mimi_config_name": "mimi.json"}
    names |= {"tokenizer_name": "tokenizer.model"}
    files = {key: f"file://{folder / name}" for key, name in names.items()}
    (folder / "config.json").write_text(json.dumps({**lm, **files, "lm_gen_config": {"temp": 0.8, "temp_text": 0.7}}))
    return folder / "config.json"


def spec(checkpoint: Path) -> str:
    return f"worker:{HERE / 'moshi'},python={sys.executable},path={checkpoint},device=cpu"


@pytest.fixture(scope="module")
def agent(checkpoint: Path) -> Iterator[Any]:
    adapter = modelspec.resolve(spec(checkpoint)).build()
    yield adapter
    adapter.close()


def user(frames: int = 12) -> Audio:
    return Audio(np.random.default_rng(0).normal(0, 0.2, frames * FRAME).astype(np.float32), 24_000)


def reference(checkpoint: Path, audio: Audio) -> np.ndarray[Any, Any]:
    """What the package itself says, in this process, stepped as its server steps it."""
    from moshi.models import LMGen, loaders

    found = loaders.CheckpointInfo.from_hf_repo("", config_path=checkpoint)
    mimi, said = found.get_mimi(), []
    lm = LMGen(found.get_moshi(dtype=torch.float32), **found.lm_gen_config)
    torch.manual_seed(0)
    with torch.no_grad(), mimi.streaming(1), lm.streaming(1):
        for number, frame in enumerate(audio.samples.reshape(-1, FRAME)):
            codes = mimi.encode(torch.from_numpy(frame)[None, None])
            if number == 0:
                mimi.reset_streaming()
            tokens = lm.step(codes)
            said.append(torch.zeros(FRAME) if tokens is None else mimi.decode(tokens[:, 1:])[0, 0])
    return torch.cat(said).numpy()


def test_the_worker_says_what_the_package_says(agent: Any, checkpoint: Path) -> None:
    assert (agent.sample_rate, agent.chunk_seconds) == (24_000, 0.08)
    heard = converse(agent, user())
    expected = reference(checkpoint, user())
    np.testing.assert_allclose(heard.samples[FRAME:], expected[:-FRAME], atol=1e-6)
    assert len(np.unique(expected)) > 100


def test_a_conversation_is_the_same_after_another(agent: Any) -> None:
    first = converse(agent, user())
    converse(agent, Audio(-user().samples, 24_000))
    np.testing.assert_array_equal(converse(agent, user()).samples, first.samples)


def test_nothing_that_is_said_depends_on_what_is_heard_later(agent: Any) -> None:
    changed = user().samples.copy()
    changed[6 * FRAME :] = 0.9
    one, other = converse(agent, user()).samples, converse(agent, Audio(changed, 24_000)).samples
    np.testing.assert_array_equal(one[: 7 * FRAME], other[: 7 * FRAME])
    assert not np.array_equal(one, other)


@pytest.mark.slow
def test_a_turn_taking_task_runs(checkpoint: Path, tmp_path: Path) -> None:
    words = ["run", "--model", spec(checkpoint), "--tasks", "turn-taking", "--limit", "1", "-o", str(tmp_path / "run")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (result,) = load_run(tmp_path / "run").results.tasks
    assert (result.counts.ok, result.counts.failed) == (1, 0)
