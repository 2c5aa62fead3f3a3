"""What is shipped, and that it installs and resolves as one import package whatever else a user's folder holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"harness": "", "tasks": "tasks/", "reference_models": "reference_models/", "leaderboard": "leaderboard/"}
FOLDERS |= {"workers": "workers/"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# Names that a user's project may well use, two of them also folders of this repository.
THEIRS = {"tasks/__init__.py": "MINE = 1\n", "harness/__init__.py": "MINE = 2\n", "metrics.py": "MINE = 3\n"}
THEIRS |= {"statistics.py": "MINE = 4\n", "leaderboard.py": "MINE = 5\n"}


def _command(*words: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command without the PYTHONPATH of this session; its standard output. Fails with all that it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=cwd, env=inherited | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def _built(source: Path, target: Path, *options: str) -> Path:
    """The one file that `python -m build` makes of `source` in `target`."""
    _command(sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", target, source, cwd=source)
    (file,) = target.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the working tree, so that nothing is left behind in this one."""
    source = tmp_path_factory.mktemp("source")
    listed = _command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in listed.split("\0"):
        if name and os.path.lexists(ROOT / name):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    return _built(source, tmp_path_factory.mktemp("wheel"), "--wheel")


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, bytes]:
    """The files of the wheel by name."""
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(contents: dict[str, bytes]) -> Message:
    return HeaderParser().parsestr(next(text for name, text in contents.items() if name.endswith("METADATA")).decode())


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands' folder of a fresh environment that holds the wheel; its requirements are lent by this session's."""
    folder = tmp_path_factory.mktemp("environment")
    _command(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    _command(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "lent.pth").write_text("\n".join(lent), "utf-8")
    return folder / "bin"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with packages of the same names as folders of this repository."""
    for name, text in THEIRS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


# ------------------------------------------------------------------------------------------------ what is shipped


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_five_folders_and_one_package(contents: dict[str, bytes]) -> None:
    tracked = _command("git", "ls-files", "-co", "--exclude-standard", *FOLDERS, cwd=ROOT).splitlines()
    moved = [(name, name.partition("/")) for name in tracked if (ROOT / name).is_file()]
    expected = {f"speech_eval/{FOLDERS[folder]}{rest}" for _, (folder, _, rest) in moved}
    assert {name for name in contents if ".dist-info/" not in name} == expected
    assert "speech_eval/py.typed" in expected


@pytest.mark.slow
def test_the_wheel_of_the_source_distribution_is_the_same(
    wheel: Path, contents: dict[str, bytes], tmp_path: Path
) -> None:
    sdist = _built(wheel.parents[1] / "source0", tmp_path / "sdist", "--sdist")
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with ZipFile(_built(unpacked, tmp_path / "wheel", "--wheel")) as archive:
        assert {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")} == {
            name: data for name, data in contents.items() if not name.endswith("RECORD")
        }
    assert (unpacked / "docs" / "metrics.md").exists()


@pytest.mark.slow
def test_the_wheel_holds_both_license_files(contents: dict[str, bytes], metadata: Message) -> None:
    assert metadata.get_all("License-File") == ["LICENSE", "NOTICE"]
    for file in ("LICENSE", "NOTICE"):
        (name,) = [name for name in contents if name.endswith(f".dist-info/licenses/{file}")]
        assert contents[name] == (ROOT / file).read_bytes()


@pytest.mark.slow
def test_the_description_of_the_package_works_without_the_repository(metadata: Message) -> None:
    """On an index page a relative link or image is broken."""
    targets = re.findall(r"\]\(([^)\s]+)\)", str(metadata.get_payload()))
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    assert metadata["Description-Content-Type"] == "text/markdown"


