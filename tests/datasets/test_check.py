"""What `data check` finds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import soundfile
from support.data_files import lines, tone

from speech_eval import datasets


def test_the_check_finds_each_kind_of_bad_audio(tmp_path: Path) -> None:
    tone(tmp_path / "good.wav")
    tone(tmp_path / "stereo.wav", channels=2)
    tone(tmp_path / "silent.wav", scale=0.0)
    tone(tmp_path / "slow.wav", rate=4000)
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), 16000, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("not audio")
    names = ("good", "stereo", "silent", "slow", "nan", "text", "absent")
    rows = [{"id": name, "audio": f"{name}.wav"} for name in names]
    lines(tmp_path / "mine.jsonl", *rows, {"id": "changed", "audio": "good.wav", "audio_sha256": "0" * 64}, {"id": "x"})
    found = "\n".join(datasets.check(datasets.load_dataset(tmp_path / "mine.jsonl")))
    for problem in (
        "x: neither text nor audio",
        "silent.wav: .*silent",
        "slow.wav: .*4000 Hz",
        "nan.wav: .*NaN",
        "text.wav: .*not a readable",
        "absent.wav: .*missing",
        "good.wav: .*sha256",
    ):
        assert re.search(f"^{problem}", found, re.MULTILINE), problem
    assert "stereo.wav" not in found.replace("good, stereo", "")  # is mixed down
