"""Benchmark sets of the dataset hub by name, written down once as a manifest with its recordings in the cache.

The library `datasets` (extra `hub`) reads them; recordings are kept as the bytes that the hub holds, never decoded
and encoded again. Gated sets want a token, as the hub's own tools do (`HF_TOKEN`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speech_eval.assets import store as assets
from speech_eval.cache import make_once
from speech_eval.errors import BadInput, NotFetched, require
from speech_eval.progress import Progress, silent

EXTRA = "hub"
MANIFEST = "manifest.jsonl"
_ASR_FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "file_name"),
    "text": ("text", "sentence", "normalized_text", "transcript", "transcription"),
    "audio": ("audio",),
}
_SEED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": ("sample_id",),
    "text": ("target_text",),
    "prompt_audio": ("ref_audio",),
    "prompt_text": ("ref_text",),
}
_RECORDINGS = ("audio", "prompt_audio")
_SUFFIXES = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg"}


@dataclass(frozen=True)
class HubSet:
    """One set: `repo`, its `config` and `split`; `revision` where it is pinned.

    `fields` names, for each field of a sample, the columns that may hold it, the first that is there counting; other
    plain columns become metadata. `parents` is the repository whose rows hold the texts of chunked recordings.
    `files` says which files of the repository to fetch as they are, for a set in the layout of the original benchmark.
    """

    repo: str
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    language: str = "en"
    license: str = "see the hub's page"
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _ASR_FIELDS)
    parents: str | None = None
    files: tuple[str, ...] = ()
    drops_blank: bool = True  # as the Open ASR Leaderboard's data step does, before a model hears the recording


def _open_asr() -> dict[str, HubSet]:
    repo, license = "hf-audio/open-asr-leaderboard", "that of each corpus; see the hub's page"
    configs = ("ami", "earnings22", "gigaspeech", "spgispeech", "tedlium", "voxpopuli")
    cleaned = ("ami_cleaned", "gigaspeech_cleaned", "voxpopuli_cleaned_aa")
    sets = {config.replace("_", "-"): HubSet(repo, config, license=license) for config in (*configs, *cleaned)}
    for kind in ("clean", "other"):
        sets[f"librispeech-{kind}"] = HubSet(repo, "librispeech", f"test.{kind}", license="CC-BY-4.0")
    chunked = "ArtificialAnalysis/Earnings22-Cleaned-AA"
    sets["earnings22-cleaned-aa-chunked"] = HubSet(f"{chunked}-chunked", parents=chunked)
    for corpus, languages in (("fleurs", "de fr it es pt"), ("mcv", "de es fr it"), ("mls", "es fr it pt")):
        for language in languages.split():
            repo = "hf-audio/open-asr-leaderboard-multilingual-datasets"
            sets[f"{corpus}-{language}"] = HubSet(repo, f"{corpus}_{language}", language=language, license=license)
    return {f"open-asr:{name}": found for name, found in sets.items()}


_MIRROR = "zhaochenyang20/seed-tts-eval"
_ARROW: dict[str, Any] = {"revision": "81d1901582dee1293a537a6d945d084301712c41", "fields": _SEED_FIELDS}
SETS: dict[str, HubSet] = {
    **_open_asr(),
    "seed-tts-en": HubSet(f"{_MIRROR}-arrow", split="en", license="CC0-1.0 (Common Voice)", **_ARROW),
    "seed-tts-zh": HubSet(f"{_MIRROR}-arrow", split="zh", language="zh", license="DiDiSpeech-2's", **_ARROW),
    "seed-tts-hard": HubSet(
        _MIRROR,
        revision="8f5e1aa2a35d42f42e940074c1983358b9491f89",
        language="zh",
        license="DiDiSpeech-2's",
        files=("zh/hardcase.lst", "zh/prompt-wavs/*"),
    ),
}
_COMMON = ("open-asr:librispeech-clean", "open-asr:librispeech-other", "open-asr:spgispeech")
_CLEANED = ("open-asr:ami-cleaned", "open-asr:gigaspeech-cleaned", "open-asr:voxpopuli-cleaned-aa")
_FIRST = tuple(f"open-asr:{name}" for name in ("ami", "earnings22", "gigaspeech", "tedlium", "voxpopuli"))
# The sets of the Open ASR Leaderboard's averages, epoch by epoch; without an epoch, those of the last.
GROUPS: dict[str, tuple[str, ...]] = {
    **{f"open-asr@{epoch}": (*_FIRST, *_COMMON) for epoch in "ABC"},
    "open-asr@D": (*_CLEANED, "open-asr:earnings22", *_COMMON),
    "open-asr@E": (*_CLEANED, "open-asr:earnings22-cleaned-aa-chunked", *_COMMON),
    "open-asr": (*_CLEANED, "open-asr:earnings22-cleaned-aa-chunked", *_COMMON),
    "open-asr-multilingual": tuple(n for n, s in SETS.items() if n.startswith("open-asr:") and s.language != "en"),
}


def names() -> list[str]:
    """Sets and groups of sets."""
    return sorted({*SETS, *GROUPS})


def ensure(location: str, progress: Progress = silent) -> None:
    """Fetch the hub's sets that `location` names: a set, a group, or several of either parted by commas."""
    for part in location.split(","):
        for name in GROUPS.get(part, (part,)):
            if name in SETS:
                fetch(name, progress)


