"""Datasets: a header and its samples, from the bundled manifests, a manifest file, an audio folder or a `meta.lst`.

A dataset's identity is the sha256 of its sample lines, audio digests included, in whatever order and wherever they lie.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speech_eval.assets import store as assets
from speech_eval.assets.archives import safe_relative
from speech_eval.audio import load as load_audio
from speech_eval.cache import file_sha256
from speech_eval.datasets import hub
from speech_eval.errors import BadInput, NotFetched, SpeechEvalError, UnknownName
from speech_eval.progress import Progress
from speech_eval.records import DatasetInfo, Sample

_DATA = Path(__file__).parent / "manifests"
ALIASES = {"speech-en": "asterisk-en"}
_FALLBACKS = {"asterisk-en": "librivox-en"}
# Datasets of tasks that are not bundled: the beginning of their names, and how to get them.
_ELSEWHERE = {
    "voicebench-": "Get the subset from the hub dataset hlt-lab/voicebench, write it down as docs/protocols.md shows, "
    "and give the folder with --data."
}
SPLITS = ("train", "held-out")
# Where each subset of Seed-TTS-eval lies in the benchmark's folder, or in the folder of its language.
_SEED_LISTS = {
    "seed-tts-en": ("en/meta.lst",),
    "seed-tts-zh": ("zh/meta.lst",),
    "seed-tts-hard": ("zh/hardcase.lst", "hardcase.lst"),
}
_SILENT_PEAK = 1e-4
_LOWEST_RATE = 8000


@dataclass(frozen=True)
class Dataset:
    """`samples` under the header `info`; `sha256` identifies the samples, `root` is the folder of their files.

    `limit` is set on a subset only: how many samples were asked for. `parts` are the datasets that a union is made of:
    the name of each begins its paths.
    """

    info: DatasetInfo
    samples: tuple[Sample, ...]
    sha256: str
    root: Path | None = None
    limit: int | None = None
    parts: Mapping[str, Dataset] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, info: DatasetInfo, samples: Iterable[Sample], root: Path | None = None) -> Dataset:
        """A dataset of these samples; its identity does not depend on the header or on `root`."""
        kept = tuple(samples)
        return cls(info, kept, _identity(kept), root)

    def __len__(self) -> int:
        return len(self.samples)

    def subset(self, limit: int | None) -> Dataset:
        """The `limit` samples whose ids hash lowest, in the dataset's order: the same ones everywhere, and a smaller
        subset lies inside a larger one. The dataset itself where it is no larger, or for None."""
        if limit is None:
            return self
        if limit < 1:
            raise BadInput(f"A limit of {limit} samples leaves nothing to do.", "Give 1 or more.")
        if limit >= len(self.samples):
            return self
        ranked = sorted(self.samples, key=lambda sample: hashlib.sha256(sample.id.encode()).digest())
        chosen = {sample.id for sample in ranked[:limit]}
        kept = tuple(sample for sample in self.samples if sample.id in chosen)
        return dataclasses.replace(self, samples=kept, sha256=_identity(kept), limit=limit)

    def audio_path(self, relative: str) -> Path:
        """Where a sample's `audio` or `prompt_audio` lies: `<asset>/<file>` in an asset, else under the root.

        Raises `BadInput` for a path that leaves its folder, `NotFetched` where the asset is not on this machine.
        """
        path = safe_relative(relative)
        if path.parts[0] in self.parts:
            return self.parts[path.parts[0]].audio_path(str(path.relative_to(path.parts[0])))
        if path.parts[0] in self.info.assets:
            return assets.directory(path.parts[0]).joinpath(*path.parts[1:])
        if self.root is None:
            raise BadInput(
                f"{self.info.name}: '{relative}' lies in no asset of the dataset.",
                f"Begin it with one of: {', '.join(self.info.assets) or '(the dataset names no assets)'}.",
            )
        return self.root / path

    def audio_files(self) -> dict[str, str | None]:
        """Every audio path that the samples name, prompts included, with its sha256 where the manifest has one."""
        return dict(self.audio_digests())

    def audio_digests(self) -> list[tuple[str, str | None]]:
        """Each audio path with each sha256 that a sample states for it, None where a sample states none."""
        pairs: dict[tuple[str, str | None], None] = {}
        for sample in self.samples:
            if sample.audio is not None:
                pairs[sample.audio, sample.audio_sha256] = None
            if sample.prompt_audio is not None:
                pairs[sample.prompt_audio, sample.prompt_audio_sha256] = None
        return list(pairs)

    def ensure_audio(self, progress: Progress | None = None) -> None:
        """Fetch the assets of the dataset; then every audio file must be there, or `NotFetched` names what is not."""
        for name in self.info.assets:
            assets.ensure(name, progress)
        for part in self.parts.values():
            part.ensure_audio(progress)
        missing = [path for path in self.audio_files() if not self.audio_path(path).is_file()]
        if missing:
            named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise NotFetched(
                f"{self.info.name}: {len(missing)} audio files are not there: {named}.",
                f"Put them under {self.root}, or take their lines out of the manifest.",
            )

    def is_present(self) -> bool:
        """Whether every audio file is on this machine, by name."""
        if not all(assets.is_present(name) for name in self.info.assets):
            return False
        if not all(part.is_present() for part in self.parts.values()):
            return False
        return all(self.audio_path(path).is_file() for path in self.audio_files())


def _identity(samples: Iterable[Sample]) -> str:
    """The same in whatever order the samples are listed: no number depends on it."""
    return hashlib.sha256("".join(sorted(sample.line() + "\n" for sample in samples)).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------- by name


def names() -> list[str]:
    """The bundled datasets."""
    return sorted(path.stem for path in _DATA.glob("*.jsonl"))


def fallback(name: str) -> str | None:
    """A dataset to use where `name` needs Debian packages that cannot be had; None where there is none."""
    base, _, part = name.rpartition("@")
    name = base if part in SPLITS else name
    return _FALLBACKS.get(ALIASES.get(name, name))


def load(name_or_path: str | Path, wanted: str = "") -> Dataset:
    """A bundled dataset by name, a set of the hub that is fetched, or one's own: a manifest, an audio folder or a
    `meta.lst`, by path. `@train` or `@held-out` after any takes that split; several parted by commas are united.

    `wanted` is the dataset that the task names: it tells which list of an original benchmark's folder is meant.
    Nothing is fetched. Raises `UnknownName` for what is neither, `NotFetched` for a set of the hub that is not on this
    machine, `BadInput` naming file and line for what cannot be used.
    """
    name = ALIASES.get(str(name_or_path), str(name_or_path))
    path = Path(name_or_path)
    base, _, part = name.rpartition("@")
    if base and part in SPLITS:
        return split(load(base, wanted), part)
    if name in hub.GROUPS:
        return united(name, [load(member) for member in hub.GROUPS[name]])
    if "," in name and not path.exists():
        return united(name, [load(member.strip(), wanted) for member in name.split(",")])
    if name in hub.SETS:
        path = hub.present(name)
        wanted = name
    elif name in names():
        return _from_manifest(_DATA / f"{name}.jsonl", bundled=True)
    if path.is_dir():
        path = _metadata_file(path, wanted)
    if not path.is_file():
        for prefix, remedy in _ELSEWHERE.items():
            if name.startswith(prefix):
                raise UnknownName(f"The dataset '{name}' is not bundled.", remedy)
        raise UnknownName(
            f"There is no dataset and no file named '{name_or_path}'.",
            f"Choose one of {', '.join([*names(), *ALIASES, *hub.names()])}, or give the path of a manifest or folder.",
        )
    if path.suffix == ".lst":
        return _from_meta_lst(path, wanted)
    if path.suffix == ".csv":
        return _made(path, _csv_rows(path))
    return _from_manifest(path)


def located(location: str, wanted: str) -> str:
    """`location`, or the list in it where it is an original benchmark's folder and `wanted` one of its subsets."""
    if wanted in _SEED_LISTS and location not in (*names(), *hub.names()) and Path(location).is_dir():
        return str(_metadata_file(Path(location), wanted))
    return location


