"""Whatever a model or a file gives: a clear message that names the sample, a counted failure, and nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_eval.adapters import spec as modelspec
from speech_eval.audio import Audio, check_waveform, load
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.errors import BadAudio, BadInput, SpeechEvalError
from speech_eval.records import Output

ADAPTERS = """
import numpy as np
from speech_eval import Audio, ModelInfo, SpeechRecognizer, SpeechSynthesizer

GOOD = np.sin(np.arange(8000) / 5).astype(np.float32) * 0.3
BAD = {
    "nan": lambda: Audio(np.full(100, np.nan, np.float32), 16000),
    "infinite": lambda: Audio(np.array([0.1, np.inf], np.float32), 16000),
    "stereo": lambda: Audio(np.zeros((2, 100), np.float32), 16000),
    "integers": lambda: Audio(np.ones(100, np.int16), 16000),
    "rate": lambda: Audio(GOOD, 0),
    "array": lambda: GOOD,
    "raises": lambda: (_ for _ in ()).throw(RuntimeError("out of ideas")),
    "nothing": lambda: Audio(np.zeros(0, np.float32), 16000),
    "silence": lambda: Audio(np.zeros(8000, np.float32), 16000),
}

class Base:
    def info(self):
        return ModelInfo(name="bad")

class Voice(Base, SpeechSynthesizer):
    batch_size = 4
    def __init__(self, kind): self.kind = kind
    def synthesize(self, requests):
        return [BAD[self.kind]() if r.id.endswith("1") else Audio(GOOD, 16000) for r in requests]

class Ear(Base, SpeechRecognizer):
    reads_audio = False
    def __init__(self, kind): self.kind = kind
    def transcribe(self, requests):
        if self.kind == "short": return []
        bad = {"number": 7, "none": None, "blank": "  "}[self.kind]
        return [bad if r.id.endswith("1") else "good words" for r in requests]

class Listener(Base, SpeechRecognizer):
    def transcribe(self, requests):
        return ["good words" if np.isfinite(r.audio.samples).all() else "" for r in requests]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bad.py").write_text(ADAPTERS)
    lines = [json.dumps({"id": f"s{i}", "text": "good words"}) for i in range(4)]
    (tmp_path / "set.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def outputs(folder: Path, model: str, tasks: str, data: str = "set.jsonl", **more: object) -> dict[str, Output]:
    settings = Settings(data=str(folder / data), **more)  # type: ignore[arg-type]
    runner.run(modelspec.parse(f"{folder}/bad.py:{model}"), [tasks], folder / "run", settings)
    return RunDirectory(folder / "run").outputs(tasks)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", "NaN or infinity"),
        ("infinite", "NaN or infinity"),
        ("stereo", "is not one channel"),
        ("integers", "int16, not floats"),
        ("rate", "0 Hz is not plausible"),
        ("array", "gave ndarray, not Audio"),
        ("raises", "RuntimeError: out of ideas"),
    ],
)
def test_bad_speech_is_a_failure_of_its_sample_alone(folder: Path, kind: str, message: str) -> None:
    done = outputs(folder, f"Voice,kind={kind}", "seed-tts", metrics=("length[s]",), plugins=(_length_plugin(folder),))
    assert [o.status for o in sorted(done.values(), key=lambda o: o.id)] == ["ok", "failed", "ok", "ok"]
    assert message in (done["s1"].error or "")


def test_no_samples_at_all_is_an_empty_answer(folder: Path) -> None:
    done = outputs(folder, "Voice,kind=nothing", "seed-tts", metrics=("length[s]",), plugins=(_length_plugin(folder),))
    assert done["s1"].status == "empty" and done["s1"].audio is None


def test_silence_has_no_first_audible_sample(folder: Path) -> None:
    outputs(folder, "Voice,kind=silence", "latency")
    score = RunDirectory(folder / "run").scores("latency")["s1", "ttfa[first-audible@2]"]
    assert score.status == "failed" and "audible" in score.detail["reason"]
    ttfa = next(m for m in RunDirectory(folder / "run").results().tasks[0].metrics if m.name == "ttfa-p95")
    assert ttfa.strict.value is None and ttfa.compat.value is not None


@pytest.mark.parametrize(("kind", "status"), [("number", "failed"), ("none", "failed"), ("blank", "empty")])
def test_bad_transcripts(folder: Path, kind: str, status: str) -> None:
    assert outputs(folder, f"Ear,kind={kind}", "asr")["s1"].status == status


def test_an_empty_transcript_deletes_every_word_in_both_accounts(folder: Path) -> None:
    outputs(folder, "Ear,kind=blank", "asr")
    wer = RunDirectory(folder / "run").results().tasks[0].metrics[0]
    assert wer.strict.value == wer.compat.value == 25.0


