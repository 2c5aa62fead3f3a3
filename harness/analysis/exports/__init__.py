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
from speech_eval.analysis.gap_chart import svg
from speech_eval.analysis.modality_gap import gaps, table
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
FORMATS = (*_FROM_RESULTS, "latex", "tensorboard", "gap", "gap-svg")


def _gaps(runs: Sequence[RunDirectory], results: Sequence[Results], format: str) -> str:
    """The modality gap of each run, as a table or a picture. Raises `BadInput` where no run has one."""
    found = [(result.name, gaps(run)) for run, result in zip(runs, results, strict=True)]
    if not any(gap for _, gap in found):
        raise BadInput("No task was asked in several ways.", "Run it with --ask speech,text,transcript.")
    if format == "gap":
        return "\n".join(f"{name}\n\n{table(gap)}" for name, gap in found if gap)
    if len(found) > 1:
        raise BadInput("A picture shows the gaps of one run.", "Give one run.")
    return svg(found[0][1], f"Modality gap of {found[0][0]}")


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
    elif format in ("gap", "gap-svg"):
        document = _gaps(runs, results, format)
    elif format in _FROM_RESULTS:
        document = _FROM_RESULTS[format](results)
    else:
        raise BadInput(f"There is no report format '{format}'.", f"Use one of: {', '.join(FORMATS)}.")
    if output is not None:
        write_atomically(output, document.encode())
    return document
