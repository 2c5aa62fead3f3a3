"""Speech as codes on disk, encoded once: parquet that `datasets` reads, codes as uint16.

SHARDS/train-00000.parquet     id, text, spoken, speaker, language, seconds, codes_0 … codes_K-1; likewise held-out-…
SHARDS/shards.json             the codec, the text frontend, hours, sizes beside the waveforms, what was left out and
                               why; written last

Codes are stored as the codec gave them, so that every layout reads the same shards.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.audio import load
from speech_eval.cache import make_folder, write_atomically
from speech_eval.errors import BadInput, require
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.data.corpus import (
    Clip,
    Corpus,
    Data,
    LeftOut,
    open_corpus,
    report,
    without_words,
)
from speech_eval.reference_models.data.splits import HELD_OUT, TRAIN
from speech_eval.reference_models.speech_lm.codec_stream import load_codec
from speech_eval.reference_models.speech_lm.frontend import Frontend, Reading, readings, voice_of
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.training.config import Policy
from speech_eval.reference_models.training.log import differences
from speech_eval.text.detect import UNKNOWN
from speech_eval.text.files import read_record

SUMMARY = "shards.json"
SPLITS = (TRAIN, HELD_OUT)
_VERSION = 2  # of the rows
_CACHE = ".cache"
_TEXTS = ("id", "text", "spoken", "speaker", "language")
_ROWS = 20_000  # per file
_BATCH = 16  # recordings per call of the codec
_PCM_BYTES = 2


@dataclass(frozen=True)
class Document:
    """An utterance to learn from. `spoken` is the text as the model reads it."""

    id: str
    text: str
    spoken: str
    speaker: str
    language: str
    seconds: float
    codes: list[Ints]


def write_shards(
    data: Data,
    codec_spec: str,
    output: Path,
    *,
    text: Frontend = "bytes",
    language: str = "en-us",
    on_bad: Policy = "skip",
    renew: bool = False,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Encode every utterance of `data` that has words which the frontend can read; returns the summary.

    Existing shards of the same data, codec and frontend are kept; with `renew`, others are written anew. Raises
    `BadInput` naming what differs without `renew`, for a codec without codebooks or with one of more than 65 536 codes,
    and if no utterance can be encoded.
    """
    corpus = open_corpus(data, on_bad=on_bad, progress=progress, say=say)
    codec = load_codec(codec_spec)
    plan = {
        "version": _VERSION,
        "data": corpus.identity(),
        "codec_sha256": codec.info().weights_sha256,
        "frontend": text,
        "language": language,
    }
    make_folder(output)
    with FileLock(output / ".lock"):  # several processes of one training may ask at once
        done = output / SUMMARY
        if done.is_file():
            summary = read_record(done, "Choose another folder.", "plan")
            changed = differences(summary["plan"], plan)
            if not changed:
                return summary
            if not renew:
                raise BadInput(f"{output} holds shards of something else: {changed}.", "Choose another folder.")
            say(f"{output} is written anew: {changed}")
            for file in (done, *output.glob("*.parquet")):
                file.unlink()
            shutil.rmtree(output / _CACHE, ignore_errors=True)
        summary = {"plan": plan, **_write(corpus, codec, codec_spec, output, plan, on_bad, progress, say)}
        write_atomically(done, (json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
        return summary


def _write(
    corpus: Corpus,
    codec: AudioCodec,
    codec_spec: str,
    output: Path,
    plan: dict[str, Any],
    on_bad: Policy,
    progress: Progress,
    say: Say,
) -> dict[str, Any]:
    chosen, left_out = _readable(corpus, plan["frontend"], plan["language"], say)
    report(left_out, len(corpus.clips), "texts", on_bad, say)
    if not any(clip.split == TRAIN for clip, _ in chosen):
        corpus.refuse(f"utterance to learn from in its split '{TRAIN}'", left_out)
    section: CodecSection | None = None
    splits, languages, done = {}, Counter[str](), 0
    for split in SPLITS:
        mine = [(clip, reading) for clip, reading in chosen if clip.split == split]
        writer = _Writer(output, split)
        for start in range(0, len(mine), _BATCH):
            batch = mine[start : start + _BATCH]
            for row, found in _encode(codec, batch):
                section = section or codec_section(codec, codec_spec, found)
                writer.add(row, len(section.codebook_sizes))
            done += len(batch)
            progress("encode", done, len(chosen))
        splits[split] = writer.close(codec.sample_rate)
        if split == TRAIN:
            languages = Counter(reading.voice or clip.sample.language for clip, reading in mine)
    assert section is not None
    return {
        "codec": section.model_dump(mode="json"),
        "splits": splits,
        "languages": [name for name, _ in languages.most_common()],
        "passed_over": {item.clip: item.reason for item in (*corpus.left_out, *left_out)},
    }


def _readable(
    corpus: Corpus, text: Frontend, language: str, say: Say
) -> tuple[list[tuple[Clip, Reading]], list[LeftOut]]:
    """Every recording with its text as the frontend reads it, and those without words or that cannot be read."""
    left_out = without_words(corpus.clips)
    wordless = {item.clip for item in left_out}
    clips = [clip for clip in corpus.clips if clip.split in SPLITS and clip.id not in wordless]
    untold = sum(clip.sample.language == UNKNOWN for clip in clips)
    if untold and text == "phonemes":
        say(f"{untold} texts state no language: they are read as {language}, the recipe's model.language")
    voices = [voice_of(clip.sample.language, language) for clip in clips]
    read = readings([str(clip.sample.text) for clip in clips], text, voices)
    chosen = []
    for clip, reading in zip(clips, read, strict=True):
        if reading.problem:
            left_out.append(LeftOut(clip.id, "language", reading.problem))
        else:
            chosen.append((clip, reading))
    return chosen, left_out


def _encode(codec: AudioCodec, batch: Sequence[tuple[Clip, Reading]]) -> Iterator[tuple[dict[str, Any], Any]]:
    audios = [load(clip.path, codec.sample_rate) for clip, _ in batch]
    for (clip, reading), audio, found in zip(batch, audios, codec.encode(audios), strict=True):
        sample = clip.sample
        books = {f"codes_{k}": np.asarray(book, dtype=np.uint16) for k, book in enumerate(found.codebooks)}
        row = {"id": sample.id, "text": sample.text, "spoken": reading.said, "speaker": sample.speaker or "", **books}
        yield row | {"language": sample.language, "seconds": audio.seconds}, found


def codec_section(codec: AudioCodec, spec: str, found: Codes) -> CodecSection:
    """What a model keeps of the codec whose codes it learns, `found` being some of them. Raises `BadInput` for
    codebooks that the shards cannot hold."""
    sizes = [int(size) for size in found.codebook_sizes]
    if not sizes or max(sizes) > 2**16:
        raise BadInput(f"{spec}: codebooks of {sizes} codes.", "Use a codec whose codebooks have 1 to 65 536 codes.")
    return CodecSection(
        spec=spec,
        codebook_sizes=tuple(sizes),
        frame_rates=tuple(float(rate) for rate in found.frame_rates),
        weights_sha256=codec.info().weights_sha256 or "",
        sample_rate=codec.sample_rate,
    )


class _Writer:
    """Rows of a split to files of `_ROWS` each."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self.rows: list[dict[str, Any]] = []
        self.files: list[Path] = []
        self.utterances, self.seconds, self.codes, self.books = 0, 0.0, 0, 0
        self.speakers: set[str] = set()

    def add(self, row: dict[str, Any], books: int) -> None:
        self.books = books
        self.rows.append(row)
        self.utterances += 1
        self.speakers.add(row["speaker"] or row["id"])  # every unknown speaker counts as another one
        self.seconds += row["seconds"]
        self.codes += sum(len(row[f"codes_{k}"]) for k in range(books))
        if len(self.rows) == _ROWS:
            self._flush()

    def _flush(self) -> None:
        pa, parquet = require("pyarrow", "train"), require("pyarrow.parquet", "train")
        text = [pa.field(name, pa.string()) for name in _TEXTS]
        codes = [pa.field(f"codes_{k}", pa.list_(pa.uint16())) for k in range(self.books)]
        schema = pa.schema([*text, pa.field("seconds", pa.float64()), *codes])
        path = self.folder / f"{self.split}-{len(self.files):05d}.parquet"
        buffer = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(self.rows, schema=schema), buffer, compression="zstd")
        write_atomically(path, buffer.getvalue().to_pybytes())
        self.files.append(path)
        self.rows = []

    def close(self, rate: int) -> dict[str, Any]:
        """Finish the last file; returns what the split holds, and its size compared with 16-bit waveforms."""
        if self.rows:
            self._flush()
        size = sum(path.stat().st_size for path in self.files)
        waveforms = round(self.seconds * rate) * _PCM_BYTES
        return {
            "utterances": self.utterances,
            "speakers": len(self.speakers),
            "hours": round(self.seconds / 3600, 4),
            "codes": self.codes,
            "bytes": size,
            "waveform_bytes": waveforms,
            "smaller_by": round(waveforms / size, 1) if size else None,
        }


class Shards:
    """The shards of a split, opened. Rows are read on access."""

    def __init__(self, folder: Path, split: str = "train") -> None:
        done = folder / SUMMARY
        remedy = "Write the shards first: `speech-eval train` with a recipe of the stack tts."
        if not done.is_file():
            raise BadInput(f"{folder} holds no {SUMMARY}.", remedy)
        self.summary = read_record(done, remedy, "codec")
        self.codec = CodecSection.model_validate(self.summary["codec"])
        files = sorted(str(path) for path in folder.glob(f"{split}-*.parquet"))
        self._rows: Any = None
        if files:
            library = require("datasets", "train")
            library.disable_progress_bars()
            self._rows = library.Dataset.from_parquet(files, cache_dir=str(folder / _CACHE)).with_format("numpy")

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> Document:
        row = self._rows[index]
        codes = [np.asarray(row[f"codes_{k}"], dtype=np.int64) for k in range(len(self.codec.codebook_sizes))]
        named = {column: str(row[column]) for column in _TEXTS}
        return Document(**named, seconds=float(row["seconds"]), codes=codes)
