"""TensorBoard scalars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speech_eval.engine.run_directory import safe_name
from speech_eval.errors import require
from speech_eval.records import Results


def tensorboard(results: Sequence[Results], folder: Path) -> list[Path]:
    """Write every number as a scalar, one folder of events per model; the step counts the model's runs in order.
    Returns the folders. Raises `MissingExtra` without tensorboardX."""
    writers: dict[str, Any] = {}
    steps: dict[str, int] = {}
    module = require("tensorboardX", "tensorboard")
    folders = []
    for result in results:
        if result.name not in writers:
            folders.append(folder / safe_name(result.name))
            writers[result.name] = module.SummaryWriter(str(folders[-1]))
        step = steps.get(result.name, 0)
        steps[result.name] = step + 1
        for task in result.tasks:
            for metric in task.metrics:
                for kind, held in (
                    ("", metric.strict.value),
                    ("/low", metric.strict.low),
                    ("/high", metric.strict.high),
                ):
                    if held is not None:
                        tag = re.sub(r"[^\w./-]", "_", f"{task.task}/{metric.metric}/{metric.name}{kind}")
                        writers[result.name].add_scalar(tag, held, step)
    for writer in writers.values():
        writer.close()
    return folders
