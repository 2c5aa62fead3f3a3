"""The codec that the project trained, on recordings that it was not trained on."""

from __future__ import annotations

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner
from speech_eval.engine.session import Settings
from speech_eval.records import Results
from speech_eval.reference_models import CHECKPOINTS

pytest.importorskip("av")
METRICS = ("bitrate[measured@1]", "stoi[pystoi]", "mel-distance[multi-resolution]")


def numbers(results: Results, task: str) -> dict[str, float]:
    found = next(t for t in results.tasks if t.task == task)
    assert found.counts.ok == found.counts.expected
    return {number.name: number.strict.value or 0.0 for number in found.metrics}


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    pytest.importorskip("pystoi")

    def run(spec: str, task: str) -> Results:
        settings = Settings(data="asterisk-en@held-out", limit=8, metrics=METRICS, workers=1)
        return runner.run(modelspec.parse(spec), [task], tmp_path_factory.mktemp("run") / "r", settings)

    return run


@pytest.mark.slow
def test_at_a_third_of_the_bits_it_is_as_intelligible_as_opus(evaluate) -> None:  # type: ignore[no-untyped-def]
    ours = numbers(evaluate("dac-16k-2k", "codec-reconstruction"), "codec-reconstruction")
    opus = numbers(evaluate("opus,bitrate=6000", "codec-reconstruction"), "codec-reconstruction")
    assert ours["bitrate"] < 2.1 < 5.9 < opus["bitrate"]
    assert ours["stoi"] > opus["stoi"] and ours["stoi"] > 0.84


@pytest.mark.slow
def test_more_codebooks_are_nearer_to_the_recording(evaluate) -> None:  # type: ignore[no-untyped-def]
    results = evaluate("dac-16k-2k", "codec-depth")
    distances = [numbers(results, f"codec-depth@depth={depth}")["mel-distance"] for depth in (1, 2, 4)]
    assert distances[0] > distances[1] > distances[2]


def test_its_weights_and_their_card_come_with_the_package() -> None:
    folder = CHECKPOINTS / "dac-16k-2k"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20e6
    info = modelspec.resolve("dac-16k-2k").build().info()
    assert info.license == "cc-by-sa-3.0" and info.weights_sha256
    assert "hours of training speech" in (folder / "README.md").read_text("utf-8")