def folder(name: str) -> Path:
    """Where a set lies once it is fetched."""
    return assets.cache_dir() / "hub" / name.replace(":", "-")


def present(name: str) -> Path:
    """The set's folder. Raises `NotFetched` where it is not on this machine."""
    path = folder(name)
    if not path.is_dir():
        raise NotFetched(f"The dataset '{name}' is not on this machine yet.", f"Run: speech-eval data fetch {name}")
    return path


def fetch(name: str, progress: Progress = silent) -> Path:
    """The set's folder, fetched where it is lacking; whole or not at all.

    Raises `MissingExtra` without the library, `NotFetched` where the hub cannot be reached or does not give the set.
    """
    source = SETS[name]

    def make(work: Path) -> None:
        if source.files:
            _snapshot(source, work)
        else:
            write(name, source, work, progress)

    return make_once(folder(name), make)


def write(name: str, source: HubSet, work: Path, progress: Progress = silent) -> None:
    """Write `source` down in the folder `work`: the manifest, and each recording once."""
    rows = _rows(source)
    kept: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, row in enumerate(rows):
        progress(f"{name}: fetch", number, None)
        line = _line(name, source, number, row, work)
        if source.drops_blank and _blank(line.get("text"), source.language):
            continue
        if line["id"] in seen:
            line["id"] = f"{line['id']}-{number}"
        seen.add(line["id"])
        kept.append(line)
    if not kept:
        raise BadInput(f"{name}: {source.repo} gave no rows with a text.", "Look at the set on the hub.")
    header = {
        "name": name,
        "version": (source.revision or "unpinned")[:12],
        "description": f"{source.repo}, {source.config or 'default'}, {source.split}",
        "languages": [source.language],
        "license": source.license,
        "source": f"hub dataset {source.repo}",
    }
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (header, *kept))
    (work / MANIFEST).write_text(text, encoding="utf-8")


def _blank(text: str | None, language: str) -> bool:
    from speech_eval.metrics.open_asr import NOT_SCORED
    from speech_eval.text.open_asr import open_asr_english

    text = (text or "").strip() if language != "en" else open_asr_english(text or "", "E").strip()
    return text in ("", NOT_SCORED)


