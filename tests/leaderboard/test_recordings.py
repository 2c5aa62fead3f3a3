"""Which recordings a site plays beside the answers, what is written there, and how loud each sound is."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.run_fixture import ASR, TTS, tone, write_run
from typer.testing import CliRunner

from speech_eval import datasets
from speech_eval.assets import store as assets
from speech_eval.audio import Audio
from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.media import loudness
from speech_eval.leaderboard.recordings import Recordings, redistributable
from speech_eval.records import Results, Sample

REFUSED = "does not state that recordings may be redistributed"


def own_data(folder: Path) -> tuple[str, str]:
    """A recording in a folder of the user's own: its relative path and sha256."""
    folder.mkdir(parents=True)
    audio = tone(3)
    soundfile.write(folder / "voice.wav", audio.samples, audio.rate)
    return "voice.wav", hashlib.sha256((folder / "voice.wav").read_bytes()).hexdigest()


def change(path: Path, task: str, dataset: dict[str, Any], sample: dict[str, Any], interface: str = "") -> None:
    """Make a run's task come from `dataset`, and give every sample the fields of `sample`."""
    run = RunDirectory(path)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["tasks"][task]["dataset"] = {**manifest["tasks"][task]["dataset"], **dataset}
    (path / "manifest.json").write_text(json.dumps(manifest))
    samples: list[Sample] = [one.model_copy(update=sample) for one in run.samples(task)]
    run.replace("samples", task, samples)
    if interface:
        results = run.results()
        tasks = [one.model_copy(update={"interface": interface}) for one in results.tasks]
        run.write_results(Results(model=results.model, seed=results.seed, tasks=tasks))


def page_text(site: Path) -> str:
    (page,) = site.glob("runs/*.html")
    return page.read_text("utf-8")


def built(path: Path, out: Path, **options: Any) -> str:
    return page_text(build([path], out, **options).index.parent)


# ---------------------------------------------------------------------------------------------- which are played


def test_the_voice_prompt_of_a_bundled_dataset_is_played(tmp_path: Path) -> None:
    assets.ensure("librivox-pocketsphinx")
    given = datasets.load_dataset("librivox-en").samples[0]
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=2, failed=0)
    bundled = {"name": "librivox-en", "location": "librivox-en"}
    change(path, TTS, bundled, {"prompt_audio": given.audio, "prompt_audio_sha256": given.audio_sha256})
    page = built(path, tmp_path / "site")
    assert page.count("<audio") == 4 and 'data-label="Voice prompt"' in page


def test_a_split_of_a_bundled_dataset_is_played_too(tmp_path: Path) -> None:
    assets.ensure("librivox-pocketsphinx")
    given = datasets.load_dataset("librivox-en").samples[0]
    assert given.audio is not None
    assert Recordings().find(Path("run"), "librivox-en@train", "", given.audio, given.audio_sha256).path is not None


def test_the_users_own_prompts_and_originals_are_played_without_an_option(tmp_path: Path) -> None:
    relative, sha256 = own_data(tmp_path / "mine")
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=2, failed=0)
    own = {"name": "mine", "location": str(tmp_path / "mine"), "license": "unknown"}
    recordings = {"prompt_audio": relative, "prompt_audio_sha256": sha256, "audio": relative, "audio_sha256": sha256}
    change(path, TTS, own, recordings)
    site = build([path], tmp_path / "site")
    page = page_text(site.index.parent)
    assert page.count("<audio") == 6 and 'data-label="Original"' in page
    assert site.own_recordings == 1  # one file, played in four places


def test_the_command_says_that_the_site_holds_own_recordings(tmp_path: Path) -> None:
    relative, sha256 = own_data(tmp_path / "mine")
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=2, failed=0)
    own = {"name": "mine", "location": str(tmp_path / "mine"), "license": "unknown"}
    change(path, TTS, own, {"audio": relative, "audio_sha256": sha256})
    build_it = ["leaderboard", "build", str(path), "-o", str(tmp_path / "site")]
    done = CliRunner().invoke(app, build_it)
    assert done.exit_code == 0 and "1 recording of your own data" in done.stderr and "--recordings none" in done.stderr
    without = CliRunner().invoke(app, [*build_it, "--recordings", "none"])
    assert "own data" not in without.stderr and page_text(tmp_path / "site").count("<audio") == 2


@pytest.mark.parametrize("where", ["manifest.jsonl", "en/meta.lst"])
def test_own_recordings_are_found_beside_a_manifest_and_in_the_folder_of_a_language(tmp_path: Path, where: str) -> None:
    relative, sha256 = own_data(tmp_path / "mine" / Path(where).parent)
    location = tmp_path / "mine" / where if where.endswith("jsonl") else tmp_path / "mine"
    assert Recordings().find(Path("run"), str(location), "", relative, sha256).own


def test_a_relative_folder_is_found_beside_the_runs_wherever_the_site_is_built(tmp_path: Path) -> None:
    relative, sha256 = own_data(tmp_path / "mine")
    assert Recordings().find(tmp_path / "runs" / "a", "mine", "", relative, sha256).own


