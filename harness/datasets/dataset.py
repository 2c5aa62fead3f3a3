"""A dataset: a header and its samples, with subsets, splits and unions."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from speech_eval.assets import store as assets
from speech_eval.assets.archives import safe_relative
from speech_eval.audio import audio_sha256
from speech_eval.datasets import spoken
from speech_eval.datasets.roots import absolute
from speech_eval.errors import BadAudio, BadInput, NotFetched
from speech_eval.progress import Progress
from speech_eval.records import DatasetInfo, Sample

SPLITS = ("train", "held-out")
AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".webm", ".wma", ".aif", ".aiff", ".au", ".sph")
)


@dataclass(frozen=True)
class Dataset:
    """`samples` with the header `info`. `sha256` identifies the samples, whatever their order; `root` is the folder of
    their files (None: all files lie in assets, or in the `parts`).

    `limit` is the number of samples asked for, set on a subset only. `parts` are the datasets of a union; the name of
    a part begins the paths of its samples. Of one's own data, `columns` are those of the file and `note` says what the
    data was taken for. `spoken` says that this machine makes the recordings (`datasets.spoken`).
    """

    info: DatasetInfo
    samples: tuple[Sample, ...]
    sha256: str
    root: Path | None = None
    limit: int | None = None
    parts: Mapping[str, Dataset] = dataclasses.field(default_factory=dict)
    columns: tuple[str, ...] = ()
    note: str = ""
    spoken: bool = False

    def __post_init__(self) -> None:
        if self.root is not None:  # the same folder where a model changes the working directory
            object.__setattr__(self, "root", self.root.absolute())

    @classmethod
    def of(cls, info: DatasetInfo, samples: Iterable[Sample], root: Path | None = None) -> Dataset:
        """A dataset of these samples. Its `sha256` depends on neither the header nor `root`."""
        kept = tuple(samples)
        return cls(info, kept, _identity(kept), root)

    def __len__(self) -> int:
        return len(self.samples)

    def subset(self, limit: int | float | None) -> Dataset:
        """The `limit` samples whose ids have the lowest hashes, in the order of the dataset; a float is a share of it.

        The choice is the same everywhere, and a smaller subset is part of a larger one. For None, or a limit at or
        above the size, the dataset itself. Raises `BadInput` for a limit below 1, or a share outside ]0, 1].
        """
        if limit is None:
            return self
        if isinstance(limit, float):
            if not 0 < limit <= 1:
                raise BadInput(f"A limit of {limit} is not a share of the samples.", "Give 0.1 for a tenth of them.")
            limit = max(1, round(limit * len(self.samples)))
        if limit < 1:
            raise BadInput(f"A limit of {limit} samples leaves nothing to do.", "Give 1 or more.")
        if limit >= len(self.samples):
            return self
        ranked = sorted(self.samples, key=lambda sample: hashlib.sha256(sample.id.encode()).digest())
        chosen = {sample.id for sample in ranked[:limit]}
        return dataclasses.replace(self._keeping(chosen), limit=limit)

    def _keeping(self, ids: set[str]) -> Dataset:
        kept = tuple(sample for sample in self.samples if sample.id in ids)
        return dataclasses.replace(self, samples=kept, sha256=_identity(kept))

    def audio_path(self, relative: str) -> Path:
        """The file of a sample's `audio` or `prompt_audio`: `<asset>/<file>` in an asset, else relative to `root`.

        Raises `BadInput` for a path that leaves its folder, `NotFetched` where the asset is not on this machine, and
        `BadAudio` for a file whose sha256 is not what a sample states; each state of a file is hashed once.
        """
        path = self.located(relative)
        for sha256 in self._stated.get(relative, ()):
            check_digest(path, sha256)
        return path

    @cached_property
    def _stated(self) -> dict[str, set[str]]:
        """Each audio path with every sha256 that samples state for it."""
        found: dict[str, set[str]] = {}
        for path, digest in self.audio_digests():
            if digest:
                found.setdefault(path, set()).add(digest)
        return found

    def located(self, relative: str) -> Path:
        """`audio_path` without a look at the file's content."""
        path = safe_relative(relative)
        if path.parts[0] in self.parts:
            return self.parts[path.parts[0]].located(str(path.relative_to(path.parts[0])))
        if path.parts[0] in self.info.assets:
            return assets.directory(path.parts[0]).joinpath(*path.parts[1:])
        if self.root is None:
            raise BadInput(
                f"{self.info.name}: '{relative}' lies in no asset of the dataset.",
                f"Begin it with one of: {', '.join(self.info.assets) or '(the dataset names no assets)'}.",
            )
        return absolute(str(path), self.root)

    def audio_files(self) -> dict[str, str | None]:
        """Every audio path that the samples name, prompts included, with its sha256 where a sample states one."""
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
        """Fetch the assets of the dataset, and make the recordings that this machine makes. Raises `NotFetched` naming
        the audio files that are missing then."""
        for name in self.info.assets:
            assets.ensure(name, progress)
        for prefix, part in self.parts.items():
            part._keeping(self._ids_of(prefix, part)).ensure_audio(progress)
        if self.spoken:
            spoken.ensure(self.info.name, self.samples, progress)
        missing = [path for path in self.audio_files() if not self.located(path).is_file()]
        if missing:
            named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise NotFetched(
                f"{self.info.name}: {len(missing)} audio files are not there: {named}.",
                f"Put them under {self.root}, or remove their lines from the manifest.",
            )

    def _ids_of(self, prefix: str, part: Dataset) -> set[str]:
        """The samples of a part whose recordings this dataset names."""
        wanted = self.audio_files()
        return {s.id for s in part.samples if any(f"{prefix}/{path}" in wanted for path in (s.audio, s.prompt_audio))}

    def weights(self) -> set[str]:
        """Names of the assets that making or reading the recordings takes."""
        own = {*self.info.assets, *(spoken.weights(map(spoken.parts_of, self.samples)) if self.spoken else ())}
        return own.union(*(part.weights() for part in self.parts.values()))

    def is_present(self) -> bool:
        """Whether every audio file exists on this machine; contents are not read."""
        return (
            all(assets.is_present(name) for name in self.info.assets)
            and all(part.is_present() for part in self.parts.values())
            and all(self.located(path).is_file() for path in self.audio_files())
        )


