"""Recognizers and the speaker encoder of SpeechBrain from folders of real classes, against the package's own loader."""

from __future__ import annotations

import os
import pickle
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_speechbrain as tiny
from support.contracts import build, check_recognizer, hear, noise, run

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.hyperparams import Hyperparams
from speech_eval.adapters.speechbrain_folder import SpeechBrainFolder, imported, locate
from speech_eval.errors import BadInput
from speech_eval.metrics.catalog import METRICS

torch = pytest.importorskip("torch")
pytest.importorskip("speechbrain")
imported()  # before other tests look at every module
FAMILIES = {"ctc": tiny.CTC, "searched": tiny.SEARCHED}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("speechbrain")
    return {name: tiny.write(text, home / name) for name, text in (*FAMILIES.items(), ("ecapa", tiny.ECAPA))}


def test_its_redirects_can_be_looked_at() -> None:
    assert not [name for name, module in sys.modules.items() if getattr(module, "__file__", None) == "no file"]


BOMBS = {
    "a: [1, 2]": "[!copy <{0}>, !copy <{0}>]",
    "a: xxxxxxxxxx": "!ref <{0}><{0}>",
    "a: 99999999": "!ref <{0}> * <{0}>",
    "a: [x, y]": "[!ref <{0}>, !ref <{0}>]",
    "a: {x: y}": "{{x: !ref <{0}>, y: !ref <{0}>}}",
}