def test_recordings_under_a_restrictive_license_are_named_and_need_the_option(tmp_path: Path) -> None:
    relative, sha256 = own_data(tmp_path / "mine")
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=2, failed=0)
    licensed = {"name": "corpus", "location": str(tmp_path / "mine"), "license": "LDC User Agreement"}
    change(path, TTS, licensed, {"audio": relative, "audio_sha256": sha256})
    page = built(path, tmp_path / "site")
    assert page.count("<audio") == 2 and "LDC User Agreement" in page and REFUSED in page
    assert "leaderboard build --recordings all" in page
    assert built(path, tmp_path / "all", recordings="all").count("<audio") == 4


@pytest.mark.parametrize(
    ("license", "free"),
    [
        ("CC-BY-SA-3.0", True),
        ("CC0-1.0 (Common Voice)", True),
        ("Apache-2.0 (texts); public domain (prompts)", True),
        ("CC-BY-4.0; DiDiSpeech-2's", False),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-ND-4.0", False),
        ("that of each corpus; see the hub's page", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_a_license_allows_redistribution_only_where_every_part_does(license: str, free: bool) -> None:
    assert redistributable(license) is free


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'some' is not a choice"):
        build([write_run(tmp_path / "runs")], tmp_path / "site", recordings="some")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- hostile runs


@pytest.mark.parametrize("sha256", [None, "0" * 64])
def test_a_run_cannot_publish_a_file_whose_content_it_does_not_know(tmp_path: Path, sha256: str | None) -> None:
    relative, _ = own_data(tmp_path / "private")
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=2, failed=0)
    claim = {"name": "x", "location": str(tmp_path / "private"), "license": "CC0-1.0"}
    change(path, TTS, claim, {"audio": relative, "audio_sha256": sha256})
    page = built(path, tmp_path / "site", recordings="all")
    assert page.count("<audio") == 2 and "Not playable" in page


@pytest.mark.parametrize("relative", ["../private/voice.wav", "/etc/passwd", "voice.wav/../voice.wav"])
def test_a_path_that_leaves_the_datasets_folder_is_not_followed(tmp_path: Path, relative: str) -> None:
    _, sha256 = own_data(tmp_path / "private")
    (tmp_path / "mine").mkdir()
    assert Recordings("all").find(Path("run"), str(tmp_path / "mine"), "", relative, sha256).path is None


@pytest.mark.parametrize("location", ["", ",", "/proc", "@train"])
def test_a_dataset_without_a_folder_has_no_recordings(location: str) -> None:
    assert Recordings("all").find(Path("run"), location, "", "kmsg", "0" * 64).path is None


def test_a_page_says_the_same_of_a_missing_and_of_another_file(tmp_path: Path) -> None:
    own_data(tmp_path / "mine")
    missing = Recordings().find(Path("run"), str(tmp_path / "mine"), "", "absent.wav", "0" * 64)
    other = Recordings().find(Path("run"), str(tmp_path / "mine"), "", "voice.wav", "0" * 64)
    assert missing.problem == other.problem != ""


# ---------------------------------------------------------------------------------------------- what is written


def texts(page: str) -> dict[str, str]:
    (block, *_) = re.findall(r'<dl class="texts">(.*?)</dl>', page, re.DOTALL)
    return dict(re.findall(r"<dt[^>]*>([^<]+)</dt><dd[^>]*>([^<]*)</dd>", block))


def test_the_written_question_and_the_reference_are_beside_the_answer(tmp_path: Path) -> None:
    path = write_run(tmp_path / "runs", "m", tasks=[ASR], samples=2, failed=0)
    question = {"prompt_text": "How far is the moon?", "text": "384,400 km"}
    change(path, ASR, {}, question, interface="AudioLanguageModel")
    shown = texts(built(path, tmp_path / "site"))
    assert list(shown) == ["Question", "Reference", "Answer"] and shown["Question"] == "How far is the moon?"


def test_a_synthesizer_shows_what_the_prompt_says_and_the_text(tmp_path: Path) -> None:
    path = write_run(tmp_path / "runs", "m", tasks=[TTS], samples=2, failed=0)
    change(path, TTS, {}, {"prompt_text": "as the prompt says"})
    assert list(texts(built(path, tmp_path / "site"))) == ["Prompt says", "Text", "Heard"]


# ---------------------------------------------------------------------------------------------- how loud


def sine(level_db: float, seconds: float = 3.0, rate: int = 48000) -> Audio:
    """A sine of 997 Hz whose peak is `level_db` below full scale."""
    time = np.arange(round(seconds * rate)) / rate
    return Audio((10 ** (level_db / 20) * np.sin(2 * np.pi * 997 * time)).astype(np.float32), rate)


@pytest.mark.parametrize("level_db", [-6.0, -20.0, -40.0])
def test_loudness_is_that_of_bs1770(level_db: float) -> None:
    # the recommendation's calibration: a full-scale sine of 997 Hz in one channel reads -3.01 LKFS
    assert loudness(sine(level_db)) == pytest.approx(level_db - 3.01, abs=0.15)


def test_silence_has_no_loudness_and_a_short_sound_has_one() -> None:
    assert loudness(Audio(np.zeros(16000, np.float32), 16000)) is None
    assert loudness(sine(-20.0, seconds=0.1)) == pytest.approx(-23.0, abs=1.0)


def test_every_player_states_the_loudness_of_what_it_plays(tmp_path: Path) -> None:
    page = built(write_run(tmp_path / "runs", "m", tasks=[TTS], samples=3, failed=0), tmp_path / "site")
    levels = re.findall(r'data-loudness="([^"]*)"', page)
    assert len(levels) == 3 and all(-40 < float(level) < -5 for level in levels)
