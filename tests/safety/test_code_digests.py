"""The user's code behind an adapter: its file, and what that imports from its folder, at any depth."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from speech_eval.adapters.spec import resolve
from speech_eval.adapters.tts.espeak import EspeakNG
from speech_eval.cache import file_sha256
from speech_eval.registry import load_file
from speech_eval.safety.code import code_digests
from speech_eval.testing.fakes import Oracle

FILES = {
    "model.py": "import helper\nfrom net import layers\nclass X:\n    def late(self):\n        import late_one\n",
    "helper.py": "import json\n",
    "net/__init__.py": "",
    "net/layers.py": "from . import deep\nfrom .other import thing\n",
    "net/deep.py": "",
    "net/other.py": "thing = 1\n",
    "late_one.py": "import importlib\nimportlib.import_module('dynamic')\n",
    "dynamic.py": "",
    "unrelated.py": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    for loaded in ("helper", "net", "net.layers", "net.deep", "net.other"):
        sys.modules.pop(loaded, None)


def test_every_file_that_the_class_consists_of_is_named(folder: Path) -> None:
    found = code_digests(load_file(folder / "model.py").X)
    assert set(found) == set(FILES) - {"unrelated.py"}
    assert all(found[name] == file_sha256(folder / name) for name in found)


@pytest.mark.parametrize("name", ["model.py", "helper.py", "net/deep.py", "late_one.py", "dynamic.py"])
def test_a_change_of_any_of_them_shows(folder: Path, name: str) -> None:
    module = load_file(folder / "model.py")
    before = code_digests(module.X)
    (folder / name).write_text(FILES[name] + "# changed\n")
    after = code_digests(module.X)
    assert {key for key in before if before[key] != after[key]} == {name}


def test_code_of_this_project_is_not_the_users() -> None:
    assert code_digests(Oracle) == code_digests(EspeakNG) == resolve("oracle").code == {}


def test_a_file_that_does_not_parse_ends_the_search_there(folder: Path) -> None:
    module = load_file(folder / "model.py")
    (folder / "late_one.py").write_text("def broken(:\n")
    assert "late_one.py" in code_digests(module.X) and "dynamic.py" not in code_digests(module.X)