def united(name: str, parts: Sequence[Dataset]) -> Dataset:
    """One dataset of several. Ids begin with the name of the part, which is also each sample's metadata `set`."""
    by_name = {part.info.name.replace("/", "-"): part for part in parts}
    if len(by_name) < len(parts):
        raise BadInput(f"Two of '{name}' have one name.", "Give each manifest a header with a name of its own.")
    samples = []
    for prefix, part in by_name.items():
        for sample in part.samples:
            paths = {key: f"{prefix}/{path}" for key in ("audio", "prompt_audio") if (path := getattr(sample, key))}
            metadata = {"set": prefix, **sample.metadata}
            own = {"id": f"{prefix}-{sample.id}", "metadata": metadata, **paths}
            samples.append(sample.model_copy(update=own))
    info = DatasetInfo(
        name=name,
        version=", ".join(dict.fromkeys(part.info.version for part in parts)),
        description=f"{', '.join(by_name)} together",
        languages=sorted({language for part in parts for language in part.info.languages}),
        license="; ".join(dict.fromkeys(part.info.license for part in parts)),
        source="; ".join(dict.fromkeys(part.info.source for part in parts)),
        attribution="; ".join(dict.fromkeys(part.info.attribution for part in parts if part.info.attribution)),
    )
    return dataclasses.replace(Dataset.of(info, samples), parts=by_name)


