"""Datasets by name: the bundled ones, groups, and those that an installed package adds."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.data_files import HEADER, lines, tone

from speech_eval import datasets
from speech_eval.assets import store as assets
from speech_eval.datasets.catalog import Choice, Entry, catalog, read
from speech_eval.errors import BadInput, NotFetched, UnknownName


@pytest.mark.parametrize("name", datasets.bundled())
def test_a_bundled_manifest_states_its_license_and_pins_its_audio(name: str) -> None:
    dataset = datasets.load_dataset(name)
    assert dataset.info.name == name and dataset.info.license and dataset.info.source
    assert {sample.language for sample in dataset.samples} == set(dataset.info.languages)
    for path, sha256 in dataset.audio_files().items() if not dataset.spoken else ():
        asset, _, file = path.partition("/")
        pinned = assets.ASSETS[asset]
        assert asset in dataset.info.assets
        if file.partition("/")[0] not in pinned.bundles.values():  # the file that holds them is pinned
            assert pinned.files[file] == sha256


@pytest.mark.parametrize("name", [name for name in datasets.bundled() if name.startswith("asterisk")])
def test_prompts_say_in_words_what_is_spoken(name: str) -> None:
    texts = [sample.text or "" for sample in datasets.load_dataset(name).samples]
    assert len(texts) > 150
    assert not [text for text in texts if re.search(r"[\d\[\]()<>*#]", text) or len(text.split()) < 2]


def test_sentences_are_a_hundred_different_ones_with_rotating_prompts() -> None:
    samples = datasets.load_dataset("sentences-en").samples
    assert len({sample.text for sample in samples}) == 100
    assert all(6 <= len((sample.text or "").split()) <= 20 for sample in samples)
    assert len({sample.prompt_audio for sample in samples}) == 5
    assert all(sample.prompt_text for sample in samples)


def test_the_dataset_that_needs_only_pip_has_the_audio_of_its_manifest() -> None:
    dataset = datasets.load_dataset("librivox-en")
    dataset.ensure_audio()
    assert dataset.is_present() and datasets.check(dataset) == []


def test_speech_en_is_another_name_of_the_english_prompts() -> None:
    assert datasets.load_dataset("speech-en").sha256 == datasets.load_dataset("asterisk-en").sha256
    assert datasets.fallback("speech-en") == datasets.fallback("asterisk-en") == "librivox-en"
    assert datasets.fallback("asterisk-fr") is None


def test_a_summary_is_plain_data() -> None:
    summary = datasets.summary("librivox-en")
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["n"], summary["languages"], summary["seconds"]) == (5, ["en"], 24.7)
    assert datasets.summary("sentences-en")["seconds"] is None


def test_a_summary_of_a_dataset_that_is_not_fetched_says_what_the_catalog_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(tmp_path))
    summary = datasets.summary("voicebench-mmsu")
    assert (summary["present"], summary["n"], summary["source"]) == (False, None, "hub dataset hlt-lab/voicebench")
    group = datasets.summary("open-asr-multilingual")
    assert group["languages"] == ["de", "es", "fr", "it", "pt"]


def test_an_unknown_name_suggests_the_nearest_ones() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean .*open-asr:librispeech-clean"):
        datasets.load_dataset("librispeech-en")
    with pytest.raises(UnknownName, match="speech-eval data list"):
        datasets.load_dataset("qqqqq")


def test_a_split_falls_back_to_what_its_whole_falls_back_to() -> None:
    assert datasets.fallback("asterisk-en@held-out") == datasets.fallback("asterisk-en") == "librivox-en"


@pytest.mark.parametrize(("epoch", "sets"), [("A", 8), ("B", 8), ("C", 8), ("D", 7), ("E", 7)])
def test_the_sets_of_each_epoch_have_names(epoch: str, sets: int) -> None:
    group = catalog().groups[f"open-asr@{epoch}"]
    assert len(group) == len(set(group)) == sets and set(group) <= catalog().datasets.keys()
    assert ("open-asr:tedlium" in group) == (epoch in "ABC")


def test_the_default_sets_are_those_of_the_last_epoch() -> None:
    assert catalog().groups["open-asr"] == catalog().groups["open-asr@E"]
    assert len(catalog().groups["open-asr-multilingual"]) == 13


# ---------------------------------------------------------------------------------------------- other packages


def install(site: Path, target: str) -> None:
    """Metadata of an installed distribution whose entry point names `target`."""
    points = f"[speech_eval.datasets]\nbirds = {target}\n"
    lines(site / "birds-1.0.dist-info" / "METADATA", "Metadata-Version: 2.1", "Name: birds", "Version: 1.0")
    lines(site / "birds-1.0.dist-info" / "entry_points.txt", points)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, for which the catalog is read anew."""
    monkeypatch.syspath_prepend(tmp_path)
    catalog.cache_clear()
    yield tmp_path
    sys.modules.pop("birds", None)
    catalog.cache_clear()


