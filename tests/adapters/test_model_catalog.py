"""The model catalog: its entries are true, and other packages add to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speech_eval.adapters.base import interfaces_of
from speech_eval.adapters.catalog import MODELS, SCHEMES, register_adapter
from speech_eval.api import listing
from speech_eval.errors import BadInput
from speech_eval.testing.fakes import NoisyOracle, Oracle

MAIN = "from speech_eval.cli.main import main; main()"


def command(*words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({} if path is None else {"PYTHONPATH": str(path)})}
    return subprocess.run([sys.executable, "-c", MAIN, *words], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", MODELS.names())
def test_an_entry_tells_the_truth_about_its_class(name: str) -> None:
    entry = MODELS.get(name)
    assert list(entry.interfaces) == interfaces_of(entry.adapter_class())
    assert entry.summary and entry.source and not entry.summary.endswith(".")


def test_every_scheme_loads() -> None:
    assert {"hf", "openai", "funasr", "cascade", "outputs"} <= set(SCHEMES)
    assert all(callable(SCHEMES.get(name)) for name in SCHEMES)


def test_no_two_entries_recognize_the_same_checkpoint() -> None:
    entries = [MODELS.get(name) for name in MODELS]
    for found in (
        [kind for entry in entries for kind in entry.model_types],
        [entry.reference_kind for entry in entries if entry.reference_kind],
        [entry.marker for entry in entries if entry.marker],
    ):
        assert len(found) == len(set(found))


def test_models_are_listed_by_interface_with_the_fakes_last() -> None:
    rows = listing.rows("models")
    groups = list(dict.fromkeys(row["group"] for row in rows))
    assert groups[0] == "SpeechRecognizer" and groups[-1] == listing.FAKES
    assert {row["name"] for row in rows if row["group"] == listing.FAKES} == {
        "failing", "noisy", "oracle", "turn-oracle"
    }  # fmt: skip
    whisper = next(row for row in rows if row["name"] == "whisper-base")
    assert (whisper["extra"], whisper["interfaces"]) == ("asr", ["SpeechRecognizer"])


def test_listing_models_imports_no_adapter() -> None:
    code = "import sys; from speech_eval.api import listing; listing.rows('models'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    families = ("asr.", "tts.", "codec.", "chat.", "duplex.", "remote.")
    assert not [name for name in loaded if name.startswith(tuple(f"speech_eval.adapters.{f}" for f in families))]
    assert not {"torch", "transformers", "speech_eval.reference_models.codec.adapter"} & set(loaded)


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(BadInput, match="already registered"):
        register_adapter("oracle")(NoisyOracle)


def test_a_plug_in_registers_its_class_with_its_docstring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODELS, "_loaded", dict(MODELS._loaded))

    @register_adapter("mine")
    class Mine(Oracle):
        """My own model."""

    row = next(row for row in listing.rows("models") if row["name"] == "mine")
    assert row["description"] == "My own model." and MODELS.get("mine").adapter_class() is Mine


def install(folder: Path, entry_points: str, module: str) -> None:
    """A package `outside` as pip would install it into `folder`."""
    (folder / "outside.py").write_text(module)
    info = folder / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def test_a_new_family_is_one_module_and_one_entry_of_another_package(tmp_path: Path) -> None:
    (tmp_path / "shouter.py").write_text(
        "from speech_eval.testing.fakes import Oracle\n"
        "class Shouter(Oracle):\n"
        "    def __init__(self, mark='!'):\n"
        "        super().__init__()\n"
        "        self.mark = mark\n"
        "    def _say(self, item, text, seed):\n"
        "        return text.upper() + self.mark\n"
    )
    install(
        tmp_path,
        "[speech_eval.models]\noutside = outside:ENTRIES\n",
        "from speech_eval.adapters.entry import RECOGNIZER, Entry\n"
        "ENTRIES = (Entry('shouter', 'shouter:Shouter', RECOGNIZER, 'Shouts', 'outside', arguments={'mark': '?'}),)\n",
    )
    listed = json.loads(command("list", "models", "--json", path=tmp_path).stdout)["models"]
    assert next(row for row in listed if row["name"] == "shouter")["source"] == "outside"
    run = tmp_path / "run"
    done = command("run", "--model", "shouter", "--tasks", "asr", "--limit", "2", "--output", str(run), path=tmp_path)
    assert done.returncode == 0, done.stderr
    texts = [json.loads(line)["text"] for line in (run / "outputs" / "asr.jsonl").read_text().splitlines()]
    assert len(texts) == 2 and all(text.isupper() and text.endswith("?") for text in texts)


def test_an_installed_package_adds_a_class(tmp_path: Path) -> None:
    install(
        tmp_path,
        "[speech_eval.adapters]\nmine = outside:Mine\n",
        "from speech_eval.testing.fakes import Oracle\nclass Mine(Oracle):\n    '''My own model.'''\n",
    )
    listed = json.loads(command("list", "models", "--json", path=tmp_path).stdout)["models"]
    assert next(row for row in listed if row["name"] == "mine")["source"] == "the package outside"
    words = ["run", "--model", "mine", "--tasks", "asr", "--limit", "2", "--output", str(tmp_path / "run")]
    assert command(*words, path=tmp_path).returncode == 0


def test_a_broken_package_is_named(tmp_path: Path) -> None:
    install(tmp_path, "[speech_eval.models]\nbroken = outside:ENTRIES\n", "import no_such_module_anywhere\n")
    done = command("list", "models", path=tmp_path)
    assert done.returncode == 2 and "installed package 'outside' cannot be loaded" in done.stderr
