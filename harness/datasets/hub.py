"""The dataset hub, through its own libraries (extra `hub`): rows of a dataset, and files of its repository.

Gated datasets need a token, as the libraries read it (`HF_TOKEN`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech_eval.datasets.catalog import HubSource
from speech_eval.errors import NotFetched, require

EXTRA = "hub"


def rows(source: HubSource, remedy: str) -> Iterable[Mapping[str, Any]]:
    """The rows of a dataset, recordings as the bytes that the hub holds: never decoded and encoded again.

    Raises `MissingExtra` without the library, `NotFetched` with `remedy` where the hub does not give the dataset.
    """
    library = require("datasets", EXTRA)

    def ask() -> Any:
        found = library.load_dataset(source.repo, source.config, split=source.split, revision=source.revision)
        for column, feature in found.features.items():
            if isinstance(feature, library.Audio):
                found = found.cast_column(column, library.Audio(decode=False))
        return found

    return _asked(source.repo, remedy, ask)


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
