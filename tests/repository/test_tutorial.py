"""The notebook of the tutorial runs from top to bottom, and its cells show what their text says."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Everything that the executed cells show, as text."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": os.fspath(folder)}}).execute()
    assert (folder / "site" / "index.html").is_file()
    return "\n".join(
        "".join(output.get("text") or output.get("data", {}).get("text/html") or output.get("evalue") or "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "words",
    [
        "my voice",  # the run's table
        "the text is too long",  # the traceback
        "0 sentences without an answer",  # after the retry
        "v2-fast",  # the comparison
        "toprule",  # the LaTeX table
        "regression",  # the verdict
        "the gate holds",
    ],
)
def test_the_notebook_shows(shown: str, words: str) -> None:
    assert words in shown


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