def _line(name: str, source: HubSet, number: int, row: Mapping[str, Any], work: Path) -> dict[str, Any]:
    """One row as a sample of a manifest; its recordings are written to `work`."""
    line: dict[str, Any] = {"language": source.language}
    used = set()
    for wanted, columns in source.fields.items():
        column = next((column for column in columns if row.get(column) is not None), None)
        if column is None and wanted != "id":
            raise BadInput(
                f"{name}, row {number}: no column {' or '.join(columns)} (there are {', '.join(row)}).",
                "The set has changed on the hub; download it and write a manifest (docs/data.md).",
            )
        if column is not None:
            line[wanted] = row[column]
            used.add(column)
    line["id"] = re.sub(r"[^\w.+-]+", "-", Path(str(line.get("id", number))).name) or str(number)
    for key in _RECORDINGS:
        if key in line:
            line[key] = _recording(line[key], f"{number}-{key}", work)
    plain = {key: row[key] for key in row if key not in used and isinstance(row[key], str | int | float)}
    line["metadata"] = {**plain, "set": name.removeprefix("open-asr:")}
    return line


def _recording(value: Any, stem: str, work: Path) -> str:
    """Write a recording as the hub has it and return its file's name."""
    path = value.get("path") if isinstance(value, Mapping) else value
    data = (value.get("bytes") if isinstance(value, Mapping) else None) or Path(str(path)).read_bytes()
    file = stem + (_SUFFIXES.get(data[:4]) or Path(str(path or "")).suffix or ".mp3")
    (work / file).write_bytes(data)
    return file


# ---------------------------------------------------------------------------------------------- the hub


def _rows(source: HubSet) -> Iterator[Mapping[str, Any]]:
    rows = _load(source.repo, source)
    if source.parents is None:
        return iter(rows)
    return _chunks(source, rows)


def _chunks(source: HubSet, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Chunks of calls with the text of the whole call, and the recording that their metadata only names."""
    assert source.parents is not None
    column = next(iter(_ASR_FIELDS["audio"]))
    parents = _load(source.parents, source)
    texts = {row["id"]: next(row[c] for c in source.fields["text"] if row.get(c)) for row in parents}
    files = _files(source.repo, ("audio/*",), source.revision) / "audio"
    for row in rows:
        if row["parent_id"] not in texts:
            raise BadInput(f"{source.parents} has no text of call '{row['parent_id']}'.", "Try again later.")
        yield {**row, "text": texts[row["parent_id"]], column: str(files / row["file_name"])}


def _load(repo: str, source: HubSet) -> Any:
    """The rows of a set, with recordings as bytes."""
    library = require("datasets", EXTRA)

    def ask() -> Any:
        rows = library.load_dataset(repo, source.config, split=source.split, revision=source.revision)
        for column, feature in rows.features.items():
            if isinstance(feature, library.Audio):
                rows = rows.cast_column(column, library.Audio(decode=False))
        return rows

    return _asked(repo, ask)


def _snapshot(source: HubSet, work: Path) -> None:
    """The files of a set in its original layout."""
    hub = require("huggingface_hub", EXTRA)
    options: dict[str, Any] = {"repo_type": "dataset", "revision": source.revision, "local_dir": work}
    _asked(source.repo, lambda: hub.snapshot_download(source.repo, allow_patterns=list(source.files), **options))
    if not (work / source.files[0]).is_file():
        raise NotFetched(
            f"{source.repo} holds no {source.files[0]}.", "Give the benchmark's own folder with --data FOLDER."
        )


def _files(repo: str, patterns: Sequence[str], revision: str | None) -> Path:
    if Path(repo).is_dir():
        return Path(repo)
    hub = require("huggingface_hub", EXTRA)
    found = _asked(
        repo,
        lambda: hub.snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=list(patterns)),
    )
    return Path(found)


def _asked(repo: str, ask: Callable[[], Any]) -> Any:
    """Ask the hub; whatever goes wrong there is named with the repository."""
    try:
        return ask()
    except Exception as error:  # the hub's libraries share no base class
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise NotFetched(
            f"The hub does not give {repo}: {first}",
            "Check the network, and HF_TOKEN for gated sets; or give a folder of your own with --data.",
        ) from error
