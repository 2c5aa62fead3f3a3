"""Weights shared out over two processes on a CPU: they learn, save, resume and speak as whole copies do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("peft")
pytest.importorskip("pyarrow")
from safetensors import safe_open  # noqa: E402
from support.distributed_jobs import Job, rows, torchrun, tts_job  # noqa: E402
from support.tts_fixture import tiny_codec  # noqa: E402

from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest  # noqa: E402
from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.reference_models.training.checkpoint import load_tensors  # noqa: E402

pytestmark = pytest.mark.slow

TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("flat", {"text_replay": 0.3, "accumulate": 2}),
    "csm": ("csm", {}),
    "delay": ("delay", {"recompute": True}),
    "bf16": ("flat", {"precision": "bf16"}),
    "lora": ("flat", {"lora": {"rank": 2, "embeddings": True}}),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of trainings by two processes, with whole copies of the weights and with parts of them."""
    whole = tmp_path_factory.mktemp("sharding")
    jobs: list[Job] = []
    for name, (layout, changes) in TRAININGS.items():
        for shared in (False, True):
            jobs.append(tts_job(layout, changes | {"shard": shared}, 2, whole / f"{name}-{shared}"))
    begun = tts_job("flat", {"shard": True}, 2, whole / "resumed")
    jobs += [begun | {"stop_at": 2}, begun | {"resume": True}]
    crossing = tts_job("flat", {"shard": True}, 2, whole / "crossed")
    jobs += [
        crossing | {"stop_at": 2},
        crossing | {"training": crossing["training"] | {"shard": False}, "resume": True},
    ]
    jobs.append(tts_job("flat", {"shard": True}, 2, whole / "straight"))
    torchrun(jobs, whole / "jobs.json")
    return whole


def distance(folder: Path, other: Path, file: str = "model.safetensors") -> float:
    """How far two sets of weights are apart, relative to their size."""
    a, b = (load_tensors(where / file) for where in (folder, other))
    assert a.keys() == b.keys()
    first, second = (torch.cat([found[key].double().flatten() for key in sorted(a)]) for found in (a, b))
    return float((first - second).norm() / first.norm())


@pytest.mark.parametrize("name", TRAININGS)
def test_shared_out_weights_learn_what_whole_copies_learn(name: str, ran: Path) -> None:
    copies, parts = ran / f"{name}-False", ran / f"{name}-True"
    for one, two in zip(rows(copies), rows(parts), strict=True):
        assert one.pop("step") == two.pop("step")
        assert two == pytest.approx(one, rel=1e-3 if name == "bf16" else 1e-5)
    assert distance(copies, parts) < 1e-4
    held = [json.loads((parts / f"held-{rank}.json").read_text()) for rank in (0, 1)]
    assert sum(held) == json.loads((copies / "held-0.json").read_text()) and min(held) > 0.4 * sum(held)
    if name == "lora":
        assert distance(copies / "adapter", parts / "adapter", "adapter_model.safetensors") < 1e-4
    validated = [json.loads((where / "reference.json").read_text())["card"]["validation"] for where in (copies, parts)]
    assert validated[1] == pytest.approx(validated[0], rel=1e-3)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(ran: Path) -> None:
    assert rows(ran / "resumed") == rows(ran / "straight")
    assert distance(ran / "resumed", ran / "straight") == 0.0


def test_a_state_that_was_shared_out_goes_on_with_whole_copies(ran: Path) -> None:
    assert distance(ran / "crossed", ran / "straight") < 1e-5


def test_the_state_holds_whole_tensors(ran: Path) -> None:
    sizes = []
    for name in ("flat-False", "flat-True"):
        with safe_open(ran / name / "training.safetensors", framework="pt") as file:
            sizes.append({key: file.get_slice(key).get_shape() for key in file.keys()})  # noqa: SIM118
    assert sizes[0] == sizes[1] and any("exp_avg" in key for key in sizes[1])


def test_the_checkpoint_speaks(ran: Path) -> None:
    model = resolve(f"{ran / 'straight'},codec={tiny_codec('flat')},max_seconds=1").build()
    assert isinstance(model, SpeechSynthesizer)
    (said,) = model.synthesize([SynthesisRequest("a", "One two.")])
    assert len(said.samples) > 0