def check_digest(path: Path, sha256: str | None) -> None:
    """Raise `BadAudio` for a file that is there and has another sha256 than is stated, or is larger than any audio."""
    if sha256 and path.is_file() and (found := audio_sha256(path)) != sha256:
        raise BadAudio(
            f"{path}: its sha256 is {found[:12]}…, and the dataset states {sha256[:12]}….",
            "Get the file again, or correct the dataset.",
        )


def _identity(samples: Iterable[Sample]) -> str:
    """The sha256 of the sorted lines of the samples."""
    return hashlib.sha256("".join(sorted(sample.line() + "\n" for sample in samples)).encode()).hexdigest()


def union(name: str, parts: Sequence[Dataset]) -> Dataset:
    """One dataset of several. The name of the part begins each id and path, and is the sample's metadata `set`, unless
    the sample has one. Raises `BadInput` where two parts have the same name."""
    by_name = {part.info.name.replace("/", "-"): part for part in parts}
    if len(by_name) < len(parts):
        raise BadInput(
            f"Two datasets of '{name}' have the same name.", "Give each manifest a header with its own name."
        )
    samples = []
    for prefix, part in by_name.items():
        for sample in part.samples:
            paths = {key: f"{prefix}/{path}" for key in ("audio", "prompt_audio") if (path := getattr(sample, key))}
            own = {"id": f"{prefix}-{sample.id}", "metadata": {"set": prefix, **sample.metadata}, **paths}
            samples.append(sample.model_copy(update=own))
    infos = [part.info for part in parts]
    info = DatasetInfo(
        name=name,
        version=", ".join(dict.fromkeys(info.version for info in infos)),
        description=f"{', '.join(by_name)} together",
        languages=sorted({language for info in infos for language in info.languages}),
        license="; ".join(dict.fromkeys(info.license for info in infos)),
        source="; ".join(dict.fromkeys(info.source for info in infos)),
        attribution="; ".join(dict.fromkeys(info.attribution for info in infos if info.attribution)),
    )
    notes = {part.info.name: part.note for part in parts if part.note}
    note = " ".join(f"{name}: {text}" for name, text in notes.items())
    return dataclasses.replace(Dataset.of(info, samples), parts=by_name, note=note)


def held_out(sample_id: str) -> bool:
    """Whether a sample is in the eighth of every dataset that no model is trained on: a function of its id alone."""
    return hashlib.sha256(f"held-out/{sample_id}".encode()).digest()[0] < 32


def split(dataset: Dataset, part: str) -> Dataset:
    """The samples that `held_out` keeps from training (`part` is "held-out"), or the others ("train").

    Raises `BadInput` where the split is empty.
    """
    chosen = {sample.id for sample in dataset.samples if held_out(sample.id) == (part == "held-out")}
    if not chosen:
        raise BadInput(f"{dataset.info.name} has no sample in its split '{part}'.", "Use the whole dataset.")
    info = dataset.info.model_copy(update={"name": f"{dataset.info.name}@{part}"})
    return dataclasses.replace(dataset._keeping(chosen), info=info)


def split_name(name: str) -> tuple[str, str]:
    """`NAME@train` as ("NAME", "train"); a name without a split with an empty second part."""
    base, _, part = name.rpartition("@")
    return (base, part) if base and part in SPLITS else (name, "")
