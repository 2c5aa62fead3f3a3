"""Every trainer in two processes on a CPU: it ends, and learns what one process with a batch twice as large learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("pyarrow")
from support import distributed_jobs  # noqa: E402
from support.codec_training_fixture import CODEC, TRAINING, speech  # noqa: E402
from support.distributed_jobs import rows, torchrun, tts_job  # noqa: E402
from support.tiny_speech import save_start, spoken_tones  # noqa: E402

from speech_eval.reference_models.training.checkpoint import load_tensors  # noqa: E402

pytestmark = pytest.mark.slow
torch.set_num_threads(1)
Jobs = dict[str, distributed_jobs.Job]

# Dropout is drawn by every process for itself, so it is off where two processes must equal one.
EMA = {"lookup": "ema", "codebook_size": 8, "codebook_dim": 4, "dropout": 0.0, "restart_below": 0.5}
COSINE = {"lookup": "cosine", "codebook_size": 8, "codebook_dim": 4, "dropout": 0.0, "restart_below": 0.5}
CODECS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rvq-ema": ({"type": "rvq", "codebooks": 2, **EMA}, {}),
    "rvq-cosine-balanced": ({"type": "rvq", "codebooks": 2, **COSINE}, {"balancer": True}),
    "split-every-second": ({"type": "split", "codebooks": 3, **EMA}, {"adversary": {"every": 2}}),
    "fsq": ({"type": "fsq", "levels": [5, 5]}, {"losses": {"commitment": 0, "codebook": 0}}),
}
SPEECH_LMS = {"flat": {"text_replay": 0.3}, "interleaved": {"accumulate": 2}, "csm": {}}
ALIGNED = ("grpo", "dpo")


def codec_job(quantizer: dict[str, Any], changes: dict[str, Any], batch: int, output: Path) -> distributed_jobs.Job:
    training = TRAINING.model_dump(mode="json") | {"steps": 4, "batch_size": batch, "log_every": 1}
    for part, change in changes.items():
        training[part] = training[part] | change if isinstance(change, dict) else change
    config = CODEC.model_dump(mode="json") | {"quantizer": quantizer}
    return {"kind": "codec", "config": config, "training": training, "data": str(speech()), "output": str(output)}


def align_job(method: str, texts: int, start: Path, data: Path, output: Path) -> distributed_jobs.Job:
    training = {
        "method": method,
        "start": str(start),
        "steps": 3,
        "texts_per_step": texts,
        "group": 3,
        "learning_rate": 1e-3,
        "max_seconds": 1.0,
        "rewards": {"duration": 1.0},
        "verifier": {"recognizer": None},
        "guards": {"recognizer": None},
        "validate_every": 2,
        "updates": 2,
    }
    return {"kind": "align", "training": training, "data": str(data), "output": str(output)}


def jobs(folder: Path, world: int, whole: Path) -> Jobs:
    """The jobs of one of `world` processes; `whole` has what all share."""
    each = 4 // world
    found = {name: codec_job(*codec, each, folder / name) for name, codec in CODECS.items()}
    found |= {name: tts_job(name, changes, each, folder / name) for name, changes in SPEECH_LMS.items()}
    found |= {m: align_job(m, each, whole / "start", whole / "data", folder / m) for m in ALIGNED}
    if world > 1:  # not comparable, since every process draws for itself; none may wait for ever
        for lookup in (EMA, COSINE):
            name = f"all-dropped-{lookup['lookup']}"
            dropped = {"type": "rvq", "codebooks": 4, **lookup, "dropout": 1.0, "bypass": 0.5}
            found[name] = codec_job(dropped, {"precision": "bf16"}, 1, folder / name)
        found["csm-drawn"] = tts_job("csm", {}, each, folder / "csm-drawn", share=0.1)
        output = str(folder / "failure")
        found["failure"] = {"kind": "failure", "training": {}, "data": output, "output": output}
    return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The folders of the same trainings in one process and in two."""
    whole = tmp_path_factory.mktemp("processes")
    save_start(whole / "start")
    spoken_tones(whole / "data")
    for job in jobs(whole / "one", 1, whole).values():
        distributed_jobs.run(job)
    torchrun(list(jobs(whole / "two", 2, whole).values()), whole / "jobs.json")
    return {1: whole / "one", 2: whole / "two"}


def flat(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for name in sorted(value) for number in flat(value[name])]
    return [number for item in value for number in flat(item)] if isinstance(value, list) else [float(value)]


@pytest.mark.parametrize("name", [*CODECS, *SPEECH_LMS, *ALIGNED])
def test_two_processes_learn_as_one_with_a_batch_twice_as_large(name: str, ran: dict[int, Path]) -> None:
    one, two = (rows(ran[processes] / name) for processes in (1, 2))
    assert [row.keys() for row in one] == [row.keys() for row in two] and len(one) > 2
    assert flat(two[:3]) == pytest.approx(flat(one[:3]), rel=2e-3, abs=2e-4)
    weights = [load_tensors(ran[processes] / name / "model.safetensors") for processes in (1, 2)]
    whole, shared = (torch.cat([found[key].double().flatten() for key in sorted(found)]) for found in weights)
    assert float((whole - shared).norm() / whole.norm()) < 5e-3  # rounding may give a frame another code


@pytest.mark.parametrize("name", ["all-dropped-ema", "all-dropped-cosine", "csm-drawn"])
def test_no_process_waits_for_an_exchange_that_another_leaves_out(name: str, ran: dict[int, Path]) -> None:
    assert [row["step"] for row in rows(ran[2] / name)] == [1, 2, 3, 4]


def test_an_error_of_the_first_process_alone_ends_the_others_silently(ran: dict[int, Path]) -> None:
    heard = {file.stem: file.read_text() for file in (ran[2] / "failure").iterdir()}
    assert heard == {"0": "BadInput", "1": "SystemExit"}
