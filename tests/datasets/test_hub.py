"""Every dataset of the catalog that lies on the hub, fetched from a small hub with the sets' true schemas."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from support.hub_repositories import SCHEMAS, repositories
from support.hub_server import HEAD, HubServer

from speech_eval import datasets
from speech_eval.datasets.catalog import catalog

pytest.importorskip("datasets")
pytestmark = pytest.mark.slow

ON_HUB = sorted(name for name, entry in catalog().datasets.items() if entry.hub)
# Fetches each set by itself, expecting no number of rows where the small hub has only a few.
CLIENT = """
import sys
from speech_eval import datasets
from speech_eval.datasets.catalog import catalog
from speech_eval.errors import SpeechEvalError
few = set(filter(None, sys.argv[1].split(",")))
for name in sys.argv[2:]:
    entry = catalog().datasets[name]
    if name in few:
        hub = entry.hub.model_copy(update={"rows": None})
        catalog().datasets[name] = entry.model_copy(update={"hub": hub})
    try:
        datasets.fetch(name)
    except SpeechEvalError as error:
        print(f"{name}: {error}")
"""


@dataclass(frozen=True)
class Fetched:
    """The cache after fetching from `server`, and what the client printed."""

    server: HubServer
    cache: Path
    printed: str


def client(server: HubServer, folder: Path, *names: str, few: str = "") -> str:
    environment = {**os.environ, **server.environment, "HF_HOME": str(folder / "hf")}
    environment["SPEECH_EVAL_CACHE"] = str(folder / "cache")
    words = [sys.executable, "-c", CLIENT, few, *names]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetched]:
    folder = tmp_path_factory.mktemp("hub")
    few = ",".join(name for name in ON_HUB if not name.startswith(("voicebench", "mmau", "iemocap")))
    with HubServer(repositories()) as server:
        yield Fetched(server, folder / "cache", client(server, folder, *ON_HUB, few=few))


@pytest.fixture
def cache(fetched: Fetched, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPEECH_EVAL_CACHE", str(fetched.cache))
    return fetched.cache


def test_every_set_on_the_hub_has_a_dated_schema() -> None:
    for name in ON_HUB:
        hub = catalog().datasets[name].hub
        assert hub is not None
        for repo in filter(None, (hub.repo, hub.texts)):
            assert isinstance(SCHEMAS[repo]["seen"], date) and SCHEMAS[repo]["basis"] in ("card", "code", "assumed")


@pytest.mark.parametrize("name", ON_HUB)
def test_a_set_of_the_hub_becomes_a_dataset_that_can_be_checked(name: str, fetched: Fetched, cache: Path) -> None:
    assert f"{name}: " not in fetched.printed, fetched.printed
    dataset = datasets.load_dataset(name)
    hub = catalog().datasets[name].hub
    assert hub is not None
    if not hub.files:
        assert dataset.info.version == (hub.revision or HEAD)[:12]
    if name.startswith("voicebench"):
        assert len(dataset) == hub.rows
    sample = dataset.samples[0]
    assert sample.audio or sample.prompt_audio
    dataset.ensure_audio()


def test_the_small_hub_knew_every_request_and_gave_only_the_files_of_the_splits(fetched: Fetched) -> None:
    assert fetched.server.unknown == []
    regions = [file for file in fetched.server.downloads if "/sd-qa/" in file]
    assert regions == ["hlt-lab/voicebench/sd-qa/usa-00000-of-00001.parquet"]


def test_a_pinned_set_comes_from_its_commit_and_another_from_the_newest(fetched: Fetched, cache: Path) -> None:
    pin = catalog().datasets["voicebench-mmsu"].hub
    assert pin is not None and f"hlt-lab/voicebench@{pin.revision}" in fetched.server.commits
    assert datasets.load_dataset("voicebench-wildvoice").info.version == HEAD[:12]


def test_the_columns_that_the_scorers_read_arrive(cache: Path) -> None:
    ifeval = datasets.load_dataset("voicebench-ifeval").samples
    assert ifeval[1].metadata["kwargs"] == [{"num_words": 2, "relation": "at least", "letter": None}]
    assert ifeval[0].prompt_text == ifeval[0].metadata["prompt"] == "prompt 0"
    bbh = datasets.load_dataset("voicebench-bbh").samples
    assert bbh[3].text == "(B)" and "hyperbaton" in bbh[3].id and len({sample.id for sample in bbh}) == 1000
    assert [s.text for s in datasets.load_dataset("voicebench-mmsu").samples[:3]] == ["A", "B", "C"]


def test_questions_with_options_come_out_alike_whatever_their_columns_were(cache: Path) -> None:
    mmau = datasets.load_dataset("mmau-mini").samples[1]
    assert (mmau.text, mmau.metadata["choices"]) == ("(B) Woman", ["(A) Man", "(B) Woman"])
    assert (mmau.metadata["question"], mmau.metadata["task"]) == ("instruction 1", "speech")
    air = datasets.load_dataset("air-bench-foundation")
    assert len(air) == 6 and air.samples[0].metadata["choices"] == ["dog", "cat"] and air.samples[0].text == "dog"
    assert air.samples[0].metadata["task_name"] == "Sound_AQA"
    college = datasets.load_dataset("audiobench-cn-college").samples[0]
    assert college.metadata["choices"].startswith("(A) one\n(B) two") and college.text == "(B) two"
    meld = datasets.load_dataset("meld-emotion").samples[2]
    assert meld.text == "anger" and "joy" in meld.metadata["choices"]
    assert [s.text for s in datasets.load_dataset("voxceleb-gender").samples] == ["male", "female"]
    assert [s.text for s in datasets.load_dataset("iemocap-emotion").samples[:3]] == ["neutral", "sad", "excited"]
    chinese = datasets.load_dataset("covost2-en-zh").samples[0]
    assert (chinese.language, chinese.metadata["target_language"], chinese.text) == ("en", "zh", "answer 0")


def test_a_fetch_that_was_stopped_goes_on_with_the_files_it_lacks(tmp_path: Path) -> None:
    with HubServer({"hlt-lab/voicebench": repositories()["hlt-lab/voicebench"]}) as server:
        server.broken = {"mmsu/physics-*"}
        assert "does not give hlt-lab/voicebench" in client(server, tmp_path, "voicebench-mmsu")
        assert not (tmp_path / "cache" / "hub" / "voicebench-mmsu").exists()
        server.broken, before = set(), list(server.downloads)
        assert client(server, tmp_path, "voicebench-mmsu") == ""
        again = server.downloads[len(before) :]
    assert len(before) > 2 and [file for file in again if "parquet" in file and file in before] == []
    assert (tmp_path / "cache" / "hub" / "voicebench-mmsu" / "manifest.jsonl").is_file()


def test_a_set_of_another_size_is_refused(tmp_path: Path) -> None:
    files = repositories()["hlt-lab/voicebench"]
    short = {**files, "openbookqa/test-00000-of-00001.parquet": files["mmsu/law-00000-of-00001.parquet"]}
    with HubServer({"hlt-lab/voicebench": short}) as server:
        assert "gave 51 rows, and 455 are known" in client(server, tmp_path, "voicebench-openbookqa")


def test_nested_columns_and_the_numbers_of_rows_arrive(cache: Path) -> None:
    worked = datasets.load_dataset("spoken-mqa").samples
    assert [s.metadata["set"] for s in worked[::2]] == [
        *("spoken-mqa-short-digit", "spoken-mqa-long-digit", "spoken-mqa-single-step", "spoken-mqa-multi-step")
    ]
    assert (worked[0].text, worked[0].metadata["kind"], worked[0].metadata["instruction"]) == (
        "7",
        "arithmetic",
        "Solve it.",
    )
    assert worked[5].metadata["keys"] == ["3 + 4\n#### 7"] and worked[5].metadata["kind"] == "reasoning"
    college = datasets.load_dataset("audiobench-cn-college-judged").samples[0]
    assert college.metadata["instruction"].startswith("Question:\ninstruction 0\n Choices:\n(A) one\n(B) two")
    assert college.text == "(B) two"
    spoken = datasets.load_dataset("audiobench-spoken").samples
    assert [(s.metadata["set"], s.metadata["instruction"], s.text) for s in spoken[1:3]] == [
        ("audiobench-openhermes", "speech_instruction 1", "answer 1"),
        ("audiobench-alpaca", "speech_instruction 0", "answer 0"),
    ]
    accent = datasets.load_dataset("audiobench-binary").samples[-1]
    assert accent.metadata["instruction"].startswith("From which country") and accent.text == "answer 1"
    ruled = datasets.load_dataset("ifeval-audio").samples[1]
    assert (ruled.metadata["rule"], ruled.metadata["rule_content"], ruled.metadata["set"]) == (
        *("12", "1-5"),
        "Format Requirements",
    )
    read = datasets.load_dataset("emergent-tts").samples
    assert [(s.id, s.metadata["row"], s.metadata["set"]) for s in read[:2]] == [
        ("0", 0, "Emotions"),
        ("1", 1, "Questions"),
    ]
    chat = datasets.load_dataset("air-bench-chat").samples[1]
    assert (chat.text, chat.metadata["task_name"], chat.metadata["meta_info"]) == (
        *("answer_gt 1", "speech_and_sound_QA"),
        "meta_info 1",
    )
