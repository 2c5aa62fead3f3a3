"""Names to things, and the grammar of model specs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speech_eval import registry
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import INTERFACES, interfaces_of
from speech_eval.engine.task import Task
from speech_eval.errors import BadInput, MissingExtra, UnknownName, require
from speech_eval.metrics.catalog import METRICS
from speech_eval.registry import Registry
from speech_eval.testing.fakes import Noisy

ROOT = Path(__file__).resolve().parents[2]


def test_every_built_in_name_loads_and_says_what_it_is() -> None:
    for name in registry.adapters:
        assert interfaces_of(registry.adapters.get(name)), name
    for name in METRICS:
        assert METRICS.get(name).id == name
    for name in registry.tasks:
        task = registry.tasks.get(name)()
        assert task.name == name
        assert all(metric in METRICS for i in task.interfaces for metric in task.metrics_for(i))


def test_a_taken_name_is_not_overridden_in_silence() -> None:
    names: Registry[int] = Registry("number", "speech_eval.none", {})
    names.add("one", 1)
    with pytest.raises(BadInput, match="already registered"):
        names.add("one", 2)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean whisper-base"):
        registry.adapters.get("whisper-bas")


def test_an_installed_package_adds_a_model_by_entry_point(tmp_path: Path) -> None:
    (tmp_path / "my_speech_package.py").write_text(
        "from speech_eval.testing.fakes import Oracle\nclass Mine(Oracle):\n    '''My own model.'''\n"
    )
    info = tmp_path / "my_speech_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-speech-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[speech_eval.adapters]\nmine = my_speech_package:Mine\n")
    code = "from speech_eval.cli.main import main; main()"
    words = ["run", "--model", "mine", "--tasks", "asr", "--limit", "3", "--output", str(tmp_path / "run")]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code, *words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'speech-eval-harness\[ray\]'"):
        require("no_such_package_anywhere", "ray")


@pytest.mark.parametrize(
    ("text", "target", "options"),
    [
        ("noisy", "noisy", {}),
        ("noisy,error_rate=0.5", "noisy", {"error_rate": 0.5}),
        ("hf:org/name,dtype=bfloat16,batch_size=8", "hf:org/name", {"dtype": "bfloat16", "batch_size": 8}),
        ("m.py:C,flag=true,none=null,word=a b", "m.py:C", {"flag": True, "none": None, "word": "a b"}),
        ("openai:http://127.0.0.1:1/v1#m,voice=x", "openai:http://127.0.0.1:1/v1#m", {"voice": "x"}),
    ],
)
def test_specs_parse(text: str, target: str, options: dict[str, object]) -> None:
    spec = modelspec.parse(text)
    assert (spec.target, spec.options) == (target, options)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("openai:http://user:s3cret@host/v1#m", "s3cret"),
        ("openai:http://host/v1?key=s3cret#m", "s3cret"),
        ("openai:http://host/v1#m,api_key=s3cret", "s3cret"),
        ("openai:http://host/v1#m,token=s3cret,voice=a", "s3cret"),
    ],
)
def test_credentials_never_reach_a_folder_name_or_a_record(text: str, secret: str) -> None:
    spec = modelspec.parse(text)
    assert secret not in modelspec.redact(text) and secret not in spec.slug
    described = modelspec.describe(spec, Noisy())
    assert secret not in described.line()


def test_slugs_are_plain_folder_names() -> None:
    for text in ("hf:org/name,dtype=bf16", "../../x.py:C", "openai:http://h:1/v1#m", "a b", "..."):
        slug = modelspec.parse(text).slug
        assert slug and "/" not in slug and not slug.startswith(".")


def test_batch_size_belongs_to_the_harness() -> None:
    assert modelspec.resolve("noisy,batch_size=8").build().batch_size == 8
    with pytest.raises(BadInput, match="not a positive whole number"):
        modelspec.resolve("noisy,batch_size=0").build()


def test_a_task_names_its_primary_and_a_known_interface() -> None:
    fields = {"version": 1, "dataset": "d", "protocol": "p", "description": "d"}
    with pytest.raises(BadInput, match="not among its metrics"):
        Task(name="t", interface="SpeechRecognizer", metrics=("a",), primary="b", **fields)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="names no known interface"):
        Task(name="t", interface="Telepathy", metrics=("a",), primary="a", **fields)  # type: ignore[arg-type]
    assert len(INTERFACES) == 5
