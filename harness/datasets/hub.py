"""The dataset hub, through its own libraries (extra `hub`): rows of a dataset, and files of its repository.

Gated datasets need a token, as the libraries read it (`HF_TOKEN`). `HF_ENDPOINT` names another hub. Downloaded files
stay in the libraries' cache, so a fetch that was stopped goes on with the files that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech_eval.datasets.catalog import HubSource
from speech_eval.errors import BadInput, NotFetched, require

EXTRA = "hub"
_BATCH = 16  # rows of a file in memory at once


def pinned(source: HubSource, remedy: str) -> HubSource:
    """The source at a commit: the one that it names, else the newest of its repository. A local folder has none.

    Raises `MissingExtra` without the library, `NotFetched` with `remedy` where the hub does not answer.
    """
    if source.revision is not None or Path(source.repo).is_dir():
        return source
    hub = require("huggingface_hub", EXTRA)
    info = _asked(source.repo, remedy, lambda: hub.HfApi().dataset_info(source.repo))
    return source.model_copy(update={"revision": info.sha})


def rows(source: HubSource, remedy: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a dataset's splits, recordings as the bytes that the hub holds: never decoded and encoded again.

    Only the files of these splits are downloaded. Raises `MissingExtra` without the library, `NotFetched` with `remedy`
    where the hub does not give the dataset.
    """
    library = require("datasets", EXTRA)
    builder = _asked(
        source.repo,
        remedy,
        lambda: library.load_dataset_builder(source.repo, source.config, revision=source.revision),
    )
    files: Mapping[str, Sequence[str]] = builder.config.data_files or {}
    splits = list(files) if source.split == "*" else source.split.split("+")
    if lacking := [split for split in splits if split not in files]:
        raise NotFetched(f"{source.repo} has no split '{lacking[0]}', only {', '.join(map(str, files))}.", remedy)
    wanted = [str(file) for split in splits for file in files[split]]
    if all(file.endswith(".parquet") for file in wanted):
        paths = _asked(source.repo, remedy, lambda: library.DownloadManager().download(wanted))
        return _rows_of(map(Path, paths))
    return iter(_asked(source.repo, remedy, lambda: _loaded(library, source)))


def _rows_of(files: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    pyarrow, parquet = require("pyarrow", EXTRA), require("pyarrow.parquet", EXTRA, "pyarrow")
    for file in files:
        try:
            for batch in parquet.ParquetFile(file).iter_batches(batch_size=_BATCH):
                yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise BadInput(f"{file}: not a readable parquet file ({error}).", "Delete it, and fetch again.") from None


def _loaded(library: Any, source: HubSource) -> Any:
    """The rows of files in another format than parquet, as the library reads them."""
    split = "all" if source.split == "*" else source.split
    found = library.load_dataset(source.repo, source.config, split=split, revision=source.revision)
    for column, feature in found.features.items():
        if isinstance(feature, library.Audio):
            found = found.cast_column(column, library.Audio(decode=False))
    return found


def files(source: HubSource, patterns: Sequence[str], remedy: str, folder: Path | None = None) -> Path:
    """The folder of the repository's files that match the patterns: `folder`, or the library's cache for None.

    Raises `MissingExtra` without the library, `NotFetched` with `remedy` where the hub does not give them.
    """
    if Path(source.repo).is_dir():
        return Path(source.repo)
    hub = require("huggingface_hub", EXTRA)
    options = {"repo_type": "dataset", "revision": source.revision, "local_dir": folder}
    ask = lambda: hub.snapshot_download(source.repo, allow_patterns=list(patterns), **options)  # noqa: E731
    return Path(_asked(source.repo, remedy, ask))


def _asked(repo: str, remedy: str, ask: Callable[[], Any]) -> Any:
    """The answer to `ask`; every failure becomes one error, because the libraries' exceptions share no base class."""
    try:
        return ask()
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise NotFetched(f"The hub does not give {repo}: {first}.", remedy) from error
