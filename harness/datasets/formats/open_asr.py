"""The sets of the Open ASR Leaderboard: rows that are not scored are dropped, chunks of a call get the call's text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from speech_eval.datasets import hub
from speech_eval.datasets.catalog import Entry
from speech_eval.errors import BadInput
from speech_eval.text.open_asr import NOT_SCORED, open_asr_english


def layout(entry: Entry) -> Callable[[Mapping[str, Any]], Mapping[str, Any] | None]:
    """What prepares a row: None for one whose text the leaderboard's data step drops before a model hears it."""
    complete = _chunks(entry) if entry.hub and entry.hub.texts else dict

    def prepare(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        row = complete(row)
        written = next((row[column] for column in entry.columns["text"] if row.get(column) is not None), None)
        return None if written is not None and is_blank(str(written), entry.language) else row

    return prepare


def is_blank(text: str, language: str) -> bool:
    """Whether nothing is left of a reference after normalization (English, by epoch E), or it says not to score it."""
    text = open_asr_english(text, "E") if language == "en" else text
    return text.strip() in ("", NOT_SCORED)


def _chunks(entry: Entry) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Rows of chunks name a call (`parent_id`) and a file under `audio/`; the text is that of the whole call."""
    assert entry.hub is not None and entry.hub.texts is not None
    repo = entry.hub.texts
    texts_of = hub.pinned(entry.hub.model_copy(update={"repo": repo, "revision": None}), entry.remedy)
    calls = hub.rows(texts_of, entry.remedy)
    texts = {row["id"]: next(row[c] for c in entry.columns["text"] if row.get(c)) for row in calls}
    files = hub.files(entry.hub, ("audio/*",), entry.remedy) / "audio"

    def complete(row: Mapping[str, Any]) -> dict[str, Any]:
        if row["parent_id"] not in texts:
            raise BadInput(f"{repo} has no text of call '{row['parent_id']}'.", "Try again later.")
        return {**row, "text": texts[row["parent_id"]], "audio": str(files / row["file_name"])}

    return complete
