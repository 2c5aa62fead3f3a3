"""What the cards of all stacks state of the data, and the license that follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speech_eval.errors import BadInput
from speech_eval.reference_models.data.corpus import Corpus
from speech_eval.text.files import read_record


def data_facts(corpus: Corpus) -> dict[str, Any]:
    """The data's name, digest and licenses: those that `speech-eval data prepare` recorded, or the dataset's own."""
    facts: dict[str, Any] = {"folder": corpus.name, "sha256": corpus.sha256, "licenses": dict(corpus.licenses)}
    file = None if corpus.folder is None else corpus.folder / "prepared.json"
    if file is not None and file.is_file():
        prepared = read_record(file, "Prepare the data again.", "plan", "licenses")
        facts |= {"sources": _sources(file, prepared["plan"]), "licenses": _licenses(file, prepared["licenses"])}
    return facts


def _sources(file: Path, plan: Any) -> list[str]:
    sources = plan.get("sources") if isinstance(plan, dict) else None
    if not isinstance(sources, list) or not all(isinstance(name, str) for name in sources):
        raise BadInput(f"{file}: its plan names no sources.", "Prepare the data again.")
    return sources


def _licenses(file: Path, licenses: Any) -> dict[str, str]:
    if not isinstance(licenses, dict) or not all(isinstance(text, str) for text in licenses.values()):
        raise BadInput(f"{file}: its licenses are not names.", "Prepare the data again.")
    return licenses


def license_of(data: dict[str, Any]) -> dict[str, str]:
    """`{"license": …}`: the most demanding license of the recordings, which the weights inherit; empty if unknown."""
    licenses = data.get("licenses", {}).values()
    strictest = max(licenses, key=lambda name: ("SA" in name, "BY" in name), default="").lower()
    return {"license": strictest} if strictest else {}
