"""The shipped workers as entries of the model catalog, from their `worker.toml`. Imports no adapter."""

from __future__ import annotations

import tomllib
from pathlib import Path

from speech_eval.adapters.base import Adapter
from speech_eval.adapters.entry import Entry

HERE = Path(__file__).parent
DESCRIBED = {file.parent.name: tomllib.loads(file.read_text("utf-8")) for file in sorted(HERE.glob("*/worker.toml"))}

ENTRIES = tuple(
    Entry(
        f"{name} (worker)",
        f"{__name__}:{name}",
        tuple(told["interfaces"]),
        told["summary"],
        told["source"],
        usage=f"worker:{name}",
        scheme="speech_eval.adapters.remote.worker.folder:scheme",
    )
    for name, told in DESCRIBED.items()
)


def __getattr__(name: str) -> type[Adapter]:
    """The adapter class of a worker, which its entry names by this module and the worker's name."""
    if name not in DESCRIBED:
        raise AttributeError(name)
    from speech_eval.adapters.remote.worker.adapters import worker_class
    from speech_eval.adapters.remote.worker.folder import read_folder

    return worker_class(read_folder(HERE / name))