@pytest.mark.parametrize(
    "file",
    sorted((ROOT / "reference_models" / "checkpoints").rglob("*.safetensors")),
    ids=lambda file: file.parent.name,
)
def test_shipped_weights_are_half_precision_or_integers(file: Path) -> None:
    """Codebooks may keep float32: rounded, another entry can be the nearest, and the codes of a recording change."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    tensors = {name: tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"}
    half = {"F16", "BF16", "BOOL", "I8", "U8", "I16", "I32", "I64"}
    assert [name for name, kind in tensors.items() if kind not in half and not name.startswith("quantizer.")] == []


def test_files_that_the_notice_names_exist() -> None:
    named = re.findall(r"\S+/\S+\.[A-Za-z]+", (ROOT / "NOTICE").read_text("utf-8").replace("openai-whisper,", ""))
    assert named
    assert [pattern for pattern in named if not list(ROOT.glob(pattern.strip("(),:")))] == []


def test_every_extra_that_the_code_names_exists() -> None:
    named = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            named |= set(re.findall(r"require\(\"[^\"]+\", \"([a-z0-9-]+)\"", text))
            named |= set(re.findall(r"\bextra(?:: [^=\n]+)? ?= ?\"([a-z0-9-]+)\"", text))
            named |= set(re.findall(r"speech-eval-harness\[([a-z0-9-]+)\]", text))
    assert len(named) > 10
    assert named - {"forbid"} <= set(PROJECT["optional-dependencies"])


# ----------------------------------------------------------------------------------------- the installed package


@pytest.mark.slow
def test_the_installed_wheel_runs_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    words = ("run", "--model", "oracle", "--tasks", "asr", "--limit", "2", "--output", "run")
    _command(environment / "speech-eval", *words, cwd=tmp_path)
    assert (tmp_path / "run" / "results.json").exists()
    code = "import speech_eval; print(speech_eval.__file__)"
    assert str(environment.parent) in _command(environment / "python", "-c", code, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["", "."], ids=["current folder", "PYTHONPATH"])
def test_packages_of_the_same_names_in_a_users_folder_break_nothing(
    environment: Path, project: Path, path: str
) -> None:
    lent = {"PYTHONPATH": str(project)} if path else {}
    words = ("run", "--model", "oracle", "--tasks", "asr", "--limit", "2", "--output", "run")
    _command(environment / "speech-eval", *words, cwd=project, **lent)
    assert (project / "run" / "results.json").exists()
    code = (
        "import harness, leaderboard, metrics, statistics, tasks;"
        "import speech_eval, speech_eval.statistics, speech_eval.tasks.asr;"
        "print([m.MINE for m in (tasks, harness, metrics, statistics, leaderboard)], bool(speech_eval.Task))"
    )
    said = _command(environment / "python", "-c", code, cwd=project, **lent)
    assert said.strip() == "[1, 2, 3, 4, 5] True"


# ------------------------------------------------------------------------------------------ the editable install

USES = """from speech_eval import Audio
from tasks import MINE


def seconds(audio: Audio) -> int:
    return audio.seconds * MINE
"""
PYTEST = "import speech_eval.tasks.asr\nimport tasks\n\n\ndef test_both():\n    assert tasks.MINE == 1\n"


@pytest.mark.slow
def test_pytest_in_a_users_folder_sees_both(project: Path) -> None:
    (project / "test_both.py").write_text(PYTEST, "utf-8")
    said = _command(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_both.py", cwd=project)
    assert "1 passed" in said


@pytest.mark.slow
def test_mypy_in_a_users_project_reads_our_types(project: Path) -> None:
    """The types are seen, not ignored: a float of ours returned as an int is an error."""
    (project / "uses.py").write_text(USES.replace("-> int", "-> float"), "utf-8")
    (project / "misuses.py").write_text(USES, "utf-8")
    _command(sys.executable, "-m", "mypy", "--strict", "uses.py", cwd=project)
    with pytest.raises(AssertionError, match=r"misuses\.py:6: error: Incompatible return value type"):
        _command(sys.executable, "-m", "mypy", "--strict", "misuses.py", cwd=project)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("from speech_eval.adapters.base import Audio", "harness/audio/waveform.py"),
        ("from speech_eval.tasks import asr", "tasks/asr.py"),
        ("from speech_eval.leaderboard.build import build", "leaderboard/build.py"),
    ],
)
def test_an_editor_finds_the_source(project: Path, line: str, file: str) -> None:
    """Jedi is the resolver of several editors; it reads files and runs nothing."""
    import jedi

    here = jedi.create_environment(sys.executable, safe=False)
    script = jedi.Script(f"{line}\n", path=project / "mine.py", environment=here, project=jedi.Project(project))
    (found,) = script.goto(1, len(line), follow_imports=True)
    assert found.module_path is not None and found.module_path.resolve() == ROOT / file
