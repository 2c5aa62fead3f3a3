"""Whisper, CTC recognizers, codecs and speech LMs as others write them: the same answers from every export, or one line
at load that names what is wrong and what to do."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import exports
from support.contracts import hear, run, say
from support.metric_items import reader
from support.tiny_asr import save_whisper
from support.tiny_codecs import save_scalar_codec, save_snac
from support.tiny_ctc import save_ctc
from support.tiny_lms import named_pair, published

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec, SpeechRecognizer
from speech_eval.errors import BadInput

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch.set_num_threads(1)

Made = tuple[Path, str]  # a checkpoint directory, and the options behind it in its model spec
FAMILIES: dict[str, Callable[[Path], Made]] = {
    "whisper": lambda folder: (save_whisper(folder, "whisper-base"), ""),
    "whisper.en": lambda folder: (save_whisper(folder), ""),
    **{
        name: lambda folder, name=name: (save_ctc(name, folder), "")  # type: ignore[misc]
        for name in ("wav2vec2-layer", "hubert", "wavlm", "wav2vec2-conformer")
    },
    "xcodec2": lambda folder: (save_scalar_codec("Xcodec2", folder), ""),
    "neucodec": lambda folder: (save_scalar_codec("NeuCodec", folder), ""),
    "snac": lambda folder: (save_snac(folder), ""),
    **{
        name: lambda folder, name=name: _speaking(name, folder)  # type: ignore[misc]
        for name in ("llasa", "orpheus", "neutts", "outetts")
    },
}
TASKS = {"snac": "codec-reconstruction", "xcodec2": "codec-reconstruction", "neucodec": "codec-reconstruction"}


def _speaking(family: str, folder: Path) -> Made:
    made, codec = published(family, folder)[:2] if family == "outetts" else named_pair(family, folder)
    return made, f",codec=[{codec}],max_seconds=0.3"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Each family's checkpoint as `save_pretrained` writes it."""
    made: dict[str, Made] = {}

    def write(family: str) -> Made:
        if family not in made:
            made[family] = FAMILIES[family](tmp_path_factory.mktemp("made") / "model")
        return made[family]

    return write


def exported(made: Made, export: str, folder: Path) -> str:
    """The model spec of a copy that is written in another way."""
    path, options = made
    shutil.copytree(path, folder)
    getattr(exports, export)(folder)
    return f"{folder}{options}"


def answer(spec: str, trust: bool = False) -> str:
    """What a model says, as a digest or a text."""
    model: Any = modelspec.resolve(spec, trust_remote_code=trust).build()
    heard = [reader("0880").resampled(model.sample_rate)] if isinstance(model, SpeechRecognizer | AudioCodec) else []
    if isinstance(model, SpeechRecognizer):
        return model.transcribe(hear(*heard))[0]
    if isinstance(model, AudioCodec):
        found = [book.tolist() for book in model.encode(heard)[0].codebooks]
    else:
        voice = (reader("0880"), "he was not") if "NeuTTS" in type(model).__name__ else ()
        found = model.synthesize([say("one two", 1, *voice)])[0].samples.tolist()
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


RUNS = (
    *((family, "more_weights") for family in ("llasa", "orpheus", "neutts")),  # each with the codec of its release
    *(("whisper", export) for export in ("shards", "early", "without_generation", "fine_tuned", "vocabulary")),
    *(("whisper.en", export) for export in ("without_generation", "vocabulary")),
    *((family, "old_norms") for family in ("wav2vec2-layer", "hubert", "wavlm", "wav2vec2-conformer")),
    *((family, "early") for family in ("wav2vec2-layer", "hubert", "wavlm", "wav2vec2-conformer")),
    *((family, export) for family in ("xcodec2", "neucodec") for export in ("shards", "early", "more_weights")),
    *(("snac", export) for export in ("shards", "old_norms", "more_weights", "bookkeeping")),
    *((family, export) for family in ("orpheus", "neutts", "outetts") for export in ("shards", "without_generation")),
)


@pytest.mark.parametrize(("family", "export"), RUNS)
def test_every_export_gives_the_same_answers(
    family: str, export: str, tmp_path: Path, written: Callable[[str], Made]
) -> None:
    plain = "".join(map(str, written(family)))
    assert answer(exported(written(family), export, tmp_path / "model")) == answer(plain)


