"""One grammar for every model: what may stand after `--model`.

    NAME                     a registered adapter:           whisper-base, hibari, espeak-ng, oracle
    hf:ORG/REPO[@REVISION]   a hub checkpoint, by its config's model_type
    PATH                     a local checkpoint directory (config.json, or CTranslate2's model.bin)
    PATH.py:CLASS            a class in your own file
    openai:URL#MODEL         an OpenAI-compatible server
    funasr:MODEL             a recognizer of FunASR:         funasr:paraformer-zh
    cascade:ASR+LLM+TTS      three specs that answer speech with speech
    outputs:DIR              answers made elsewhere, by sample id: audio files, or .txt/.jsonl files

Options follow after commas: `hf:openai/whisper-large-v3,dtype=bfloat16,batch_size=8`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speech_eval import registry
from speech_eval.adapters.base import Adapter, interfaces_of
from speech_eval.errors import BadInput, MissingExtra, SpeechEvalError
from speech_eval.records import ModelInfo


@dataclass(frozen=True)
class ModelSpec:
    """A parsed spec: `target` is what stands before the first comma, `options` what follows."""

    text: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """A folder name for runs of this model."""
        return re.sub(r"[^A-Za-z0-9._+-]+", "-", redact(self.text)).strip("-.") or "model"


def redact(text: str) -> str:
    """A spec without credentials: user info and query of an address, and values of options that hold a secret."""
    text = re.sub(r"(://)[^/@,#]*@", r"\1", text)
    text = re.sub(r"\?[^#,]*", "", text)
    return re.sub(r"((?:api_)?(?:key|token|password|secret)=)[^,]*", r"\1***", text)


def parse(text: str) -> ModelSpec:
    """Split a spec into target and options. Raises `BadInput` for an empty target or an option without `=`."""
    target, *rest = text.split(",")
    if not target.strip():
        raise BadInput("An empty model spec.", "See: speech-eval list models")
    options: dict[str, Any] = {}
    for item in rest:
        key, equals, value = item.partition("=")
        if not equals or not key.strip().isidentifier():
            raise BadInput(f"Model option '{item}' is not key=value.", f"Write options as '{target},key=value'.")
        options[key.strip()] = _value(value.strip())
    return ModelSpec(text=text, target=target.strip(), options=options)


def _value(text: str) -> Any:
    """`8`, `0.5`, `true`, `null` become what they look like; everything else stays a string."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float) or value is None else text


def resolve(spec: ModelSpec, *, trust_remote_code: bool = False) -> tuple[type[Adapter], dict[str, Any]]:
    """The adapter class of a spec and its keywords; nothing is loaded yet."""
    target, options = spec.target, dict(spec.options)
    scheme, colon, rest = target.partition(":")
    if target in registry.adapters:
        return registry.adapters.get(target), options
    if colon and scheme == "openai":
        url, _, model = rest.partition("#")
        return registry.adapters.get("openai"), {"url": url, "model": model, **options}
    if colon and scheme == "funasr":
        return registry.adapters.get("funasr"), {"model": rest, **options}
    if colon and scheme == "cascade":
        trusted = {"trust_remote_code": True} if trust_remote_code else {}
        return registry.adapters.get("cascade"), {"parts": rest, **trusted, **options}
    if colon and scheme == "outputs":
        return registry.load_attr("speech_eval.adapters.stored:folder_class")(Path(rest)), {"path": rest, **options}
    if colon and scheme == "hf":
        repo, _, revision = rest.partition("@")
        if revision:
            options["revision"] = revision
        return _by_model_type(repo, _hub_model_type(repo, revision or None), options, trust_remote_code)
    if colon and Path(scheme).suffix == ".py":
        return _class_in_file(Path(scheme), rest), options
    path = Path(target)
    if path.is_dir():
        if (path / "reference.json").is_file():
            return registry.adapters.get(f"reference-{_reference_kind(path)}"), {"path": str(path), **options}
        if (path / "model.bin").is_file() and not any(path.glob("*.safetensors")):
            return registry.adapters.get("faster-whisper"), {"path": str(path), **options}
        return _by_model_type(str(path), _local_model_type(path), options, trust_remote_code)
    if colon or "/" in target or path.suffix:
        raise BadInput(
            f"'{target}' is neither a directory nor a model spec.",
            "Use NAME, hf:ORG/REPO, a checkpoint directory, FILE.py:CLASS, openai:URL#MODEL, cascade:… or outputs:DIR.",
        )
    return registry.adapters.get(target), options


