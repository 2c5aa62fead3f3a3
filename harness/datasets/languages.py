"""The language of samples: what the data states, else what the user says, else what the text tells."""

from __future__ import annotations

import dataclasses
from typing import Any

from speech_eval.datasets.dataset import Dataset
from speech_eval.errors import BadInput
from speech_eval.text import language_name, language_tag
from speech_eval.text.detect import UNKNOWN, detect_language
from speech_eval.text.language import NO_LANGUAGE


def stated(value: Any) -> str:
    """The tag of the language that a row states, `und` where it states none (also as `und`, `mul` or `mis`).

    Raises `BadInput` for an unknown name.
    """
    name = "" if value is None else str(value).strip()
    return UNKNOWN if name.lower() in ("", *NO_LANGUAGE) else language_tag(name)


def settle(dataset: Dataset, language: str | None = None) -> Dataset:
    """The dataset with a language for every sample that states none: `language` (a tag, code or name), else the only
    one that the header names, else the one that the text of these samples is in, which the dataset's note then tells.

    Samples keep `und` where nothing tells their language (see `problem`). Raises `BadInput` for an unknown language.
    """
    untold = [sample for sample in dataset.samples if sample.language == UNKNOWN]
    tag = language_tag(language) if language else UNKNOWN
    if not untold:
        return dataset
    count = f"{len(untold)} of {len(dataset.samples)} samples state no language"
    note = ""
    if tag == UNKNOWN and len(declared := {stated(name) for name in dataset.info.languages} - {UNKNOWN}) == 1:
        (tag,) = declared
        if len(untold) < len(dataset.samples):
            note = f"{count}; they are taken for {language_name(tag)} ({tag}) like the others (else give --language)."
    if tag == UNKNOWN:
        tag = detect_language(sample.text for sample in untold if sample.text)
        some = len(untold) < len(dataset.samples)
        told = f"{count}; by their text" if some else "The data does not state its language; by its text"
        note = f"{told} it is {language_name(tag)} (else give --language)."
    if tag == UNKNOWN:
        return dataset
    samples = [s.model_copy(update={"language": tag}) if s.language == UNKNOWN else s for s in dataset.samples]
    info = dataset.info.model_copy(update={"languages": sorted({sample.language for sample in samples})})
    settled = Dataset.of(info, samples, dataset.root)
    note = " ".join(filter(None, (dataset.note, note)))
    return dataclasses.replace(dataset, info=info, samples=settled.samples, sha256=settled.sha256, note=note)


def problem(dataset: Dataset) -> str:
    """What is wrong where samples with a text have no known language: they would be read and scored by the rules of
    another one. Empty where nothing is."""
    untold = [sample for sample in dataset.samples if sample.language == UNKNOWN and sample.text]
    if not untold:
        return ""
    return f"{len(untold)} samples, such as {untold[0].id}, state no language, and their text does not tell it"


def require(dataset: Dataset) -> None:
    """Raises `BadInput` where samples with a text have no known language."""
    if found := problem(dataset):
        remedy = "Give --language, such as --language de, or a column `language`."
        raise BadInput(f"{dataset.info.name}: {found}.", remedy)