def test_too_few_answers_are_nobodys_transcripts(folder: Path) -> None:
    done = outputs(folder, "Ear,kind=short", "asr")
    assert all(o.status == "failed" and "0 answers to 1 requests" in (o.error or "") for o in done.values())


def _length_plugin(folder: Path) -> str:
    from speech_eval import registry

    path = folder / "length.py"
    path.write_text(
        "from speech_eval import Metric, Summary, Value\nfrom speech_eval.metrics.catalog import METRICS\n"
        "class Length(Metric):\n"
        "    id = 'length[s]'\n    description = source = 'seconds'\n    needs = frozenset({'audio'})\n"
        "    summaries = (Summary('s', 'mean', ('s',), 's', 'lower'),)\n"
        "    def score(self, item): return Value({'s': item.audio().seconds})\n"
        "    def failure(self, sample): return {'s': 99.0}\n"
        "if 'length[s]' not in METRICS: METRICS.add('length[s]', Length)\n"
    )
    registry.load_file(path)
    return str(path)


# ------------------------------------------------------------------------------------- recordings


def _recordings(folder: Path) -> None:
    """Five samples: good, stereo, NaN, silent, truncated, at five sample rates."""
    tone = (0.3 * np.sin(np.arange(8000) / 5)).astype(np.float32)
    soundfile.write(folder / "s0.wav", tone, 8000)
    soundfile.write(folder / "s1.wav", np.stack([tone, tone], 1), 44100)  # taken: the mean of the channels
    soundfile.write(folder / "s2.wav", np.full(800, np.nan, np.float32), 16000, subtype="FLOAT")
    soundfile.write(folder / "s3.wav", np.zeros(8000, np.float32), 48000)
    soundfile.write(folder / "s4.flac", tone, 16000)
    (folder / "s4.flac").write_bytes((folder / "s4.flac").read_bytes()[:60])
    names = ["s0.wav", "s1.wav", "s2.wav", "s3.wav", "s4.flac"]
    lines = [json.dumps({"id": name[:2], "text": "good words", "audio": name}) for name in names]
    (folder / "audio.jsonl").write_text("\n".join(lines) + "\n")


def test_bad_recordings_are_not_counted_and_the_others_go_on(folder: Path) -> None:
    _recordings(folder)
    done = outputs(folder, "Listener", "asr", data="audio.jsonl")
    assert {key: o.status for key, o in done.items()} == {
        "s0": "ok", "s1": "ok", "s2": "invalid", "s3": "invalid", "s4": "invalid"
    }  # fmt: skip
    assert "NaN or infinity" in (done["s2"].error or "")
    assert "s4.flac" in (done["s4"].error or "") and "silent" in (done["s3"].error or "")


def test_a_missing_recording_stops_the_run_before_it_starts(folder: Path) -> None:
    _recordings(folder)
    (folder / "s0.wav").unlink()
    with pytest.raises(SpeechEvalError, match=r"s0\.wav"):
        outputs(folder, "Listener", "asr", data="audio.jsonl")


def test_any_rate_reaches_the_model_at_its_own(tmp_path: Path) -> None:
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", tone, 44100)
    audio = load(tmp_path / "a.wav", 16000)
    spectrum = np.abs(np.fft.rfft(audio.samples[:16000]))
    assert audio.rate == 16000 and abs(len(audio.samples) - 16000) <= 1 and int(spectrum.argmax()) == 440


@pytest.mark.parametrize("name", ["none.wav", "text.wav"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.wav").write_text("this is no audio")
    with pytest.raises(BadAudio, match=name):
        load(tmp_path / name)


def test_one_row_or_column_is_mono() -> None:
    assert len(check_waveform(np.zeros((1, 5), np.float32), 16000, "x").samples) == 5
    assert isinstance(check_waveform(np.zeros((5, 1), np.float64), 16000, "x"), Audio)


# ------------------------------------------------------------------------------------ broken stores


def test_results_from_another_time_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"schema_version": 99}')
    with pytest.raises(BadInput, match=r"results\.json: written in schema version 99"):
        RunDirectory(tmp_path).results()


def test_a_checkpoint_without_a_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no config\.json"):
        modelspec.resolve(str(tmp_path)).build()


def test_a_checkpoint_with_a_broken_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"config\.json: no readable 'model_type'"):
        modelspec.resolve(str(tmp_path)).build()


def test_an_unknown_architecture_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(BadInput, match=r"architecture 'vit'.*FILE\.py:CLASS"):
        modelspec.resolve(str(tmp_path)).build()


def test_a_plugin_that_breaks_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("import nonexistent_module_here")
    with pytest.raises(BadInput, match=r"p\.py: ModuleNotFoundError"):
        modelspec.resolve(f"{tmp_path}/p.py:Model").build()
