"""What the columns of people's data mean: a row of any table as the fields of a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

# Of each field of a sample, the columns that may hold it. The first that a row has is taken; case does not matter.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "utt_id", "utterance_id", "utt", "uttid", "sample_id", "segment_id", "uid", "key", "__key__"),
    "text": (
        *("text", "sentence", "transcription", "transcript", "normalized_text", "text_normalized"),
        *("normalized_transcription", "normalized_transcript", "raw_text", "raw_transcription", "original_text"),
        *("target_text", "utterance", "txt"),
    ),
    "audio": (
        *("audio", "file_name", "path", "audio_filepath", "audio_path", "audio_file", "file", "filename", "file_path"),
        *("filepath", "wav", "wav_path", "wav_file", "wav_filename", "flac"),
    ),
    "prompt_audio": ("prompt_audio", "prompt_file_name", "prompt_path", "prompt_wav", "prompt_audio_path"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "speaker_name", "client_id"),
    "language": ("language", "lang", "locale", "language_code"),
}
_PLAIN = (
    "audio_sha256",
    "prompt_audio_sha256",
    "prompt_text",
    "cluster",
    "schema_version",
)  # under their own name only
_STRINGS = {"id", "text", "speaker", "language", "cluster", "prompt_text"}  # numbers in them are text


def which(names: Iterable[str]) -> dict[str, str]:
    """The column behind each field of a sample, of a table with these columns."""
    by_name = {name.strip().lower(): name for name in reversed(list(names))}
    found = {field: next((by_name[n] for n in known if n in by_name), None) for field, known in COLUMNS.items()}
    found |= {field: by_name.get(field) for field in _PLAIN}
    return {field: column for field, column in found.items() if column is not None}


def plainly(row: Mapping[str, Any], locate: Callable[[str], str] = str) -> dict[str, Any]:
    """A row whose columns are the fields of a sample, with numbers as text where text is meant."""
    found = {key: value for key, value in row.items() if value is not None}
    for field in _STRINGS & found.keys():
        if isinstance(found[field], int | float) and not isinstance(found[field], bool):
            found[field] = str(found[field])
    for field in ("audio", "prompt_audio"):
        if isinstance(found.get(field), str):
            found[field] = locate(found[field])
    return found


def fields(row: Mapping[str, Any], locate: Callable[[str], str] = str) -> dict[str, Any]:
    """A row as the fields of a sample: the id follows from the path where there is none, unknown columns are metadata.

    `locate` turns the path of a recording into one of the dataset. Null values are absent ones.
    """
    used = which(name for name, value in row.items() if value is not None)
    found = {field: row[column] for field, column in used.items()}
    other = {key: value for key, value in row.items() if key not in used.values() and value is not None}
    nested = other.pop("metadata", None)
    other |= nested if isinstance(nested, Mapping) else {}
    found = plainly(found, locate)
    if "id" not in found and isinstance(found.get("audio"), str):
        found["id"] = id_of(found["audio"])
    return found | {"metadata": other}


def id_of(path: str) -> str:
    """The id of a sample that is named by its recording alone."""
    return str(PurePosixPath(path.lstrip("@")).with_suffix("")).replace("/", "-")


def said(used: Mapping[str, str]) -> str:
    """`text from column 'sentence'` for each field whose column has another name; empty where there is none."""
    expected = {"audio": ("audio", "file_name"), "prompt_audio": ("prompt_audio", "prompt_file_name")}
    strange = [
        f"{field} from column '{used[field]}'"
        for field in COLUMNS
        if field in used and used[field] not in expected.get(field, (field,))
    ]
    return ", ".join(strange)


def is_header(names: Sequence[str]) -> bool:
    """Whether the first line of a table names its columns."""
    return bool(which(names).keys() & {"id", "audio"})