def held_out(sample_id: str) -> bool:
    """Whether a sample is of the eighth of every dataset that nothing is trained on: a function of its id alone."""
    return hashlib.sha256(f"held-out/{sample_id}".encode()).digest()[0] < 32


def split(dataset: Dataset, part: str) -> Dataset:
    """`NAME@held-out`, the samples that `held_out` keeps from training, or `NAME@train`, the others."""
    kept = tuple(sample for sample in dataset.samples if held_out(sample.id) == (part == "held-out"))
    if not kept:
        raise BadInput(f"{dataset.info.name} has no sample in its split '{part}'.", "Use the whole dataset.")
    info = dataset.info.model_copy(update={"name": f"{dataset.info.name}@{part}"})
    return dataclasses.replace(dataset, info=info, samples=kept, sha256=_identity(kept))


def summary(name: str | Path) -> dict[str, Any]:
    """What a dataset is, as plain data; `seconds` is None where a sample does not state its length."""
    dataset = load(name)
    lengths = [sample.metadata.get("seconds") for sample in dataset.samples]
    seconds = None if None in lengths else round(sum(length for length in lengths if length is not None), 1)
    info = dataset.info.model_dump(exclude={"schema_version"})
    return {**info, "n": len(dataset), "seconds": seconds, "sha256": dataset.sha256, "present": dataset.is_present()}


# ---------------------------------------------------------------------------------------------- reading


Row = tuple[int, dict[str, Any]]


