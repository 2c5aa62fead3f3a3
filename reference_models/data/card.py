"""What the cards of all stacks state of the data, and the license that follows from it."""

from __future__ import annotations

import json
from typing import Any

from speech_eval.reference_models.data.corpus import Corpus


def data_facts(corpus: Corpus) -> dict[str, Any]:
    """The data's name, digest and licenses: those that `speech-eval data prepare` recorded, or the dataset's own."""
    facts: dict[str, Any] = {"folder": corpus.name, "sha256": corpus.sha256, "licenses": dict(corpus.licenses)}
    file = None if corpus.folder is None else corpus.folder / "prepared.json"
    if file is not None and file.is_file():
        prepared = json.loads(file.read_text("utf-8"))
        facts |= {"sources": prepared["plan"]["sources"], "licenses": prepared["licenses"]}
    return facts


def license_of(data: dict[str, Any]) -> dict[str, str]:
    """`{"license": …}`: the most demanding license of the recordings, which the weights inherit; empty if unknown."""
    licenses = data.get("licenses", {}).values()
    strictest = max(licenses, key=lambda name: ("SA" in name, "BY" in name), default="").lower()
    return {"license": strictest} if strictest else {}
