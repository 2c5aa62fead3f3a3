"""Speech as codes on disk, encoded once: parquet that `datasets` reads, codes as uint16.

SHARDS/train-00000.parquet     id, text, spoken, speaker, seconds, codes_0 … codes_K-1; likewise held-out-…
SHARDS/shards.json             the codec, the text frontend, hours, sizes beside the waveforms; written last

Codes are stored as the codec gave them, so that every layout reads the same shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from speech_eval import datasets
from speech_eval.adapters.base import AudioCodec
from speech_eval.audio import load
from speech_eval.cache import file_sha256, write_atomically
from speech_eval.errors import BadAudio, BadInput, require
from speech_eval.progress import Progress, silent
from speech_eval.records import Sample
from speech_eval.reference_models.data.splits import split_of
from speech_eval.reference_models.speech_lm import frontend
from speech_eval.reference_models.speech_lm.codec_stream import load_codec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.sequence import CodecSection

SUMMARY = "shards.json"
SPLITS = ("train", "held-out")
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
    seconds: float
    codes: list[Ints]


def write_shards(
    data: Path,
    codec_spec: str,
    output: Path,
    *,
    text: frontend.Frontend = "bytes",
    language: str = "en-us",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Encode every utterance of the AudioFolder `data` that has a text; returns the summary.

    Existing shards of the same data, codec and frontend are kept. Raises `BadInput` for existing shards of others, for
    a codec without codebooks or with one of more than 65 536 codes, and if no utterance can be encoded.
    """
    codec = load_codec(codec_spec)
    plan = {
        "data_sha256": file_sha256(data / "metadata.jsonl"),
        "codec_sha256": codec.info().weights_sha256,
        "frontend": text,
        "language": language,
    }
    output.mkdir(parents=True, exist_ok=True)
    with FileLock(output / ".lock"):  # several processes of one training may ask at once
        done = output / SUMMARY
        if done.is_file():
            summary: dict[str, Any] = json.loads(done.read_text("utf-8"))
            if summary["plan"] != plan:
                raise BadInput(f"{output} holds shards of other data, codec or text.", "Choose another folder.")
            return summary
        summary = {"plan": plan, **_write(data, codec, codec_spec, output, plan, progress)}
        write_atomically(done, (json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
        return summary


def _write(
    data: Path, codec: AudioCodec, codec_spec: str, output: Path, plan: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    dataset = datasets.load_dataset(data)
    samples = [sample for sample in dataset.samples if sample.audio and (sample.text or "").strip()]
    said = frontend.spoken([str(sample.text) for sample in samples], plan["frontend"], plan["language"])
    section: CodecSection | None = None
    passed_over: dict[str, str] = {}
    splits, done = {}, 0
    for split in SPLITS:
        chosen = [(s, words) for s, words in zip(samples, said, strict=True) if split_of(s) == split]
        writer = _Writer(output, split)
        for start in range(0, len(chosen), _BATCH):
            for row, found in _encode(codec, dataset, chosen[start : start + _BATCH], passed_over):
                section = section or _section(codec, codec_spec, found)
                writer.add(row, len(section.codebook_sizes))
            done += len(chosen[start : start + _BATCH])
            progress("encode", done, len(samples))
        splits[split] = writer.close(codec.sample_rate)
    if section is None or not splits["train"]["utterances"]:
        raise BadInput(f"{data} has no utterance with a text in its split 'train'.", "See: speech-eval data prepare")
    return {"codec": section.model_dump(mode="json"), "splits": splits, "passed_over": passed_over}


def _encode(
    codec: AudioCodec, dataset: datasets.Dataset, chosen: list[tuple[Sample, str]], passed_over: dict[str, str]
) -> Iterator[tuple[dict[str, Any], Any]]:
    readable = []
    for sample, words in chosen:
        try:
            readable.append((sample, words, load(dataset.audio_path(str(sample.audio))).resampled(codec.sample_rate)))
        except BadAudio as error:
            passed_over[sample.id] = error.problem
    for (sample, words, audio), found in zip(readable, codec.encode([item[2] for item in readable]), strict=True):
        books = {f"codes_{k}": np.asarray(book, dtype=np.uint16) for k, book in enumerate(found.codebooks)}
        row = {"id": sample.id, "text": sample.text, "spoken": words, "speaker": sample.speaker or "", **books}
        yield row | {"seconds": audio.seconds}, found


def _section(codec: AudioCodec, spec: str, found: Any) -> CodecSection:
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
        text = [pa.field(name, pa.string()) for name in ("id", "text", "spoken", "speaker")]
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
        if not done.is_file():
            raise BadInput(
                f"{folder} holds no {SUMMARY}.",
                "Write the shards first: `speech-eval train` with a recipe of the stack tts.",
            )
        self.summary: dict[str, Any] = json.loads(done.read_text("utf-8"))
        self.codec = CodecSection.model_validate(self.summary["codec"])
        files = sorted(str(path) for path in folder.glob(f"{split}-*.parquet"))
        self._rows: Any = None
        if files:
            library = require("datasets", "train")
            library.disable_progress_bars()
            self._rows = library.Dataset.from_parquet(files, cache_dir=str(folder / ".cache")).with_format("numpy")

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> Document:
        row = self._rows[index]
        codes = [np.asarray(row[f"codes_{k}"], dtype=np.int64) for k in range(len(self.codec.codebook_sizes))]
        name, text, spoken, speaker = (str(row[column]) for column in ("id", "text", "spoken", "speaker"))
        return Document(name, text, spoken, speaker, float(row["seconds"]), codes)
