"""Quantizer depth swept in one encode: each depth is a result of its own, equal to a codec that has no more levels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.tiny_codecs import FAMILIES, save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.catalog import MODELS, register_adapter
from speech_eval.audio import Audio
from speech_eval.engine import session as runner
from speech_eval.engine.generate.depth_sweep import DepthSweep, chosen
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.engine.task import TASKS
from speech_eval.engine.verify import verify
from speech_eval.errors import BadInput
from speech_eval.records import MetricResult, Results
from speech_eval.testing.fakes import Oracle

pytest.importorskip("av")
METRICS = ("bitrate[measured@1]", "mel-distance[multi-resolution]", "si-sdr[torchmetrics-definition]")
SETTINGS = Settings(limit=2, workers=1, metrics=METRICS)


@pytest.fixture(scope="module")
def mimi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_codec("mimi", tmp_path_factory.mktemp("mimi"))


@pytest.fixture(scope="module")
def swept(mimi: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    folder = tmp_path_factory.mktemp("run")
    return folder, runner.run(modelspec.parse(str(mimi)), ["codec-depth"], folder, SETTINGS)


def bitrate(metrics: Sequence[MetricResult]) -> float | None:
    return next(metric.strict.value for metric in metrics if metric.name == "bitrate")


def test_powers_of_two_and_all_levels_are_the_points() -> None:
    assert chosen(range(1, 9)) == [1, 2, 4, 8]
    assert chosen(range(1, 13)) == [1, 2, 4, 8, 12]
    assert chosen([3]) == [3]
    assert chosen([]) == []


def test_each_depth_is_a_result_with_its_identity_in_ascending_order(swept: tuple[Path, Results]) -> None:
    _, results = swept
    assert [task.task for task in results.tasks] == [f"codec-depth@depth={depth}" for depth in (1, 2, 4, 8)]
    points = [task.sweep for task in results.tasks]
    assert all(point is not None and (point.task, point.axis) == ("codec-depth", "depth") for point in points)
    assert [point.value for point in points if point is not None] == [1, 2, 4, 8]
    assert {(task.counts.expected, task.counts.ok) for task in results.tasks} == {(2, 2)}


def test_the_bitrate_is_of_the_codes_that_were_kept(swept: tuple[Path, Results]) -> None:
    rates = [bitrate(task.metrics) for task in swept[1].tasks]
    assert rates[0] is not None and rates == pytest.approx([rates[0] * depth for depth in (1, 2, 4, 8)], rel=1e-4)


def test_every_depth_keeps_its_sound_and_they_differ(swept: tuple[Path, Results]) -> None:
    folder, results = swept
    run = RunDirectory(folder)
    stored = [output.audio for task in results.tasks for output in run.outputs(task.task).values()]
    assert len(stored) == 8 and len({audio.sha256 for audio in stored if audio is not None}) == 8
    assert all(audio is not None and run.audio_path(audio).is_file() for audio in stored)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_depth_sounds_as_the_codec_with_so_many_codebooks_does(family: str, tmp_path: Path) -> None:
    path = save_tiny_codec(family, tmp_path / "model")
    settings = Settings(limit=1, workers=1, metrics=("bitrate[measured@1]",))
    runner.run(modelspec.parse(str(path)), ["codec-depth", "codec-reconstruction"], tmp_path / "sweep", settings)
    runner.run(modelspec.parse(f"{path},n_codebooks=2"), ["codec-reconstruction"], tmp_path / "two", settings)
    sweep, two = RunDirectory(tmp_path / "sweep"), RunDirectory(tmp_path / "two")
    whole = f"codec-depth@depth={FAMILIES[family][2]}"
    assert sounds(sweep, "codec-depth@depth=2") == sounds(two, "codec-reconstruction")
    assert sounds(sweep, whole) == sounds(sweep, "codec-reconstruction")


def sounds(run: RunDirectory, task: str) -> list[str | None]:
    return [output.audio and output.audio.sha256 for output in run.outputs(task).values()]


def test_recordings_are_encoded_once(mimi: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from speech_eval.adapters.codec.transformers_codecs import Mimi

    calls: list[int] = []
    encode = Mimi.encode

    def counting(self: Mimi, audios: Sequence[Audio]) -> list[Codes]:
        calls.append(len(audios))
        return encode(self, audios)

    monkeypatch.setattr(Mimi, "encode", counting)
    runner.run(modelspec.parse(str(mimi)), ["codec-depth"], tmp_path, SETTINGS)
    assert calls == [1, 1]


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_and_ends_the_same(swept: tuple[Path, Results], mimi: Path, tmp_path: Path) -> None:
    folder, _ = swept
    runner.run(modelspec.parse(str(mimi)), ["codec-depth"], tmp_path, SETTINGS)
    for task, kept in (("codec-depth@depth=4", 0), ("codec-depth@depth=2", 1)):
        for kind in ("outputs", "scores"):
            file = RunDirectory(tmp_path).file(kind, task)
            file.write_text("".join(file.read_text().splitlines(keepends=True)[:kept]))
    (tmp_path / "results.json").unlink()
    runner.run(modelspec.parse(str(mimi)), ["codec-depth"], tmp_path, SETTINGS)
    assert (tmp_path / "results.json").read_bytes() == (folder / "results.json").read_bytes()


def test_a_sweep_is_verified_and_scored_again_without_the_model(swept: tuple[Path, Results]) -> None:
    assert verify(swept[0], Settings(workers=1)).differences == []


def test_a_sweep_refuses_another_limit_in_the_same_directory(swept: tuple[Path, Results], mimi: Path) -> None:
    with pytest.raises(BadInput, match="limit"):
        runner.run(modelspec.parse(str(mimi)), ["codec-depth"], swept[0], Settings(limit=3, metrics=METRICS))


def test_a_codec_whose_codes_are_all_or_nothing_has_no_sweep() -> None:
    with pytest.raises(BadInput, match="decodes only all"):
        DepthSweep().points(TASKS.get("codec-depth")(), modelspec.resolve("opus").build())


class Brittle(Oracle):
    """PCM as two codebooks of one byte; decoding both fails, and the announcement of the bitrate is honest."""

    depths = (1, 2)

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [Codes([code.codebooks[0] // 256] * 2, [16_000] * 2, [256] * 2) for code in super().encode(audios)]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        if len(codes[0].codebooks) == 2:
            raise RuntimeError("the second level is broken")
        wide = [Codes([code.codebooks[0] * 256], [16_000], [65_536], code.metadata) for code in codes]
        return super().decode(wide)


def test_a_depth_that_cannot_be_decoded_fails_alone(tmp_path: Path) -> None:
    register_adapter("brittle")(Brittle)
    try:
        results = runner.run(modelspec.parse("brittle"), ["codec-depth"], tmp_path, SETTINGS)
    finally:
        MODELS._loaded.pop("brittle")
    assert [(task.counts.ok, task.counts.failed) for task in results.tasks] == [(2, 0), (0, 2)]
    lines: list[Any] = [
        json.loads(x) for x in (tmp_path / "outputs/codec-depth_depth_2.jsonl").read_text().splitlines()
    ]
    assert {line["error"] for line in lines} == {"RuntimeError: the second level is broken"}
    assert isinstance(Brittle(), AudioCodec)
