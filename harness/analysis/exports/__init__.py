"""`report --format`: the numbers of runs in the formats that people paste or load elsewhere, one module per format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from speech_eval.analysis.exports.csv import to_csv
from speech_eval.analysis.exports.json import to_json
from speech_eval.analysis.exports.latex import latex
from speech_eval.analysis.exports.markdown import markdown
from speech_eval.analysis.exports.model_index import model_index
from speech_eval.analysis.exports.tensorboard import tensorboard
from speech_eval.analysis.report import text
from speech_eval.cache import write_atomically
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.errors import BadInput
from speech_eval.records import Results

_FROM_RESULTS: dict[str, Callable[[Sequence[Results]], str]] = {
    "text": text,
    "markdown": markdown,
    "csv": to_csv,
    "json": to_json,
    "model-index": model_index,
}
FORMATS = (*_FROM_RESULTS, "latex", "tensorboard")


@charged_to_runs
def export(runs: Sequence[RunDirectory], results: Sequence[Results], format: str, output: Path | None = None) -> str:
    """The numbers of `runs`, whose results are `results`, as a document in `format`, one of `FORMATS`; also written to
    `output` where that is given. For TensorBoard, the folders written into the log folder `output`.

    Raises `BadInput` for another format, and for TensorBoard without a folder.
    """
    if format == "tensorboard":
        if output is None:
            raise BadInput("TensorBoard scalars are files.", "Give the log folder with --output.")
        return "".join(f"{folder}\n" for folder in tensorboard(results, output))
    if format == "latex":
        document = latex(runs, results)
    elif format in _FROM_RESULTS:
        document = _FROM_RESULTS[format](results)
    else:
        raise BadInput(f"There is no report format '{format}'.", f"Use one of: {', '.join(FORMATS)}.")
    if output is not None:
        write_atomically(output, document.encode())
    return document
