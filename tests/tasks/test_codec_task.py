"""Codecs through the task: Opus for real, the neural families on tiny random checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.metric_items import announcer, reader
from support.tiny_codecs import FAMILIES, save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.audio import Audio
from speech_eval.engine import session as runner
from speech_eval.engine.generate.answer import answers
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput
from speech_eval.metrics.base import ScoringItem
from speech_eval.metrics.codec.bitrate import Bitrate
from speech_eval.metrics.codec.mcd import MelCepstralDistortion
from speech_eval.metrics.codec.sisdr import si_sdr
from speech_eval.metrics.codec.spectral import MelDistance
from speech_eval.metrics.codec.stoi import STOI
from speech_eval.records import Output, Results, Sample
from speech_eval.testing.fakes import Oracle

pytest.importorskip("av")
OWN = ("bitrate[measured@1]", "stoi[pystoi]", "si-sdr[torchmetrics-definition]", "mcd[mel-13@1]")


def codec(spec: str) -> AudioCodec:
    adapter = modelspec.resolve(spec).build()
    assert isinstance(adapter, AudioCodec)
    return adapter


def through(adapter: AudioCodec, *audios: Audio) -> list[Audio]:
    return adapter.decode(adapter.encode([audio.resampled(adapter.sample_rate) for audio in audios]))


def lag(a: np.ndarray, b: np.ndarray, reach: int = 400) -> int:
    """By how many samples `b` comes after `a`."""
    inner = slice(reach, len(a) - reach)
    products = [float(a[inner] @ b[reach + k : len(a) - reach + k]) for k in range(-reach, reach + 1)]
    return int(np.argmax(products)) - reach


# ---------------------------------------------------------------------------------------------- Opus


@pytest.mark.parametrize("bitrate", [6000, 12_000, 24_000, 64_000])
def test_opus_keeps_length_bitrate_and_place(bitrate: int) -> None:
    adapter = codec(f"opus,bitrate={bitrate}")
    speech = announcer("agent-alreadyon").resampled(48_000)
    (codes,) = adapter.encode([speech])
    (heard,) = adapter.decode([codes])
    assert len(heard.samples) == len(speech.samples) and heard.rate == 48_000
    assert codes.bitrate == bitrate
    assert abs(lag(speech.samples, heard.samples)) <= 4  # 80 µs, SILK's own


def test_opus_lies_on_the_input_exactly_where_it_codes_the_transform() -> None:
    speech = announcer("agent-alreadyon").resampled(48_000)
    (heard,) = through(codec("opus,bitrate=128000"), speech)
    assert lag(speech.samples, heard.samples) == 0
    assert si_sdr(speech.samples, heard.samples) > 25


@pytest.mark.parametrize("cls", [STOI, MelDistance, MelCepstralDistortion])
def test_more_bits_keep_more(cls: type[Any]) -> None:
    metric, sign = cls(), 1 if cls is STOI else -1
    speech = announcer("agent-alreadyon")
    values = []
    for bitrate in (6000, 12_000, 24_000):
        (heard,) = through(codec(f"opus,bitrate={bitrate}"), speech)
        (part,) = metric.score(item(speech, heard)).parts.values()
        values.append(sign * part)
    assert values == sorted(values) and len(set(values)) == 3


def item(reference: Audio, output: Audio) -> ScoringItem:
    return ScoringItem(
        sample=Sample(id="s"),
        output=Output(id="s", task="t", status="ok", seed=0),
        load_audio=lambda rate: output if rate is None else output.resampled(rate),
        load_reference=lambda rate: reference if rate is None else reference.resampled(rate),
    )


def test_opus_answers_a_batch_as_it_answers_each() -> None:
    adapter = codec("opus,bitrate=12000")
    audios = [reader("0880"), Audio(reader("0890").samples[:100], 16_000)]
    alone = [through(adapter, audio)[0].samples for audio in audios]
    assert all(np.array_equal(a, b.samples) for a, b in zip(alone, through(adapter, *audios), strict=True))


@pytest.mark.parametrize("options", ["bitrate=500", "bitrate=12.5", "application=music"])
def test_opus_names_a_bad_option(options: str) -> None:
    with pytest.raises(BadInput, match=options.split("=")[0]):
        codec(f"opus,{options}")


# ------------------------------------------------------------------------------------ neural families


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, save_tiny_codec(request.param, tmp_path_factory.mktemp(request.param))


def sounds(rate: int) -> list[Audio]:
    rng = np.random.default_rng(0)
    return [Audio((0.1 * rng.standard_normal(n)).astype(np.float32), rate) for n in (rate, rate // 3 + 7)]


def test_a_checkpoint_states_its_codebooks(checkpoint: tuple[str, Path]) -> None:
    family, path = checkpoint
    _, _, books, frame_rate = FAMILIES[family]
    adapter = codec(str(path))
    codes = adapter.encode(sounds(adapter.sample_rate)[:1])[0]
    assert len(codes.codebooks) == books
    assert set(codes.codebook_sizes) == {32} and set(codes.frame_rates) == {frame_rate}
    assert {len(book) for book in codes.codebooks} == {int(np.ceil(frame_rate))}
    assert codes.bitrate == books * frame_rate * 5
    assert len(np.unique(codes.codebooks[0])) > 1
    assert adapter.info().weights_sha256


def test_the_door_changes_nothing_of_the_models_own_answer(checkpoint: tuple[str, Path]) -> None:
    import torch
    import transformers

    family, path = checkpoint
    model = getattr(transformers, FAMILIES[family][0]).from_pretrained(path).eval()
    adapter = codec(str(path))
    hop = int(adapter.sample_rate / FAMILIES[family][3])
    audio = Audio(np.tile(sounds(adapter.sample_rate)[0].samples, 2)[: 20 * hop], adapter.sample_rate)
    options = {"bandwidth": 1.5} if family == "encodec" else {}
    with torch.inference_mode():
        own = model(torch.from_numpy(audio.samples)[None, None], **options).audio_values.reshape(-1).numpy()
    (ours,) = through(adapter, audio)
    assert np.allclose(ours.samples, own[: len(ours.samples)], atol=1e-5)


def test_a_batch_is_answered_as_each_alone_and_in_its_length(checkpoint: tuple[str, Path]) -> None:
    _, path = checkpoint
    adapter = codec(str(path))
    audios = sounds(adapter.sample_rate)
    together = through(adapter, *audios)
    for audio, heard in zip(audios, together, strict=True):
        assert 0 <= len(audio.samples) - len(heard.samples) <= 16
        assert np.array_equal(heard.samples, through(adapter, audio)[0].samples)


def test_fewer_codebooks_are_the_first_ones(checkpoint: tuple[str, Path]) -> None:
    family, path = checkpoint
    whole, two = codec(str(path)), codec(f"{path},n_codebooks=2")
    audio = sounds(whole.sample_rate)[0]
    (all_codes,), (first,) = whole.encode([audio]), two.encode([audio])
    assert len(first.codebooks) == 2
    assert all(np.array_equal(a, b) for a, b in zip(first.codebooks, all_codes.codebooks, strict=False))
    assert first.bitrate == all_codes.bitrate * 2 / FAMILIES[family][2]
    assert len(two.decode([first])[0].samples) == len(whole.decode([all_codes])[0].samples)


def test_more_codebooks_than_there_are_is_bad_input(checkpoint: tuple[str, Path]) -> None:
    with pytest.raises(BadInput, match="codebooks"):
        codec(f"{checkpoint[1]},n_codebooks=99")


# ------------------------------------------------------------------------------------------- the task


def run(model: str, output: Path, metrics: tuple[str, ...] = OWN, limit: int = 3) -> Results:
    settings = Settings(limit=limit, workers=1, metrics=metrics)
    return runner.run(modelspec.parse(model), ["codec-reconstruction"], output, settings)


def numbers(results: Results, kind: str = "strict") -> dict[str, float | None]:
    return {metric.name: getattr(metric, kind).value for metric in results.tasks[0].metrics}


def test_the_oracle_is_perfect_at_the_rate_of_pcm(tmp_path: Path) -> None:
    found = numbers(run("oracle", tmp_path))
    assert found["stoi"] == 1 and found["si-sdr"] == 100 and found["mcd"] == 0
    assert found["bitrate"] == 256 and found["token-rate"] == 16_000


def test_opus_runs_through_the_task(tmp_path: Path) -> None:
    found = numbers(run("opus,bitrate=24000", tmp_path))
    assert found["stoi"] is not None and found["stoi"] > 0.95
    assert found["bitrate"] == pytest.approx(24, rel=0.03)
    (output, *_) = RunDirectory(tmp_path).outputs("codec-reconstruction").values()
    assert output.audio is not None and output.audio.rate == 48_000
    assert len(output.line()) < 4000


def test_a_lost_output_is_the_bottom_of_every_scale_in_strict(tmp_path: Path) -> None:
    results = run("failing,fail_rate=0.5", tmp_path, limit=8)
    counts, strict, compat = results.tasks[0].counts, numbers(results), numbers(results, "compat")
    assert counts.failed > 0 and counts.ok > 0
    assert compat["stoi"] == 1 and strict["stoi"] == pytest.approx(counts.ok / 8)
    assert strict["bitrate"] == compat["bitrate"] == 256


def test_codes_outside_their_codebook_are_a_failure() -> None:
    class Liar(Oracle):
        def encode(self, audios: Any) -> list[Codes]:
            return [Codes([np.array([0, 70_000])], [1.0], [65_536]) for _ in audios]

    sample = Sample(id="s", audio="a")
    with pytest.raises(ValueError, match="outside their codebook"):
        answers("AudioCodec", Liar(), [sample], [0], lambda path: reader("0880"))


def test_the_stored_histogram_is_enough_for_the_bitrate() -> None:
    sample = Sample(id="s", audio="a")
    (answer,) = answers("AudioCodec", codec("opus,bitrate=12000"), [sample], [0], lambda path: reader("0880"))
    output = Output(id="s", task="t", status="ok", seed=0, codes=answer.codes)
    parts = Bitrate().score(ScoringItem(sample, output)).parts
    assert parts["bits"] / parts["seconds"] == pytest.approx(12_000, rel=0.02)
    assert 0.8 * parts["bits"] < parts["entropy_bits"] < parts["bits"] < 1.1 * parts["adaptive_bits"]
