"""What a frozen encoder hears in every recording, computed once and read by every stage of a training.

FEATURES/features-00000.npy    float16 [frames, dim]: the frames of its utterances one after another, mapped to memory
FEATURES/features-00000.jsonl  one line per utterance: id, text, language, speaker, split, frames, words
FEATURES/features.json         the data, the encoder, and how many files there are; written last
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from speech_eval.audio import Samples, load
from speech_eval.cache import make_folder, write_atomically
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.audio_llm.augment import AugmentSection
from speech_eval.reference_models.audio_llm.encoder import SpeechEncoder
from speech_eval.reference_models.data.corpus import Clip, Corpus, LeftOut, report, without_words
from speech_eval.reference_models.speech_lm.speech_encoders import FRAME_RATE, RATE
from speech_eval.reference_models.training.log import differences

FloatArray = NDArray[np.float16]
SUMMARY = "features.json"
_VERSION = 1
_REMEDY = "Delete the folder and train again: features are computed where there are none."
_ROWS = 512  # utterances per file: what a stopped build computes again


@dataclass(frozen=True)
class Word:
    """A word of an utterance, and when it is spoken, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Spoken:
    """An utterance as the encoder hears it: `features` [frames, dim] at 50 per second, as long as the recording.

    `words` is empty until `alignment` found their times; `metadata` is what the data states beside text and speaker.
    """

    id: str
    text: str
    language: str
    speaker: str
    features: FloatArray
    words: tuple[Word, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return len(self.features) / FRAME_RATE


@dataclass(frozen=True)
class _Row:
    """Where the features of an utterance lie, and its line of the file."""

    file: Path
    start: int
    line: Mapping[str, Any]


class FeatureStore:
    """The utterances of one finished folder or several, read on access. `lengths` are the frames of each, `encoder` is
    the spec of the encoder, `dim` the width of its features; `plan` says what they were computed from."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], rows: Sequence[_Row]) -> None:
        self.folder, self.plan, self.rows = folder, plan, rows
        self.encoder, self.dim = str(plan["encoder"]["spec"]), int(plan["encoder"]["dim"])
        self.lengths = np.array([row.line["frames"] for row in rows], dtype=np.int64)

    @classmethod
    def open(cls, folder: str | Path) -> FeatureStore:
        """A folder, or several separated by commas. Raises `BadInput` for one without features or whose features are
        not all there, and for folders of different encoders or that share an utterance."""
        return cls.united([cls._open(Path(name.strip())) for name in str(folder).split(",")])

    @classmethod
    def united(cls, stores: Sequence[FeatureStore]) -> FeatureStore:
        """The utterances of several stores, one store after the other."""
        first, *others = stores
        for other in others:
            if changed := differences(first.plan["encoder"], other.plan["encoder"]):
                raise BadInput(f"{first.folder} and {other.folder} differ: {changed}.", "Use one encoder for both.")
        rows = [row for store in stores for row in store.rows]
        doubled = [id for id, count in Counter(row.line["id"] for row in rows).items() if count > 1]
        if doubled:
            raise BadInput(f"{doubled[0]} is in two of the stores of features.", "Give each of them once.")
        return first if not others else cls(first.folder, {**first.plan, "data": _data(stores)}, rows)

    @classmethod
    def _open(cls, folder: Path) -> FeatureStore:
        try:
            summary = json.loads((folder / SUMMARY).read_text("utf-8"))
        except OSError:
            there = len(list(folder.glob("features-*.jsonl")))
            state = f"holds no {SUMMARY}" + (f": only {there} files were written so far" if there else "")
            raise BadInput(f"{folder} {state}.", "Train with the stack audio_llm, which writes it.") from None
        return cls(
            folder, summary["plan"], [row for file in sorted(folder.glob("features-*.npy")) for row in _rows(file)]
        )

    def read_again(self) -> FeatureStore:
        """The same utterances with what their files say now."""
        rows = {row.line["id"]: row for file in self.files() for row in _rows(file)}
        return FeatureStore(self.folder, self.plan, [rows[row.line["id"]] for row in self.rows])

    def files(self) -> list[Path]:
        """The files of features that its utterances lie in; the lines lie beside them."""
        return list(dict.fromkeys(row.file for row in self.rows))

    def split(self, name: str) -> FeatureStore:
        """The utterances of one split of the data, possibly none."""
        return self.keeping([index for index, row in enumerate(self.rows) if row.line["split"] == name])

    def keeping(self, indices: Sequence[int]) -> FeatureStore:
        """The utterances at these places."""
        return FeatureStore(self.folder, self.plan, [self.rows[index] for index in indices])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Spoken:
        row = self.rows[index]
        line = row.line
        features = self._features(row.file)[row.start : row.start + line["frames"]]
        return Spoken(
            line["id"],
            line["text"],
            line["language"],
            line["speaker"],
            features,
            tuple(Word(*word) for word in line["words"]),
            line["metadata"],
        )

    @lru_cache(maxsize=256)  # noqa: B019 - one object per training run
    def _features(self, file: Path) -> FloatArray:
        found: FloatArray = np.load(file, mmap_mode="r", allow_pickle=False)
        return found


def _data(stores: Sequence[FeatureStore]) -> dict[str, Any]:
    """What the data of several stores are, for the identity of a training."""
    digests = "".join(f"{store.plan['data']['sha256']}\n" for store in stores)
    return {
        "sha256": hashlib.sha256(digests.encode()).hexdigest(),
        "recordings": sum(store.plan["data"]["recordings"] for store in stores),
        "texts": sum(store.plan["data"]["texts"] for store in stores),
    }


def _rows(file: Path) -> list[_Row]:
    """The utterances of a file of features. Raises `BadInput` for a file that is damaged or lacks its lines."""
    rows, start = [], 0
    try:
        for text in file.with_suffix(".jsonl").read_text("utf-8").splitlines():
            line = json.loads(text)
            rows.append(_Row(file, start, line))
            start += line["frames"]
        frames = len(np.load(file, mmap_mode="r", allow_pickle=False))
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise BadInput(f"{file} cannot be read ({error}).", _REMEDY) from error
    if frames != start:
        raise BadInput(f"{file} has {frames} frames, and its lines state {start}.", _REMEDY)
    return rows


def build_features(
    corpus: Corpus,
    encoder_spec: str,
    output: Path,
    progress: Progress = silent,
    say: Say = unsaid,
    *,
    layer: int = -1,
    dtype: str = "bfloat16",
    device: str = "cpu",
    augment: AugmentSection | None = None,
    renew: bool = False,
) -> FeatureStore:
    """Encode every utterance of `corpus` that has words into `output`; a build that was stopped goes on where it was.

    `augment` changes each recording before it is encoded. Features of the same data, encoder and changes are kept; with
    `renew`, others are computed anew. Raises `BadInput` naming what differs without `renew`, and for a corpus without
    an utterance.
    """
    wordless = without_words(corpus.clips)
    report(wordless, len(corpus.clips), "texts", "skip", say)
    clips = _chosen(corpus, wordless)
    encoder = SpeechEncoder(encoder_spec, layer, dtype).to(device)
    plan = {
        "version": _VERSION,
        "data": corpus.identity(),
        "encoder": {
            "spec": encoder_spec,
            "weights_sha256": encoder.weights_sha256,
            "dtype": dtype,
            "layer": encoder.layer,
            "dim": encoder.dim,
        },
        **({"augment": augment.model_dump(mode="json")} if augment else {}),
    }
    reader = _Reader(clips, augment)
    make_folder(output)
    with FileLock(output / ".lock"):  # several processes of one training may ask at once
        _begin(output, plan, renew, say)
        if not (output / SUMMARY).is_file():
            files = [clips[start : start + _ROWS] for start in range(0, len(clips), _ROWS)]
            for number, chosen in enumerate(files):
                progress("features", number * _ROWS, len(clips))
                if not _file(output, number, "jsonl").is_file():
                    _write(encoder, reader, chosen, output, number)
            progress("features", len(clips), len(clips))
            _write_json(output / SUMMARY, {"plan": plan, "files": len(files), "utterances": len(clips)})
    return FeatureStore.open(output)


def _chosen(corpus: Corpus, wordless: list[LeftOut]) -> list[Clip]:
    """The recordings with a text."""
    left_out = {item.clip for item in wordless}
    clips = [clip for clip in corpus.clips if clip.id not in left_out]
    if not clips:
        corpus.refuse("utterance with a text", wordless)
    return clips


def _begin(output: Path, plan: Mapping[str, Any], renew: bool, say: Say) -> None:
    """Keep what was computed by the same plan. `plan.json` says what a folder is being filled with."""
    there = output / "plan.json"
    if there.is_file():
        changed = differences(json.loads(there.read_text("utf-8")), plan)
        if not changed:
            return
        if not renew:
            raise BadInput(f"{output} holds features of something else: {changed}.", "Choose another folder.")
        say(f"{output} is written anew: {changed}")
        for file in (output / SUMMARY, *output.glob("features-*")):
            file.unlink(missing_ok=True)
    _write_json(there, plan)


class _Reader:
    """The samples of a recording at the encoder's rate, and the name of what augmentation did to it."""

    def __init__(self, clips: Sequence[Clip], augment: AugmentSection | None) -> None:
        self.augment = augment
        self.others = {clip.id: partial(load, clip.path, RATE) for clip in clips} if augment else {}

    def __call__(self, clip: Clip) -> tuple[Samples, str | None]:
        audio = load(clip.path, RATE)
        if self.augment is None:
            return audio.samples, None
        changed, condition = self.augment.apply(
            audio, clip.id, [read for id, read in self.others.items() if id != clip.id]
        )
        return changed.samples, condition


def _write(encoder: SpeechEncoder, reader: _Reader, clips: Sequence[Clip], output: Path, number: int) -> None:
    """One file of features and its lines; the lines last, so that a file with lines is whole."""
    recordings = [reader(clip) for clip in clips]
    heard = encoder([samples for samples, _ in recordings], [clip.id for clip in clips])
    features = [found.cpu().numpy().astype(np.float16) for found in heard]
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate(features), allow_pickle=False)
    write_atomically(_file(output, number, "npy"), buffer.getvalue())
    lines: list[dict[str, Any]] = [
        {
            "id": clip.id,
            "text": clip.sample.text,
            "language": clip.sample.language,
            "speaker": clip.sample.speaker or "",
            "split": clip.split,
            "frames": len(found),
            "words": [],
            "metadata": clip.sample.metadata | ({} if condition is None else {"condition": condition}),
        }
        for clip, found, (_, condition) in zip(clips, features, recordings, strict=True)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_atomically(_file(output, number, "jsonl"), text.encode())


def _file(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"features-{number:05d}.{suffix}"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