REFUSED = (
    ("whisper", "no_tokenizer", r"holds no tokenizer \(tokenizer\.json\).*take the file from the model"),
    ("hubert", "no_tokenizer", r"holds no tokenizer \(tokenizer\.json\).*take the file from the model"),
    ("orpheus", "no_tokenizer", r"holds no tokenizer \(tokenizer\.json\)"),
    ("hubert", "no_extractor", r"holds no feature extractor \(preprocessor_config\.json\)"),
    ("llasa", "without_generation", r"has no chat template"),
    *(
        (family, "adapter_alone", r"adapter of 'some/base', not a whole model.*merge_and_unload")
        for family in ("neutts",)
    ),
    *((family, "adapter", r"adapter of 'some/base', not a whole model.*Merge") for family in ("whisper", "orpheus")),
    ("outetts", "other_name", r"no index names: pytorch_model\.safetensors\. Rename it to model\.safetensors"),
    ("neucodec", "other_shape", r"is of shape \[.*by config\.json \[.*not of one model"),
    ("wavlm", "data_parallel", r"are missing; they would be random \(what it holds and the model has not: module\."),
    ("xcodec2", "pointer", r"model\.safetensors: broken or truncated weights"),
    ("snac", "pointer", r"not a SNAC checkpoint"),
    ("snac", "data_parallel", r"the weights of .* are missing"),
    ("snac", "other_shape", r"not a SNAC checkpoint .*size mismatch"),
    ("neutts", "gguf", r"holds GGUF weights"),
    ("wav2vec2-conformer", "pickled", r"only pickled weights \(pytorch_model\.bin\).*--trust-remote-code"),
)


@pytest.mark.parametrize(("family", "export", "said"), REFUSED)
def test_what_cannot_be_loaded_is_named_in_one_line(
    family: str, export: str, said: str, tmp_path: Path, written: Callable[[str], Made]
) -> None:
    spec = exported(written(family), export, tmp_path / "model")
    with pytest.raises(BadInput, match=said) as raised:
        modelspec.resolve(spec).build()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("family", ["whisper", "orpheus"])
def test_weights_of_eight_bits_name_the_package_they_need(
    family: str, tmp_path: Path, written: Callable[[str], Made]
) -> None:
    spec = exported(written(family), "eight_bits", tmp_path / "model")
    with pytest.raises(BadInput, match=r"a package is missing \(ImportError: .*bitsandbytes.*Install what it names"):
        modelspec.resolve(spec).build()


@pytest.mark.parametrize("family", ["whisper", "wavlm", "xcodec2", "orpheus"])
def test_trusted_pickles_say_the_same_and_are_identified(
    family: str, tmp_path: Path, written: Callable[[str], Made]
) -> None:
    spec = exported(written(family), "pickled", tmp_path / "model")
    assert answer(spec, trust=True) == answer("".join(map(str, written(family))))
    assert len(modelspec.resolve(spec, trust_remote_code=True).build().info().weights_sha256) == 64


def test_a_multilingual_whisper_without_rules_is_told_the_language(
    tmp_path: Path, written: Callable[[str], Made]
) -> None:
    rules = modelspec.resolve(exported(written("whisper"), "without_generation", tmp_path / "model")).build()
    plain = modelspec.resolve(str(written("whisper")[0])).build()
    for name in ("lang_to_id", "task_to_id", "suppress_tokens", "begin_suppress_tokens", "max_length"):
        assert getattr(rules._model.generation_config, name) == getattr(plain._model.generation_config, name)  # type: ignore[attr-defined]
    spoken = hear(reader("0880"), language="de")
    assert rules.transcribe(spoken) == plain.transcribe(spoken)  # type: ignore[attr-defined]


def test_a_speech_lm_is_found_by_tokens_that_were_added_to_a_vocabulary(tmp_path: Path) -> None:
    """NeuTTS as of a base that has vocab.json and merges.txt."""
    from tokenizers.pre_tokenizers import ByteLevel

    folder, options = _speaking("neutts", tmp_path)
    stated = json.loads((folder / "tokenizer.json").read_text())
    added = [token["content"] for token in stated["added_tokens"] if token["content"] != "<unk>"]
    for file in folder.glob("*token*"):
        file.unlink()
    letters = sorted(ByteLevel.alphabet())[:97]
    (folder / "vocab.json").write_text(json.dumps({letter: place for place, letter in enumerate(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "added_tokens.json").write_text(json.dumps({name: 97 + place for place, name in enumerate(added)}))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "Qwen2Tokenizer"}')
    model = modelspec.resolve(f"{folder}{options}")
    assert model.adapter_class.__name__ == "NeuTTS"
    model.build()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "export"),
    (
        *(("whisper", "fine_tuned"), ("wavlm", "old_norms"), ("neucodec", "shards"), ("snac", "bookkeeping")),
        *(("orpheus", "without_generation"), ("neutts", "shards")),
    ),
)
def test_the_command_runs_a_strangers_export(
    family: str, export: str, tmp_path: Path, written: Callable[[str], Made]
) -> None:
    spec = exported(written(family), export, tmp_path / "model")
    task = TASKS.get(family, "latency" if family in ("orpheus", "neutts") else "asr")
    metrics = "si-sdr[torchmetrics-definition]" if family in TASKS else ""
    assert run(spec, task, tmp_path, metrics=metrics) == 0
