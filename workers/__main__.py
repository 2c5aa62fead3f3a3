"""`python -m speech_eval.workers [NAME [DIR]]`: list the shipped workers, or copy one to a new folder.

`python -m speech_eval.workers speech_eval_worker.py` copies the library alone to the current folder.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from speech_eval.adapters.remote.worker.folder import LIBRARY, read_folder
from speech_eval.errors import BadInput, SpeechEvalError, clipped, nearest
from speech_eval.workers.catalog import DESCRIBED, HERE

LIBRARY_FILE = LIBRARY / "speech_eval_worker.py"


def main(arguments: Sequence[str]) -> None:
    """List the workers, or copy the one that is named first to the folder that is named second (its own name)."""
    if not arguments:
        for name, told in DESCRIBED.items():
            print(f"{name:12} {told['summary']}")
        return
    if arguments[0] == LIBRARY_FILE.name:
        shutil.copy(LIBRARY_FILE, Path())
        return
    name, folder = arguments[0], Path(arguments[1] if len(arguments) > 1 else arguments[0])
    if name not in DESCRIBED:
        known = nearest(name, DESCRIBED, "python -m speech_eval.workers")
        raise BadInput(f"No worker is named '{clipped(name)}'.", known)
    if folder.exists():
        raise BadInput(f"{folder} exists.", f"Name a new folder: python -m speech_eval.workers {name} DIR")
    shutil.copytree(HERE / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".venv", "source", "weights"))
    shutil.copy(LIBRARY_FILE, folder)
    print(f"{folder} is ready; {folder / 'README.md'} tells more. Make its environment:")
    for command in (f"cd {folder}", *read_folder(folder).environment):
        print(f"  {command}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SpeechEvalError as error:
        sys.exit(f"error: {error}")
