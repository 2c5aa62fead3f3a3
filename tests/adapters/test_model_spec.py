"""The grammar of model specs, and what a spec resolves to."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech_eval.adapters.base import SpeechRecognizer
from speech_eval.adapters.spec import ModelSpec, ResolvedModel, parse, redact, resolve
from speech_eval.errors import BadInput, SpeechEvalError, UnknownName
from speech_eval.records import ModelInfo
from speech_eval.testing.fakes import NoisyOracle, Oracle


@pytest.mark.parametrize(
    ("text", "target", "options"),
    [
        ("noisy", "noisy", {}),
        ("noisy,error_rate=0.5", "noisy", {"error_rate": 0.5}),
        ("hf:org/name,dtype=bfloat16,batch_size=8", "hf:org/name", {"dtype": "bfloat16", "batch_size": 8}),
        ("m.py:C,flag=true,none=null,word=a b", "m.py:C", {"flag": True, "none": None, "word": "a b"}),
        ("openai:http://127.0.0.1:1/v1#m,voice=x", "openai:http://127.0.0.1:1/v1#m", {"voice": "x"}),
        ("openai:http://[::1]:1/v1#m", "openai:http://[::1]:1/v1#m", {}),
        ("cascade:[a,b=1]+c,d=2", "cascade:[a,b=1]+c", {"d": 2}),
        ("a,text=[one, two],number=[8]", "a", {"text": "one, two", "number": "8"}),
        ("llasa,codec=[x,path=[a,b]]", "llasa", {"codec": "x,path=[a,b]"}),
        ("[dir,with,commas],x=1", "dir,with,commas", {"x": 1}),
    ],
)
def test_specs_parse(text: str, target: str, options: dict[str, object]) -> None:
    assert parse(text) == ModelSpec(text, target, options)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("noisy,error_rate", "is not key=value"),
        ("a,b=[c", "brackets .* do not match"),
        ("a,b=c]d[", "brackets .* do not match"),
    ],
)
def test_broken_specs_are_refused(text: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "openai:http://user:s3cret@host/v1#m",
        "openai:http://host/v1?key=s3cret#m",
        "openai:http://host/v1#m,api_key=s3cret",
        "openai:http://host/v1#m,token=s3cret,voice=a",
        "openai:http://host/v1#m,api_key=[s3,s3cret]",
        "cascade:[openai:http://host/v1#m,api_key=s3cret]+smollm2",
    ],
)
def test_credentials_never_reach_a_folder_name_or_a_record(text: str) -> None:
    spec = parse(text)
    assert "s3cret" not in redact(text) and "s3cret" not in spec.slug
    assert "s3cret" not in ResolvedModel(spec, NoisyOracle).describe(NoisyOracle()).line()


def test_redaction_keeps_the_other_parts_of_a_spec() -> None:
    assert redact("cascade:[a,token=x]+b,key=y") == "cascade:[a,token=***]+b,key=***"
    assert ResolvedModel(parse("oracle,max_new_tokens=3"), Oracle).describe(Oracle()).options == {"max_new_tokens": 3}


def test_slugs_are_plain_folder_names() -> None:
    for text in ("hf:org/name,dtype=bf16", "../../x.py:C", "openai:http://h:1/v1#m", "a b", "..."):
        slug = parse(text).slug
        assert slug and "/" not in slug and not slug.startswith(".")


def test_a_resolved_model_carries_what_a_run_needs_and_loads_nothing() -> None:
    model = resolve("openai:http://127.0.0.1:1/v1#m,kind=chat,batch_size=4")
    assert model.interfaces == ["AudioLanguageModel"]
    assert model.keywords == {"url": "http://127.0.0.1:1/v1", "model": "m"} and model.batch_size == 4
    assert model.identity(ModelInfo(name="m", weights_sha256="0123456789abcdef")) == (
        "openai:http://127.0.0.1:1/v1#m,kind=chat,batch_size=4@0123456789ab"
    )


def test_batch_size_belongs_to_the_harness() -> None:
    assert resolve("noisy,batch_size=8").build().batch_size == 8
    with pytest.raises(BadInput, match="batch_size must be a whole number ≥ 1, got 0"):
        resolve("noisy,batch_size=0")


def test_a_preset_takes_options_but_not_another_checkpoint() -> None:
    assert resolve("llasa-3m-en,temperature=1").keywords["temperature"] == 1
    with pytest.raises(BadInput, match="has a checkpoint of its own"):
        resolve("whisper-base,path=elsewhere")


def test_an_adapter_object_is_a_model_too() -> None:
    oracle = Oracle()
    model = resolve(oracle)
    assert model.build() is oracle and model.interfaces == resolve("oracle").interfaces
    assert model.describe(oracle).spec == model.redacted == "object:Oracle"


@pytest.mark.parametrize(
    ("text", "error", "problem"),
    [
        ("whisper-bas", UnknownName, "Did you mean whisper-base"),
        ("openai", BadInput, "Write openai:URL#MODEL"),
        ("nowhere:x", BadInput, "is neither a directory nor a model spec"),
        ("no/such/folder", BadInput, "is neither a directory nor a model spec"),
        ("cascade:oracle+oracle+oracle+oracle", BadInput, "does not name two or three models"),
    ],
)
def test_a_spec_that_names_nothing_says_what_to_write(text: str, error: type[BadInput], problem: str) -> None:
    with pytest.raises(error, match=problem):
        resolve(text).build()


def test_a_checkpoint_of_an_unknown_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text('{"kind": "opera"}')
    with pytest.raises(BadInput, match="no adapter runs checkpoints of kind 'opera'"):
        resolve(str(tmp_path))


def test_an_exception_in_info_names_the_model() -> None:
    class Nameless(SpeechRecognizer):
        def info(self) -> ModelInfo:
            raise KeyError("name")

        def transcribe(self, requests: object) -> list[str]:
            return []

    model = resolve(Nameless())
    with pytest.raises(SpeechEvalError, match=r"Nameless\.info\(\) failed \(KeyError: 'name'\)"):
        model.describe(model.build())


GUEST = """
from speech_eval import ModelInfo, SpeechRecognizer

class Guest(SpeechRecognizer):
    def __init__(self, trust_remote_code: bool = False, thinks: bool | None = None):
        self.trusts = trust_remote_code
    def info(self):
        return ModelInfo(name="guest")
    def transcribe(self, requests):
        return ["" for _ in requests]
"""


@pytest.mark.parametrize("value", ["no", "False", "off", "0", "1", "[true]"])
def test_what_is_true_or_false_is_never_another_word(tmp_path: Path, value: str) -> None:
    (tmp_path / "guest.py").write_text(GUEST)
    (tmp_path / "stated.py").write_text("from __future__ import annotations\n" + GUEST)
    for file in ("guest.py", "stated.py"):
        for name in ("trust_remote_code", "thinks"):
            with pytest.raises(BadInput, match=rf"{name} must be true or false, got .*\. Use {name}=true"):
                resolve(f"{tmp_path / file}:Guest,{name}={value}")
        kept = resolve(f"{tmp_path / file}:Guest,trust_remote_code=false,thinks=null").build()
        assert getattr(kept, "trusts", None) is False
    for entry in ("moonshine-streaming", "kyutai-stt", "voxtral-realtime"):
        with pytest.raises(BadInput, match="realtime must be true or false"):
            resolve(f"{entry},path=x,realtime={value}")
