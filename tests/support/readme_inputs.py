"""Writes what the README takes for granted: `my_wavs/`, the speech of `made`, and `clips/`, recordings and a CSV."""

import csv
import json
import shutil
from pathlib import Path

import soundfile

from speech_eval import load_dataset
from speech_eval.audio import load

data = load_dataset("asterisk-it")
for name in ("my_wavs", "clips"):
    Path(name).mkdir()
for line in map(json.loads, Path("made/outputs/seed-tts.jsonl").read_text().splitlines()):
    shutil.copy(Path("made") / line["audio"]["path"], f"my_wavs/{line['id']}.flac")
with Path("clips/metadata.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["path", "sentence", "language"])
    for sample in data.samples[:3]:
        sound = load(data.located(sample.audio or ""))
        soundfile.write(f"clips/{sample.id}.wav", sound.samples, sound.rate)
        table.writerow([f"{sample.id}.wav", sample.text, "it"])
