"""EmergentTTS-Eval: sides by row, replies as the original reads them, and a judge that hears both recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.judge_server import JudgeServer

from speech_eval.errors import BadInput
from speech_eval.metrics import judge as judges
from speech_eval.metrics.emergent_tts import model_is_second, original_winner, winner
from speech_eval.metrics.records_file import evaluate

METRIC = "win-rate[emergent-tts@5764ace]"
WHOLE = {"reasoning_system_1": "a", "reasoning_system_2": "b", "system_comparison": "c", "score_1": 2, "score_2": 3}
# A judge that prefers the louder of two recordings.
JUDGE = """
import json
import numpy as np
from speech_eval import AudioLanguageModel, ChatReply, ModelInfo

class Louder(AudioLanguageModel):
    def info(self):
        return ModelInfo(name="louder")

    def reply(self, requests):
        return [ChatReply(text=self.verdict(r.messages[0]["content"])) for r in requests]

    def verdict(self, parts):
        loud = [float(np.abs(part["audio"].samples).mean()) for part in parts if part["type"] == "audio"]
        assert len(loud) == 2 and "Questions" in parts[0]["text"], parts
        return json.dumps({"winner": 0 if loud[0] == loud[1] else 1 + int(np.argmax(loud))})
"""


def rows(folder: Path, level: float, count: int = 6) -> list[dict[str, Any]]:
    """Records whose answer is a tone at `level` and whose baseline is one at 0.2."""
    time = np.arange(8000) / 16_000
    for name, gain in (("answer", level), ("baseline", 0.2)):
        soundfile.write(folder / f"{name}.wav", gain * np.sin(2 * np.pi * 300 * time), 16_000, subtype="FLOAT")
    files = {"audio": "answer.wav", "reference_audio": "baseline.wav"}
    about = {"reference": "Is it?", "category": "Questions", "language": "en"}
    return [{**files, **about, "row": number} for number in range(count)]


def scored(folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), **record}) + "\n" for n, record in enumerate(records)), "utf-8")
    return evaluate(METRIC, path)


@pytest.mark.parametrize(
    ("reply", "original", "ours"),
    [
        (json.dumps({**WHOLE, "winner": 2}), 2, 2),
        ("```json\n" + json.dumps({**WHOLE, "winner": 0}) + "\n```", 0, 0),
        (json.dumps({**WHOLE, "winner": "1"}), None, 1),
        (json.dumps({**WHOLE, "winner": 1.0}), 1, 1),
        (json.dumps({**WHOLE, "winner": 3}), None, None),
        ('{"winner": 2}', None, 2),
        (json.dumps({**WHOLE, "winner": 2})[:-1] + ",", 2, 2),  # repaired
        ("System 2 is better.", None, None),
    ],
)
def test_a_reply_names_a_winner_as_the_original_reads_it_and_here(reply: str, original: Any, ours: Any) -> None:
    assert (original_winner(reply), winner(reply)) == (original, ours)


def test_sides_follow_from_the_row_and_both_occur() -> None:
    assert [model_is_second(row) for row in range(8)] == [np.random.default_rng(row).random() > 0.5 for row in range(8)]
    assert {model_is_second(row) for row in range(8)} == {True, False}


@pytest.mark.parametrize(("level", "expected"), [(0.6, 100.0), (0.2, 50.0), (0.05, 0.0)])
def test_a_model_that_hears_judges_whichever_side_the_speech_is_on(
    level: float, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(judges.CACHE_VARIABLE, str(tmp_path / "replies"))
    (tmp_path / "judge.py").write_text(JUDGE)
    records = rows(tmp_path, level)
    with judges.using(f"{tmp_path / 'judge.py'}:Louder"):
        found = scored(tmp_path, *records)
    assert found["aggregate"]["strict"]["win rate"] == expected and "not comparable" in found["scorer"]


def test_a_server_gets_both_recordings_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(judges.CACHE_VARIABLE, str(tmp_path / "replies"))
    row = rows(tmp_path, 0.6, 1)[0]
    with JudgeServer(json.dumps({**WHOLE, "winner": 0}), choices=1) as server, judges.using(server.spec):
        assert scored(tmp_path, row)["aggregate"]["compat"]["win rate"] == 50.0
        again = scored(tmp_path, row)
        (body,) = server.bodies  # the second time, the stored reply counts
    parts = body["messages"][0]["content"]
    assert again["aggregate"]["strict"]["ties"] == 100.0
    assert [part["type"] for part in parts] == ["text", "text", "input_audio", "text", "input_audio"]
    assert parts[2]["input_audio"]["data"] != parts[4]["input_audio"]["data"]


def test_a_reply_without_a_winner_is_a_loss_and_left_out_by_the_original(tmp_path: Path) -> None:
    records = rows(tmp_path, 0.6, 2)
    replies = [json.dumps({**WHOLE, "winner": 2 if model_is_second(0) else 1}), "no idea"]
    found = scored(tmp_path, *({**row, "scores": [reply]} for row, reply in zip(records, replies, strict=True)))
    aggregate = found["aggregate"]
    assert (aggregate["strict"]["win rate"], aggregate["compat"]["win rate"]) == (50.0, 100.0)


def test_a_judge_of_text_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(judges.CACHE_VARIABLE, str(tmp_path / "replies"))
    deaf = JUDGE.replace(
        "class Louder(AudioLanguageModel):", "class Louder(AudioLanguageModel):\n    reads_audio = False"
    )
    (tmp_path / "judge.py").write_text(deaf)
    with judges.using(f"{tmp_path / 'judge.py'}:Louder"), pytest.raises(BadInput, match="does not hear"):
        scored(tmp_path, *rows(tmp_path, 0.6, 1))
