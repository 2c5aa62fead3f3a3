"""What a task asks of a chat reaches the model: VoiceBench allows 2048 new tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speech_eval import Answer
from speech_eval.adapters import spec as modelspec
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings, run
from speech_eval.engine.task import TASKS

ECHO = """
from speech_eval import AudioLanguageModel
from speech_eval.adapters.base import ChatReply
from speech_eval.records import ModelInfo

class Echo(AudioLanguageModel):
    reads_audio = False

    def info(self):
        return ModelInfo(name="echo")

    def reply(self, requests):
        return [ChatReply(text=str(request.max_new_tokens)) for request in requests]
"""


@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("voicebench-")])
def test_every_subset_of_voicebench_asks_for_2048_new_tokens(name: str) -> None:
    assert TASKS.get(name)().generate == Answer(max_new_tokens=2048)


def test_the_option_of_the_task_is_the_models_limit(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO, encoding="utf-8")
    row = {"id": "one", "prompt_text": "Say how much you may say.", "language": "en"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    spec = modelspec.parse(f"{tmp_path / 'echo.py'}:Echo")
    settings = Settings(data=str(tmp_path / "metadata.jsonl"), workers=1)
    run(spec, ["voicebench-advbench"], tmp_path / "run", settings)
    assert RunDirectory(tmp_path / "run").outputs("voicebench-advbench")["one"].text == "2048"
