"""Datasets and weights: fetch them, check them."""

from __future__ import annotations

from collections.abc import Iterable

from speech_eval import datasets
from speech_eval.api.evaluate import PathLike_, listed
from speech_eval.assets import store as assets
from speech_eval.progress import Progress, drawn


def fetch_data(names: str | Iterable[str], *, progress: bool | Progress = False) -> dict[str, str]:
    """Fetch datasets and weights by name; `all` fetches every bundled dataset and all weights.

    Bundled ones are pinned by version and sha256, others come from the dataset hub. Returns the folder of each asset,
    `ready` for each dataset.
    """
    wanted = [*datasets.bundled(), *assets.ASSETS] if names == "all" else listed(names)
    with drawn(progress) as shown:
        return {name: _fetched(name, shown) for name in wanted}


def _fetched(name: str, progress: Progress) -> str:
    if name in assets.ASSETS:
        return str(assets.ensure(name, progress))
    datasets.fetch(name, progress)
    datasets.load_dataset(name).ensure_audio(progress)
    return "ready"


def check_data(name: PathLike_, *, language: str | None = None) -> list[str]:
    """The problems of a dataset (name, manifest or folder), one line each; empty where every file is usable.

    A file must be present, have its sha256, be readable, have one channel, and be finite and not silent; and
    a text must have a known language. `language` is that of the samples that state none.
    """
    return datasets.check(datasets.load_dataset(str(name), language=language))