def _class_in_file(path: Path, name: str) -> type[Adapter]:
    cls = getattr(registry.load_file(path), name, None)
    if not (isinstance(cls, type) and issubclass(cls, Adapter)):
        raise BadInput(
            f"{path} has no adapter class named '{name}'.",
            "Name a class that derives from harness.SpeechRecognizer or another adapter interface.",
        )
    return cls


def _reference_kind(path: Path) -> str:
    """The kind of a checkpoint that a recipe of this project trained: `codec` or `tts`."""
    description = path / "reference.json"
    try:
        return str(json.loads(description.read_text("utf-8"))["kind"])
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BadInput(f"{description}: no readable 'kind' ({error!r}).", "Copy the checkpoint again.") from error


def _local_model_type(path: Path) -> str:
    config = path / "config.json"
    if not config.is_file():
        raise BadInput(f"{path} holds no config.json.", "Give a checkpoint directory as save_pretrained writes it.")
    try:
        return str(json.loads(config.read_text("utf-8"))["model_type"])
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BadInput(f"{config}: no readable 'model_type' ({error!r}).", "Save the checkpoint again.") from error


def _hub_model_type(repo: str, revision: str | None) -> str:
    try:
        from transformers import AutoConfig
    except ModuleNotFoundError as error:
        raise MissingExtra("transformers", "asr") from error
    try:
        return str(AutoConfig.from_pretrained(repo, revision=revision).model_type)
    except (OSError, ValueError) as error:
        message = str(error).splitlines()[0]
        raise BadInput(
            f"hf:{repo}: {message}", "Check the name, the network, and HF_TOKEN for gated models."
        ) from error


def _by_model_type(
    path: str, model_type: str, options: dict[str, Any], trust: bool
) -> tuple[type[Adapter], dict[str, Any]]:
    name = registry.model_types.get(model_type)
    if name is None:
        known = ", ".join(sorted(registry.model_types))
        raise BadInput(
            f"{path}: no adapter runs the architecture '{model_type}' (known: {known}).",
            "Write one in a file of your own and pass FILE.py:CLASS; docs/adapters.md shows how.",
        )
    if trust:
        options["trust_remote_code"] = True
    return registry.adapters.get(name), {"path": path, **options}


def build(spec: ModelSpec, *, trust_remote_code: bool = False) -> Adapter:
    """Load the model. Whatever a broken checkpoint raises becomes `BadInput` naming the spec."""
    cls, options = resolve(spec, trust_remote_code=trust_remote_code)
    batch_size = options.pop("batch_size", None)
    try:
        adapter = cls(**options)
    except SpeechEvalError:
        raise
    except TypeError as error:
        raise BadInput(f"{redact(spec.text)}: {error}", "Check the options after the model's name.") from error
    except Exception as error:
        raise BadInput(
            f"{redact(spec.text)}: the model could not be loaded ({type(error).__name__}: {error}).",
            "Check that the checkpoint is complete and of the architecture its config names.",
        ) from error
    if batch_size is not None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise BadInput(f"batch_size={batch_size} is not a positive whole number.", "Use batch_size=8, say.")
        adapter.batch_size = batch_size
    return adapter


def describe(spec: ModelSpec, adapter: Adapter) -> ModelInfo:
    """The adapter's own information, with the (redacted) spec and its interfaces filled in."""
    options = {k: ("***" if re.search("key|token|password|secret", k) else v) for k, v in spec.options.items()}
    return adapter.info().model_copy(
        update={"spec": redact(spec.text), "interfaces": interfaces_of(adapter), "options": options}
    )