def test_an_installed_package_adds_a_dataset_with_one_entry(site: Path) -> None:
    install(site, "birds.data")
    lines(site / "birds" / "__init__.py", "")
    lines(site / "birds" / "data" / "__init__.py", "raise RuntimeError('the catalog imports no package of data')")
    lines(site / "birds" / "data" / "sets.yaml", "datasets: {bird-names: {manifest: names.jsonl, aliases: [birds]}}")
    tone(site / "birds" / "data" / "a.wav")
    lines(site / "birds" / "data" / "names.jsonl", HEADER, {"id": "a", "text": "great tit", "audio": "a.wav"})
    for name in ("bird-names", "birds"):
        dataset = datasets.load_dataset(name)
        assert [sample.text for sample in dataset.samples] == ["great tit"] and datasets.check(dataset) == []
    assert "bird-names" in datasets.names() and "asterisk-en" in datasets.names()


@pytest.mark.parametrize("language", ["", ", language: klingon"])
def test_an_entry_of_the_hub_states_a_language(site: Path, language: str) -> None:
    install(site, "birds.data")
    lines(site / "birds" / "__init__.py", "")
    lines(site / "birds" / "data" / "__init__.py", "")
    lines(site / "birds" / "data" / "sets.yaml", f"datasets: {{bird-calls: {{hub: {{repo: a/b}}{language}}}}}")
    with pytest.raises(BadInput, match="language"):
        datasets.names()


@pytest.mark.parametrize("code", ["", "import no_such_module", "1 / 0"])
def test_an_entry_point_that_names_no_package_is_named(site: Path, code: str) -> None:
    install(site, "birds.data")
    lines(site / "birds" / "__init__.py", code)
    with pytest.raises(BadInput, match=r"'birds' of speech_eval.datasets names 'birds.data'.* uninstall birds"):
        datasets.names()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("datasets: {a: {manifest: a.jsonl, hub: {repo: b/c}}}", "either 'manifest' or 'hub'"),
        ("datasets: {a: {license: MIT}}", "needs a 'remedy'"),
        ("datasets: {a: {manifest: a.jsonl, licence: MIT}}", "licence"),
        ("datasets: {a: {manifest: a.jsonl}, b: {manifest: b.jsonl, aliases: [a]}}", "'a' is already in the catalog"),
        ("groups: {several: [a]}", "no dataset 'a'"),
        ("datasets: {a: {manifest: a.jsonl, fallback: z}}", "no dataset 'z'"),
        ("datasets: [", "sets.yaml"),
    ],
)
def test_a_file_of_the_catalog_that_cannot_be_used_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        read([lines(tmp_path / "sets.yaml", text)])


@pytest.mark.parametrize("name", ["fdb-user-interruption", "open-asr-long", "open-asr-long:coraal"])
def test_a_dataset_that_the_user_brings_says_so_by_name_and_when_fetched(name: str) -> None:
    for ask in (datasets.load_dataset, datasets.fetch):
        with pytest.raises(NotFetched, match="--data"):
            ask(name)


def test_the_entry_on_the_page_of_data_is_a_catalog(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text("utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found = read([lines(tmp_path / f"{number}.yaml", example) for number, example in enumerate(examples)])
    quiz = found.datasets["bird-quiz"].choice
    assert quiz is not None and quiz.prompt == "{question}\nAnswer with one letter.\n{options}"
    about = page.split("| field of `choice` | meaning |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", about)) >= Choice.model_fields.keys()
    assert found.groups == {"birds-all": ("bird-names", "bird-calls")} and found.aliases == {"birds": "bird-names"}
    assert (
        set(re.findall(r"`(\w+)`", page.split("| field | meaning |")[-1].split("\n\n")[0])) >= Entry.model_fields.keys()
    )
