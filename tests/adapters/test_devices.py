"""Where a model is put when nobody says."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from speech_eval.adapters.checkpoints import choose_device  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402


@pytest.mark.parametrize(
    ("rank", "gpus", "device"),
    [(None, 0, "cpu"), ("1", 0, "cpu"), (None, 8, "cuda"), ("0", 8, "cuda:0"), ("5", 8, "cuda:5"), ("3", 2, "cuda:1")],
)
def test_every_process_of_torchrun_takes_its_own_gpu(
    rank: str | None, gpus: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert choose_device("auto") == device
    assert choose_device("cpu") == "cpu"
    if gpus > 1:
        assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(BadInput, match=f"PyTorch sees {gpus} CUDA devices"):
        choose_device(f"cuda:{gpus}")
