"""How often a training step asks for a number of its tensors: on a GPU, each time it waits until the device is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("pyarrow")
from support.codec_training_fixture import TRAINING, speech  # noqa: E402
from support.tts_fixture import CORE, DEPTH, shards_of, voice  # noqa: E402

from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.train import CodecTrainer  # noqa: E402
from speech_eval.reference_models.codec.training_config import TrainingConfig  # noqa: E402
from speech_eval.reference_models.recipes.schema import load, names  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402
from speech_eval.reference_models.tts.train import TTSTrainer  # noqa: E402
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig  # noqa: E402

torch.set_num_threads(1)
# The losses, the gradient's norm, and those of the discriminators.
READ_BY_A_CODEC = 4
# Nats and norm at once; the labels of the batch, which are on the CPU, counted and added up; and one question of
# transformers per Llama, whether the positions are those of one document.
READ_BY_A_SPEECH_LM = {"flat": 4, "interleaved": 4, "csm": 6, "delay": 5}


def asked(step: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many times `step` turns tensors into Python numbers."""
    lists = []
    tolist = torch.Tensor.tolist

    def counted(tensor: Any) -> Any:
        lists.append(tensor.numel())
        return tolist(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    reads = [event for event in profile.events() if event.name == "aten::_local_scalar_dense"]
    return len(lists) + sum("aten::_fused_adamw_" not in _around(event) for event in reads)  # a device's reads nothing


def _around(event: Any) -> list[str]:
    """The operations that an operation is part of."""
    parent = event.cpu_parent
    return [] if parent is None else [parent.name, *_around(parent)]


@pytest.mark.parametrize(
    ("name", "balancer"),
    [(name, name == "codec/encodec-24k") for name in names() if name.startswith("codec/")],
)
def test_a_codec_reads_its_losses_at_once(
    name: str, balancer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CodecConfig.model_validate(load(name, "smoke").model | {"semantic": None})
    adversary = TRAINING.adversary.model_dump() | {"start": 0}  # type: ignore[union-attr]
    training = TRAINING.model_dump() | {"adversary": adversary, "balancer": balancer, "segment_seconds": 0.24}
    made = CodecTrainer(
        model, TrainingConfig.model_validate(training), speech(), tmp_path, name=name, overfit=False, say=print
    )
    batch = made.batches[0]
    made.step(0, batch)  # the first step starts codebooks
    assert asked(lambda: made.step(1, batch), monkeypatch) <= READ_BY_A_CODEC + balancer


@pytest.mark.parametrize("layout", READ_BY_A_SPEECH_LM)
def test_a_speech_lm_reads_its_losses_and_the_norm_at_once(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, summary = shards_of(layout)
    shutil.copytree(folder, tmp_path / "shards")
    depth = DEPTH if layout == "csm" else None
    given = {"layout": layout, "codec": summary["codec"], "core": CORE | {"positions": 1024}, "depth": depth}
    training = TTSTrainingConfig(steps=4, batch_size=1, sequence=768)
    config = TTSConfig.model_validate(given)
    made = TTSTrainer(config, training, voice(), tmp_path, name="tts", overfit=False, say=print)
    (batches,) = made.batches_of(0, 1)
    assert asked(lambda: made.step(0, batches), monkeypatch) <= READ_BY_A_SPEECH_LM[layout]
