"""Small data on disk: recordings, lists of samples, and repositories as the dataset hub has them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

HEADER = {
    "name": "mine",
    "version": "1",
    "description": "two clips",
    "languages": ["en"],
    "license": "CC0-1.0",
    "source": "a test",
}


def tone(path: Path, rate: int = 16000, scale: float = 0.1, channels: int = 1) -> Path:
    """A tenth of a second of a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = scale * np.sin(np.arange(rate // 10) * 0.2)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
    return path


def lines(path: Path, *rows: object) -> Path:
    """A file of these lines, objects as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def clip(seed: int, rate: int = 16_000, kind: str = "FLAC") -> bytes:
    """The bytes of a tenth of a second of noise."""
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.random.default_rng(seed).standard_normal(rate // 10), rate, format=kind)
    return buffer.getvalue()


def repository(folder: Path, splits: dict[str, list[dict[str, Any]]], config: str = "default") -> Path:
    """A local folder that the library `datasets` reads like a hub repository: a card that lists the files per split."""
    import datasets as library

    folder.mkdir(parents=True)
    files = []
    for split, rows in splits.items():
        table = library.Dataset.from_list(rows)
        for column in ("audio", "ref_audio"):
            if column in table.column_names:
                table = table.cast_column(column, library.Audio(decode=False)).cast_column(column, library.Audio())
        table.to_parquet(folder / f"{split}.parquet")
        files.append(f"  - split: {split}\n    path: {split}.parquet\n")
    card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{''.join(files)}---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder
