"""A dataset's language: stated, said by the user, told by the text, or asked for; never silently English."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.data_files import HEADER, lines, tone

from speech_eval import datasets
from speech_eval.errors import BadInput


def folder(path: Path, *texts: str, **fields: str) -> Path:
    for number in range(len(texts)):
        tone(path / f"{number}.wav")
    rows = ({"file_name": f"{number}.wav", "text": text, **fields} for number, text in enumerate(texts))
    lines(path / "metadata.jsonl", *rows)
    return path


def languages(dataset: datasets.Dataset) -> set[str]:
    return {sample.language for sample in dataset.samples}


def test_a_stated_language_is_kept_by_its_tag(tmp_path: Path) -> None:
    found = datasets.load_dataset(folder(tmp_path, "guten Tag", language="German"), language="fr")
    assert (languages(found), found.info.languages) == ({"de"}, ["de"]) and "language" not in found.note


def test_an_unknown_language_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"metadata.jsonl:1: 'klingon' is not a language"):
        datasets.load_dataset(folder(tmp_path, "nuqneH", language="klingon"))


@pytest.mark.parametrize("stated", ["", "und", "mul"])
def test_the_text_tells_a_language_that_is_not_stated(tmp_path: Path, stated: str) -> None:
    found = datasets.load_dataset(folder(tmp_path, "il gatto è qui", "non lo so", language=stated))
    assert (languages(found), found.info.languages) == ({"it"}, ["it"])
    assert "Italian (it)" in found.note and "--language" in found.note


def test_a_note_counts_the_samples_that_state_no_language(tmp_path: Path) -> None:
    def loaded(*stated: str) -> datasets.Dataset:
        said = ("il gatto è qui", "non lo so", "che cosa vuoi")
        path = folder(tmp_path, *said)
        rows = zip(said, stated, strict=True)
        lines(path / "metadata.jsonl", *({"file_name": "0.wav", "id": t, "text": t, "language": s} for t, s in rows))
        return datasets.load_dataset(path)

    mixed = loaded("", "de", "fr")
    assert languages(mixed) == {"it", "de", "fr"} and "1 of 3 samples state no language; by their text" in mixed.note
    same = loaded("", "it", "it")
    assert languages(same) == {"it"} and "1 of 3 samples state no language; they are taken for Italian" in same.note


def test_the_user_says_a_language_that_is_not_stated(tmp_path: Path) -> None:
    found = datasets.load_dataset(folder(tmp_path, "мир"), language="bulgarian")
    assert languages(found) == {"bg"} and "language" not in found.note


def test_the_only_language_of_the_header_counts_for_every_sample(tmp_path: Path) -> None:
    path = lines(tmp_path / "mine.jsonl", {**HEADER, "languages": ["bg"]}, {"id": "a", "text": "мир"})
    assert languages(datasets.load_dataset(path)) == {"bg"}


def test_a_language_that_nothing_tells_is_asked_for(tmp_path: Path) -> None:
    found = datasets.load_dataset(folder(tmp_path, "мир"))
    assert languages(found) == {"und"}
    assert datasets.check(found) == ["1 samples, such as 0, state no language, and their text does not tell it"]
    with pytest.raises(BadInput) as refusal:
        datasets.require_languages(found)
    assert "--language" in refusal.value.remedy


def test_samples_without_text_need_no_language(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    lines(tmp_path / "metadata.jsonl", {"file_name": "a.wav"})
    datasets.require_languages(datasets.load_dataset(tmp_path))


@pytest.mark.parametrize("name", datasets.bundled())
def test_every_sample_of_a_bundled_dataset_states_its_language(name: str) -> None:
    found = datasets.load_dataset(name)
    assert found.note == "" and languages(found) == set(found.info.languages)