def _metadata_file(folder: Path, wanted: str) -> Path:
    known = (*_SEED_LISTS.get(wanted, ()), "metadata.jsonl", "metadata.csv", "meta.lst")
    for name in (hub.MANIFEST, *known):
        if (folder / name).is_file():
            return folder / name
    raise BadInput(
        f"{folder} holds no {', '.join(known[:-1])} or {known[-1]}.",
        'Add a metadata.jsonl with one line a file: {"file_name": "a.wav", "text": "what is said"}.',
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered from 1; only a line feed ends a line, as JSON text may hold others."""
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}:{number}: the text is not UTF-8.", "Save the file as UTF-8.") from None


def _json_rows(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{path}:{number}: not a JSON record ({error}).", "Write one JSON object a line.") from None
        if not isinstance(row, dict):
            raise BadInput(f"{path}:{number}: not a JSON object.", "Write one JSON object a line.")
        yield number, row


def _csv_rows(path: Path) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    for row in reader:
        if None in row or None in row.values():
            raise BadInput(
                f"{path}:{reader.line_num}: the line does not have as many fields as the header.",
                "Quote texts that hold commas.",
            )
        # An empty cell of an optional column is an absent value; an empty text is the user's mistake.
        yield reader.line_num, {key: value for key, value in row.items() if value or key == "text"}


def _from_manifest(path: Path, bundled: bool = False) -> Dataset:
    rows = list(_json_rows(path))
    if rows and "name" in rows[0][1] and not {"id", "file_name"} & rows[0][1].keys():
        number, header = rows[0]
        try:
            info = DatasetInfo.model_validate(header)
        except ValidationError as error:
            raise _invalid(path, number, error) from None
        samples = _samples(path, rows[1:], None if bundled else path.parent, info.assets)
        return Dataset.of(info, samples, None if bundled else path.parent)
    return _made(path, rows)


def _made(path: Path, rows: Iterable[Row], name: str | None = None) -> Dataset:
    """A dataset whose file has no header: its name is the file's, or the folder's for a metadata file."""
    samples = _samples(path, rows, path.parent, [])
    info = DatasetInfo(
        name=name or (path.resolve().parent.name if path.stem == "metadata" else path.stem),
        version="0",
        description=f"Read from {path.name}.",
        languages=sorted({sample.language for sample in samples}),
        license="unknown",
        source="local files",
    )
    return Dataset.of(info, samples, path.parent)


def _samples(path: Path, rows: Iterable[Row], root: Path | None, asset_names: list[str]) -> list[Sample]:
    seen: dict[str, int] = {}
    samples = []
    for number, row in rows:
        sample = _sample(path, number, row)
        if sample.id in seen:
            raise BadInput(
                f"{path}:{number}: the id '{sample.id}' is already on line {seen[sample.id]}.",
                "Give every sample an id of its own.",
            )
        seen[sample.id] = number
        samples.append(_with_digests(sample, root, asset_names))
    if not samples:
        raise BadInput(f"{path}: the dataset has no samples.", "Add one line a sample.")
    return samples


def _sample(path: Path, number: int, row: dict[str, Any]) -> Sample:
    if "file_name" in row:
        row = _audio_folder_row(row)
    try:
        sample = Sample.model_validate(row)
    except ValidationError as error:
        raise _invalid(path, number, error) from None
    if sample.text is not None and not sample.text.strip():
        raise BadInput(f"{path}:{number}: the text is empty.", "Write what is said, or leave 'text' out.")
    for relative in filter(None, (sample.audio, sample.prompt_audio)):
        try:
            safe_relative(relative)
        except BadInput as error:
            raise BadInput(f"{path}:{number}: {error.problem}", error.remedy) from None
    return sample


def _audio_folder_row(row: dict[str, Any]) -> dict[str, Any]:
    """A line of the AudioFolder convention as a sample: columns that a sample does not have become its metadata."""
    renamed = {"file_name": "audio", "prompt_file_name": "prompt_audio"}
    row = {renamed.get(key, key): value for key, value in row.items()}
    own = {key: value for key, value in row.items() if key in Sample.model_fields and key != "metadata"}
    other = {key: value for key, value in row.items() if key not in own}
    own.setdefault("id", str(Path(str(row["audio"])).with_suffix("")).replace("/", "-"))
    return own | {"metadata": other}


def _invalid(path: Path, number: int, error: ValidationError) -> BadInput:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return BadInput(f"{path}:{number}: field '{field}': {first['msg']}.", "See docs/data.md for the fields of a line.")


def _with_digests(sample: Sample, root: Path | None, asset_names: list[str]) -> Sample:
    """The sample with the sha256 of its local files filled in where the manifest lacks them."""
    if root is None:
        return sample
    found = {}
    for field in ("audio", "prompt_audio"):
        relative = getattr(sample, field)
        if relative is None or getattr(sample, f"{field}_sha256") is not None:
            continue
        if relative.split("/")[0] not in asset_names and (root / relative).is_file():
            found[f"{field}_sha256"] = file_sha256(root / relative)
    return sample.model_copy(update=found) if found else sample


def _from_meta_lst(path: Path, wanted: str = "") -> Dataset:
    """The Seed-TTS-eval list: `utt|prompt_text|prompt_wav|infer_text[|gt_wav]`.

    Its folder names the language, unless the subset that is `wanted` does. Without a fifth field, `wavs/<utt>.wav` is
    the human recording where it is there, as in the benchmark's own folder.
    """
    folder = path.resolve().parent.name
    language = {"seed-tts-en": "en", "seed-tts-zh": "zh", "seed-tts-hard": "zh"}.get(wanted)
    language = language or (folder if folder in ("en", "zh") else "en")
    rows: list[Row] = []
    for number, line in _lines(path):
        fields = line.strip().split("|")
        if len(fields) not in (4, 5):
            raise BadInput(
                f"{path}:{number}: {len(fields)} fields, not 4 or 5.",
                "Write utt|prompt_text|prompt_wav|infer_text, and |gt_wav where there is a recording.",
            )
        utterance, prompt_text, prompt, text, *recording = fields
        row = {"id": utterance.strip(), "prompt_text": prompt_text, "prompt_audio": prompt.strip(), "text": text}
        beside = f"wavs/{utterance.strip()}.wav"
        if recording or (path.parent / beside).is_file():
            row["audio"] = recording[0].strip() if recording else beside
        rows.append((number, row | {"language": language}))
    return _made(path, rows, name=f"seed-tts-{language}-{path.stem}")


# ---------------------------------------------------------------------------------------------- checking


def check(dataset: Dataset) -> list[str]:
    """Problems of the audio on this machine, one line each; empty where all is well. Reads every file.

    Looks for files that are missing, differ from their sha256, cannot be read, have two channels, hold NaN, are
    silent (peak below 1e-4) or have a rate below 8 kHz, and for samples with neither text nor audio.
    """
    problems = [f"{sample.id}: neither text nor audio" for sample in dataset.samples if not _has_content(sample)]
    for relative, sha256 in dataset.audio_digests():
        try:
            problem = _file_problem(dataset.audio_path(relative), sha256)
        except SpeechEvalError as error:
            problem = error.problem
        if problem:
            problems.append(f"{relative}: {problem}")
    texts = Counter((sample.text, sample.audio) for sample in dataset.samples if sample.audio)
    problems += [
        f"{audio}: {count} samples with this audio and text" for (_, audio), count in texts.items() if count > 1
    ]
    return problems


def _has_content(sample: Sample) -> bool:
    return sample.text is not None or sample.audio is not None


def _file_problem(path: Path, sha256: str | None) -> str | None:
    if not path.is_file():
        return "the file is missing"
    if sha256 is not None and file_sha256(path) != sha256:
        return "the file differs from the manifest's sha256"
    audio = load_audio(path)
    peak = float(abs(audio.samples).max())
    if peak < _SILENT_PEAK:
        return f"the audio is silent (peak {peak:.1e})"
    return f"a rate of {audio.rate} Hz is below {_LOWEST_RATE} Hz" if audio.rate < _LOWEST_RATE else None