@pytest.mark.parametrize("start", BOMBS)
def test_a_value_that_doubles_forty_times_is_refused(tmp_path: Path, start: str) -> None:
    names = ["a", *(f"a{step}" for step in range(40))]
    lines = [f"{name}: {BOMBS[start].format(before)}" for before, name in pairwise(names)]
    (tmp_path / "h.yaml").write_text("\n".join([start, *lines]))
    with pytest.raises(BadInput, match="a value has more than 10000 parts"):
        Hyperparams(tmp_path / "h.yaml", {})[names[-1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_recognizers_keep_their_contract(folders: dict[str, Path], family: str) -> None:
    model = build(f"speechbrain:{folders[family]}")
    check_recognizer(model)
    info = model.info()
    assert info.license == "apache-2.0" and len(info.weights_sha256) == 64 and info.parameters > 500


@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_says_what_the_packages_own_loader_makes_it_say(folders: dict[str, Path], family: str) -> None:
    audio = noise(1.3, seed=5)
    heard = build(f"speechbrain:{folders[family]}").transcribe(hear(audio))
    trusted = modelspec.resolve(f"speechbrain:{folders[family]}", trust_remote_code=True).build()
    assert trusted.transcribe(hear(audio)) == heard  # type: ignore[attr-defined]
    assert trusted.info().metadata["trusted"]


def test_the_command_finishes_its_task(folders: dict[str, Path], tmp_path: Path) -> None:
    assert run(f"speechbrain:{folders['ctc']}", "asr", tmp_path) == 0


def test_a_speaker_encoder_is_no_recognizer(folders: dict[str, Path]) -> None:
    with pytest.raises(BadInput, match="not a recognizer with an encoder; its modules are classifier, compute_"):
        build(f"speechbrain:{folders['ecapa']}")


def test_speaker_embeddings_are_the_packages(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from speechbrain.inference.classifiers import EncoderClassifier

    monkeypatch.setenv("SPEECH_EVAL_SPEECHBRAIN_ECAPA", str(folders["ecapa"]))
    metric: Any = METRICS.get("sim[speechbrain-ecapa@voxceleb]")()
    audio = noise(1.0)
    folder = str(folders["ecapa"])
    original = EncoderClassifier.from_hparams(folder, overrides={"pretrained_path": folder}, run_opts={"device": "cpu"})
    expected = original.encode_batch(torch.from_numpy(audio.samples)[None])[0, 0]
    np.testing.assert_allclose(metric.embed(audio), expected.numpy(), atol=1e-5)
    assert metric.embed(audio).shape == (192,) and metric.scorer().startswith("speechbrain-ecapa@")


# ------------------------------------------------------------------------------------------------ strangers

TOUCH = "touch {mark}"
HOSTILE = [
    "!apply:os.system ['{touch}']",
    "!applyref:os.system ['{touch}']",
    "!new:subprocess.Popen [['touch', '{mark}']]",
    "!new:speechbrain.nnet.CNN.torch.hub.load ['{mark}', 'x']",
    "!name:speechbrain.nnet.CNN.get_logger",
    "!new:speechbrain.lobes.models.beats.BEATs ['{mark}']",
    "!new:speechbrain.decoders.scorer.KenLMScorer ['{mark}', 3]",
    "!name:speechbrain.decoders.ctc.CTCBeamSearcher {{kenlm_model_path: '{mark}'}}",
    "!module:os",
    "!include:{mark}",
    "!!python/object/apply:os.system ['{touch}']",
    "(!!python/object/apply:os.system ['{touch}'])",
    "!ref <tokenizer>",
    "!ref <tokenizer[0][9]>",
    "!PLACEHOLDER",
    "{{[a]: 1}}",
    "!new:torch.nn.Linear {{color: red}}",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_file_runs_no_code(folders: dict[str, Path], tmp_path: Path, value: str) -> None:
    mark = tmp_path / "mark"
    written = value.format(touch=TOUCH.format(mark=mark), mark=mark)
    text = tiny.CTC.replace("!new:speechbrain.dataio.encoder.CTCTextEncoder", written)
    (tmp_path / "hyperparams.yaml").write_text(text)
    settings = Hyperparams(tmp_path / "hyperparams.yaml", {})
    with pytest.raises(BadInput, match=r"hyperparams\.yaml"):
        settings["tokenizer"]
    with pytest.raises(BadInput):
        build(f"speechbrain:{tmp_path}")
    assert not mark.exists()


@pytest.mark.parametrize(
    "text", ["", "- a\n", "a: [", "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [x]\n"]
)
def test_a_file_that_is_no_table_of_settings_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hyperparams.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"hyperparams\.yaml"):
        Hyperparams(tmp_path / "hyperparams.yaml", {})["a"]


class Command:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", ["asr", "normalizer", "tokenizer"])
def test_weights_with_code_in_them_are_not_read(tmp_path: Path, name: str) -> None:
    folder = tiny.write(tiny.CTC, tmp_path / "model")
    (folder / ("tokenizer.txt" if name == "tokenizer" else f"{name}.ckpt")).write_bytes(
        pickle.dumps(Command(tmp_path / "mark"))
    )
    with pytest.raises(BadInput, match=name):
        build(f"speechbrain:{folder}")
    assert not (tmp_path / "mark").exists()


def test_missing_files_and_weights_are_named(tmp_path: Path) -> None:
    folder = tiny.write(tiny.CTC, tmp_path / "model")
    whole = torch.load(folder / "asr.ckpt", weights_only=True)
    name, *_ = whole
    torch.save({key: value for key, value in whole.items() if key != name}, folder / "asr.ckpt")
    with pytest.raises(BadInput, match=rf"asr\.ckpt does not fit its ModuleList.*{name}"):
        build(f"speechbrain:{folder}")
    (folder / "asr.ckpt").unlink()
    with pytest.raises(BadInput, match="lacks the file of 'asr'"):
        build(f"speechbrain:{folder}")
    (folder / "hyperparams.yaml").write_text(tiny.CTC.replace("        asr: !ref <asr_model>\n", ""))
    with pytest.raises(BadInput, match=r"no file has the weights of encoder\.enc.*and .* more; they would be random"):
        build(f"speechbrain:{folder}")
    with pytest.raises(BadInput, match=r"holds no hyperparams\.yaml"):
        build(f"speechbrain:{tmp_path}")


def test_a_repository_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match=r"hf:nobody/nothing: .*Check the name, the network"):
        build("speechbrain:nobody/nothing")


def test_files_outside_the_folder_are_never_read(tmp_path: Path) -> None:
    folder = tiny.write(tiny.CTC, tmp_path / "model")
    (folder / "asr.ckpt").rename(tmp_path / "asr-of-another.ckpt")
    text = tiny.CTC.replace("<pretrained_path>/asr.ckpt", f"<pretrained_path>/{tmp_path}/asr-of-another.ckpt")
    (folder / "hyperparams.yaml").write_text(text)
    with pytest.raises(BadInput, match="lacks the file of 'asr'"):
        SpeechBrainFolder(locate(str(folder), None)).build(None, (), "cpu")
