"""InstructTTSEval: verdicts as the original takes them, and a run whose model and judge get the instruction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.task_worlds import recordings
from typer.testing import CliRunner

from speech_eval import load_run
from speech_eval.cli.main import app
from speech_eval.metrics.instruct_tts import original_verdict, verdict
from speech_eval.metrics.records_file import evaluate

METRIC = "instructed[instruct-tts@b7e4120]"
GOLDEN = json.loads((Path(__file__).parent / "golden" / "instruct_tts.json").read_text("utf-8"))
# A voice that is loud if told so, and a judge that hears whether it is.
CODE = """
import json
import numpy as np
from speech_eval import Audio, AudioLanguageModel, ChatReply, ModelInfo, SpeechSynthesizer

class Voice(SpeechSynthesizer):
    def info(self):
        return ModelInfo(name="voice")

    def synthesize(self, requests):
        levels = [0.5 if r.instruction == "Speak loudly." else 0.1 for r in requests]
        return [Audio(np.full(8000, level, np.float32), 16000) for level in levels]

class Judge(AudioLanguageModel):
    def info(self):
        return ModelInfo(name="judge")

    def reply(self, requests):
        return [ChatReply(text=self.verdict(*r.messages[0]["content"])) for r in requests]

    def verdict(self, told, heard):
        loud = float(np.abs(heard["audio"].samples).mean()) > 0.3
        wanted = "Speak loudly." in told["text"]
        return json.dumps({"reason": "level", "一致性": loud == wanted}, ensure_ascii=False)
"""


@pytest.mark.parametrize(("reply", "expected"), GOLDEN)
def test_a_reply_gives_what_the_original_takes_from_it(reply: str, expected: Any) -> None:
    """By extract_json_from_text of KexinHUANG19/InstructTTSEval at b7e4120."""
    found = original_verdict(reply)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"一致性": "true"}', True),
        ('{"reason": "...", "一致性": 否}', False),
        ('{"一致性": null}', None),
        ('```json\n{"other": 1}\n``` {"一致性": true}', True),
        ("yes", None),
    ],
)
def test_the_strict_reading_takes_words_and_needs_the_key(reply: str, expected: bool | None) -> None:
    assert verdict(reply) is expected


def test_what_is_not_read_is_a_no_and_left_out_by_the_original(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    replies = ['{"一致性": true}', '{"一致性": "true"}', "I cannot tell", '{"一致性": false}']
    rows = [{"id": str(n), "instruction": "Loud.", "scores": [reply]} for n, reply in enumerate(replies)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = evaluate(METRIC, path)["aggregate"]
    assert found["strict"]["followed"] == 50.0 and found["compat"]["followed"] == pytest.approx(100 / 3)


def test_a_voice_is_told_how_to_speak_and_judged_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_EVAL_JUDGE_CACHE", str(tmp_path / "replies"))
    recordings(tmp_path / "data")
    told = ["Speak loudly.", "Speak softly.", "Speak loudly.", "Whisper."]
    rows = [{"id": f"t{n}", "text": "he was not", "instruction": how} for n, how in enumerate(told)]
    (tmp_path / "data" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "code.py").write_text(CODE)
    words = ["--model", f"{tmp_path / 'code.py'}:Voice", "--judge", f"{tmp_path / 'code.py'}:Judge", "--workers", "1"]
    command = [
        "run",
        *words,
        "--tasks",
        "instruct-tts-en",
        "--data",
        str(tmp_path / "data"),
        "-o",
        str(tmp_path / "run"),
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (task,) = load_run(tmp_path / "run").results.tasks
    assert (task.metrics[0].name, task.metrics[0].strict.value) == ("followed", 100.0)
