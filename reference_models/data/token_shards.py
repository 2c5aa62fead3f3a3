"""Speech as codes on disk, encoded once: parquet that `datasets` reads, codes as uint16.

SHARDS/train-00000.parquet     id, text, spoken, speaker, language, seconds, codes_0 … codes_K-1; likewise held-out-…
SHARDS/shards.json             the codec, the text frontend, hours, sizes beside the waveforms, what was left out and
                               why; written last
SHARDS/.parts-KEY/             what is encoded so far, a file per 1024 recordings; gone at the end

Codes are stored as the codec gave them, so that every layout reads the same shards. All processes of a training encode,
each the next part that is not there, so that what was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

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
from speech_eval.reference_models.speech_lm.codec_stream import load_codec, probe
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
_LOCK = ".lock"
_BATCH = 16  # recordings per call of the codec
_PART = 1024  # recordings that one process encodes in a row
_PARTS = 20  # per file
_POLL = 0.2  # seconds
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
    if (kept := _kept(output, plan, renew, say)) is not None:
        return kept
    chosen, left_out = _readable(corpus, text, language, say)
    report(left_out, len(corpus.clips), "texts", on_bad, say)
    if not any(clip.split == TRAIN for clip, _ in chosen):
        corpus.refuse(f"utterance to learn from in its split '{TRAIN}'", left_out)
    section = codec_section(codec, codec_spec, probe(codec))
    key = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]
    parts = output / f".parts-{key}"
    make_folder(parts)
    by_split = {split: [(clip, reading) for clip, reading in chosen if clip.split == split] for split in SPLITS}
    files = _encode_all(codec, by_split, parts, section, progress)
    with FileLock(output / _LOCK):  # several processes of one training may come here at once
        if (kept := _kept(output, plan, renew, say)) is not None:
            return kept
        voices = Counter(reading.voice or clip.sample.language for clip, reading in by_split[TRAIN])
        summary = {
            "plan": plan,
            "codec": section.model_dump(mode="json"),
            "splits": {split: _join(files[split], output, split, codec.sample_rate) for split in SPLITS},
            "languages": [name for name, _ in voices.most_common()],
            "passed_over": {item.clip: item.reason for item in (*corpus.left_out, *left_out)},
        }
        write_atomically(
            output / SUMMARY, (json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
        )
        for folder in output.glob(".parts-*"):
            shutil.rmtree(folder, ignore_errors=True)
    return summary


def _kept(output: Path, plan: dict[str, Any], renew: bool, say: Say) -> dict[str, Any] | None:
    """The summary of finished shards of the same plan. Others are removed if they may be renewed, else refused."""
    done = output / SUMMARY
    if not done.is_file():
        return None
    summary: dict[str, Any] = read_record(done, "Choose another folder.", "plan")
    changed = differences(summary["plan"], plan)
    if not changed:
        return summary
    if not renew:
        raise BadInput(f"{output} holds shards of something else: {changed}.", "Choose another folder.")
    say(f"{output} is written anew: {changed}")
    for file in (done, *output.glob("*.parquet")):
        file.unlink(missing_ok=True)
    shutil.rmtree(output / _CACHE, ignore_errors=True)
    return None


Chosen = list[tuple[Clip, Reading]]


def _encode_all(
    codec: AudioCodec, by_split: dict[str, Chosen], parts: Path, section: CodecSection, progress: Progress
) -> dict[str, list[Path]]:
    """The files of all parts, by split and in order, once this and other processes have written them. Another process
    may have joined them meanwhile."""
    files = {
        split: {start: parts / f"{split}-{start:09d}.parquet" for start in range(0, len(mine), _PART)}
        for split, mine in by_split.items()
    }
    work = {
        file: by_split[split][start : start + _PART] for split, found in files.items() for start, file in found.items()
    }
    whole, joined = sum(map(len, by_split.values())), parts.parent / SUMMARY
    while not joined.is_file() and (missing := [file for file in work if not file.is_file()]):
        taken = False
        for file in missing:
            with suppress(Timeout), FileLock(f"{file}.lock", timeout=0):  # else another process is at it
                if not file.is_file() and not joined.is_file():
                    before = sum(len(mine) for other, mine in work.items() if other.is_file())
                    _save(_table(codec, work[file], section, partial(progress, "encode"), before, whole), file)
                    taken = True
        if not taken:
            time.sleep(_POLL)
    return {split: list(found.values()) for split, found in files.items()}


def _table(
    codec: AudioCodec, mine: Chosen, section: CodecSection, say: Callable[[int, int], None], before: int, whole: int
) -> Any:
    """The rows of a part, after `before` of a `whole`."""
    pa, rows = require("pyarrow", "train"), list[dict[str, Any]]()
    for start in range(0, len(mine), _BATCH):
        rows += _encode(codec, mine[start : start + _BATCH])
        say(before + len(rows), whole)
    text = [pa.field(name, pa.string()) for name in _TEXTS]
    codes = [pa.field(f"codes_{k}", pa.list_(pa.uint16())) for k in range(len(section.codebook_sizes))]
    return pa.Table.from_pylist(rows, schema=pa.schema([*text, pa.field("seconds", pa.float64()), *codes]))


def _join(parts: list[Path], output: Path, split: str, rate: int) -> dict[str, Any]:
    """The parts of a split as its files; returns what it holds, and its size compared with 16-bit waveforms."""
    pa, parquet, compute = (require(name, "train") for name in ("pyarrow", "pyarrow.parquet", "pyarrow.compute"))
    utterances, codes, size, seconds = 0, 0, 0, 0.0
    speakers: set[str] = set()
    for number, start in enumerate(range(0, len(parts), _PARTS)):
        table = pa.concat_tables([parquet.read_table(file) for file in parts[start : start + _PARTS]])
        path = output / f"{split}-{number:05d}.parquet"
        _save(table, path)
        size += path.stat().st_size
        utterances += len(table)
        seconds += sum(table["seconds"].to_pylist())
        named = zip(table["speaker"].to_pylist(), table["id"].to_pylist(), strict=True)
        speakers |= {speaker or name for speaker, name in named}  # every unknown speaker counts as another one
        books = (name for name in table.column_names if name.startswith("codes_"))
        codes += sum(compute.sum(compute.list_value_length(table[name])).as_py() or 0 for name in books)
    waveforms = round(seconds * rate) * _PCM_BYTES
    return {
        "utterances": utterances,
        "speakers": len(speakers),
        "hours": round(seconds / 3600, 4),
        "codes": codes,
        "bytes": size,
        "waveform_bytes": waveforms,
        "smaller_by": round(waveforms / size, 1) if size else None,
    }


def _save(table: Any, file: Path) -> None:
    buffer = require("pyarrow", "train").BufferOutputStream()
    require("pyarrow.parquet", "train").write_table(table, buffer, compression="zstd")
    write_atomically(file, buffer.getvalue().to_pybytes())


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


def _encode(codec: AudioCodec, batch: Chosen) -> Iterator[dict[str, Any]]:
    audios = [load(clip.path, codec.sample_rate) for clip, _ in batch]
    for (clip, reading), audio, found in zip(batch, audios, codec.encode(audios), strict=True):
        sample = clip.sample
        books = {f"codes_{k}": np.asarray(book, dtype=np.uint16) for k, book in enumerate(found.codebooks)}
        row = {"id": sample.id, "text": sample.text, "spoken": reading.said, "speaker": sample.speaker or "", **books}
        yield row | {"language": sample.language, "seconds": audio.seconds}


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

    def column(self, name: str) -> list[str]:
        """One of the texts of every row, without reading codes."""
        return [] if self._rows is None else [str(value) for value in self._rows.data.column(name).to_pylist()]

    def __getitem__(self, index: int) -> Document:
        row = self._rows[index]
        codes = [np.asarray(row[f"codes_{k}"], dtype=np.int64) for k in range(len(self.codec.codebook_sizes))]
        named = {column: str(row[column]) for column in _TEXTS}
        return Document(**named, seconds=float(row["seconds"]), codes=codes)
