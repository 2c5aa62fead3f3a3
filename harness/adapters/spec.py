"""Model specs: the grammar of `--model`, and a spec resolved to what builds the model.

    NAME                     a model of the catalog:         whisper-base, hibari, espeak-ng, oracle
    hf:ORG/REPO[@REVISION]   a checkpoint of the hub, recognized by `model_type` in its config.json
    DIR                      a checkpoint directory, recognized by its config.json, reference.json or model.bin
    FILE.py:CLASS            an adapter class in your own file
    SCHEME:REST              what the catalog registers:     openai:URL#MODEL, cascade:ASR+LLM+TTS, outputs:DIR

Options follow after commas: `hf:openai/whisper-large-v3,dtype=bfloat16,batch_size=8`. `8`, `0.5`, `true` and `null` are
read as what they look like, everything else is text.

A spec or a text inside a spec is written in square brackets. A comma or a plus inside brackets separates nothing, the
outermost brackets are removed, and brackets nest:

    cascade:[whisper-base,num_beams=5]+smollm2+[kokoro,voice=jf_alpha+jf_gongitsune],system=[Be brief, please.]
    llasa,path=DIR,codec=[xcodec2,path=DIR]
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from speech_eval.adapters import checkpoints
from speech_eval.adapters.base import Adapter, interfaces_of
from speech_eval.adapters.catalog import MODELS, SCHEMES, Target
from speech_eval.adapters.options import check_flags, whole
from speech_eval.errors import BadInput, SpeechEvalError, clipped, nearest
from speech_eval.records import ModelInfo
from speech_eval.registry import load_file
from speech_eval.safety.code import code_digests
from speech_eval.safety.guest import contained, reason
from speech_eval.safety.redaction import credentials_in, redact_spec, redacted
from speech_eval.safety.redaction import redact as redact_text
from speech_eval.text.files import parse_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSpec:
    """A parsed spec: `target` is the part before the first comma, `options` are the parts after it."""

    text: str
    target: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def redacted(self) -> str:
        """The spec without credentials."""
        return redact(self.text)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials among the values of options, to be kept out of messages."""
        return tuple(credentials_in(self.options))

    @property
    def slug(self) -> str:
        """A folder name for runs of this model."""
        return re.sub(r"[^A-Za-z0-9._+-]+", "-", self.redacted).strip("-.") or "model"


@dataclass(frozen=True)
class ResolvedModel:
    """A model spec, resolved once: which class with which keywords. Nothing is loaded before `build`.

    `keywords` are the arguments of the adapter's constructor; `batch_size` is the harness's own option. `instance` is
    set where the caller gave an adapter object rather than a spec.
    """

    spec: ModelSpec
    adapter_class: type[Adapter]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    instance: Adapter | None = None

    @property
    def redacted(self) -> str:
        """The spec without credentials, as it is stored in runs: two runs of the same model have the same."""
        return self.spec.redacted

    @property
    def slug(self) -> str:
        """A folder name for runs of this model."""
        return self.spec.slug

    @property
    def interfaces(self) -> list[str]:
        """Names of the interfaces the model implements."""
        return interfaces_of(self.adapter_class)

    @property
    def code(self) -> dict[str, str]:
        """sha256 of each file of the user's own code that the adapter consists of (`safety.code.code_digests`)."""
        return _code(self.adapter_class)

    def identity(self, info: ModelInfo) -> str:
        """What names a scorer in a run: the redacted spec, and the digest of the weights or the user's code, or the
        revision."""
        code = checkpoints.combined_digest(info.code) if info.code else ""
        return f"{self.redacted}@{(info.weights_sha256 or code or info.revision)[:12]}"

    def own_name(self, info: ModelInfo) -> str:
        """What the model calls itself, with the options of its spec; empty for a model of the catalog, whose spec is
        its name."""
        if self.instance is None and self.spec.target in MODELS:
            return ""
        return ",".join([info.name, *split(self.redacted, ",")[1:]])

    def build(self) -> Adapter:
        """Load the model. Whatever a broken checkpoint raises becomes `BadInput` that names the spec."""
        adapter = self.instance or self._construct()
        if self.batch_size is not None:
            adapter.batch_size = self.batch_size
        return adapter

    def _construct(self) -> Adapter:
        try:
            with contained(f"{self.redacted}: loading the model"):
                return self.adapter_class(**self.keywords)
        except SpeechEvalError:
            raise
        except TypeError as error:
            logger.info("load: %s failed", self.redacted, exc_info=error)
            raise self._unfit(error) from error
        except Exception as error:
            logger.info("load: %s failed", self.redacted, exc_info=error)
            raise BadInput(
                f"{self.redacted}: the model could not be loaded ({self._reason(error)}).",
                "Check that the checkpoint is complete and of the architecture its config names; -v shows where.",
            ) from error

    def _unfit(self, error: TypeError) -> BadInput:
        """What is wrong with the options, in their own words."""
        inits = [vars(cls)["__init__"] for cls in self.adapter_class.__mro__ if "__init__" in vars(cls)]
        known = dict.fromkeys(name for init in inits[:-1] for name in inspect.signature(init).parameters)
        options = [name for name in known if name not in ("self", "args", "kwargs", "options")]
        if found := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
            problem = f"{self.redacted}: there is no option '{clipped(found[1])}'."
            return BadInput(problem, nearest(found[1], options))
        if found := re.search(r"missing \d+ required .*?'(\w+)'", str(error)):
            return BadInput(f"{self.redacted} needs the option '{found[1]}'.", f"Write {self.redacted},{found[1]}=….")
        return BadInput(f"{self.redacted}: {self._reason(error)}.", "Check the options after the model's name.")

    def _reason(self, error: Exception) -> str:
        return reason(error, *self.spec.secrets)

    def describe(self, adapter: Adapter) -> ModelInfo:
        """The adapter's own information, without credentials, with spec, options, interfaces and code filled in.

        Raises `SpeechEvalError` that names the model where `info()` raises or returns what cannot be stored.
        """
        try:
            with contained(f"{self.redacted}: {type(adapter).__name__}.info()"):
                own = adapter.info()
            if not isinstance(own, ModelInfo):
                raise TypeError(f"it returned {type(own).__name__}, not ModelInfo")
            own.line().encode()  # raises for what no JSON can hold
        except SpeechEvalError:
            raise
        except Exception as error:
            logger.info("info: %s failed", self.redacted, exc_info=error)
            raise SpeechEvalError(
                f"{self.redacted}: {type(adapter).__name__}.info() failed ({self._reason(error)}).",
                "Correct the method; docs/adapters.md shows one.",
            ) from error
        update = {
            "spec": self.redacted,
            "name": redact_text(own.name, *self.spec.secrets),
            "interfaces": interfaces_of(adapter),
            "options": redacted(self.spec.options),
            "metadata": redacted(own.metadata),
            "code": self.code,
        }
        return own.model_copy(update=update)


def redact(text: str) -> str:
    """A spec without credentials: user info and query of an address, and values of options that hold a secret."""
    return redact_spec(text)


# ---------------------------------------------------------------------------------------------- parsing


def parse(text: str) -> ModelSpec:
    """Split a spec into target and options. Raises `BadInput` for an empty target or an option without `=`."""
    target, *rest = split(text, ",")
    options: dict[str, Any] = {}
    for item in rest:
        key, equals, value = item.partition("=")
        if not equals or not key.strip().isidentifier():
            raise BadInput(
                f"Model option '{redact(item)}' is not key=value.",
                f"Write options as '{redact(target)},key=value'; a value with a comma stands in brackets: [a,b].",
            )
        options[key.strip()] = _value(value.strip())
    if not (target := unwrap(target.strip())):
        raise BadInput("The model spec is empty.", "See: speech-eval list models")
    return ModelSpec(text=text, target=target, options=options)


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that are outside square brackets. Raises `BadInput` for unmatched brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise BadInput(f"The brackets of '{redact(text)}' do not match.", "Close every [ with a ].")
    return parts


def unwrap(text: str) -> str:
    """`text` without the brackets around all of it, where it has them."""
    return text[1:-1].strip() if _wrapped(text) else text


def _wrapped(text: str) -> bool:
    if not (text.startswith("[") and text.endswith("]")):
        return False
    depths, depth = [], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        depths.append(depth)
    return all(depths[:-1])


def _value(text: str) -> Any:
    if _wrapped(text):
        return unwrap(text)
    try:
        value = parse_json(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) or value is None else text


# ---------------------------------------------------------------------------------------------- resolving


def resolve(model: str | ModelSpec | Adapter, *, trust_remote_code: bool = False) -> ResolvedModel:
    """What builds the model of a spec, or of an adapter object as it is. Loads no weights.

    Raises `BadInput` for a spec that names nothing, `UnknownName` with the nearest names for a misspelled one.
    """
    if isinstance(model, Adapter):
        cls = type(model)
        return ResolvedModel(ModelSpec(f"object:{cls.__name__}", cls.__name__), cls, instance=model)
    spec = parse(model) if isinstance(model, str) else model
    options = dict(spec.options)
    batch_size = options.pop("batch_size", None)
    if batch_size is not None:
        whole("batch_size", batch_size)
    cls, keywords = _target(spec.target, options, trust_remote_code)
    check_flags(cls, keywords)
    _code(cls)
    return ResolvedModel(spec, cls, keywords, batch_size)


@cache
def _code(cls: type[Adapter]) -> dict[str, str]:
    # Read when the class is first met: a process goes on with the code it has loaded, whatever happens to the files.
    return code_digests(cls)


def _target(target: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    scheme, colon, rest = target.partition(":")
    path = Path(target)
    if target in MODELS:
        return _named(target, options)
    if colon and scheme in SCHEMES:
        return SCHEMES.get(scheme)(rest, options, trust_remote_code)
    if colon and scheme.endswith(".py"):
        return _class_in_file(Path(scheme), rest), options
    if path.is_dir():
        return checkpoints.recognize(path, options, trust_remote_code)
    if colon or "/" in target or path.suffix:
        schemes = ", ".join(f"{name}:" for name in SCHEMES)
        raise BadInput(
            f"'{redact(target)}' is neither a directory nor a model spec.",
            f"Give a name of `speech-eval list models`, a checkpoint directory, FILE.py:CLASS, or one of {schemes}.",
        )
    return _named(target, options)


def _named(name: str, options: dict[str, Any]) -> Target:
    entry = MODELS.get(name)
    if entry.scheme:
        raise BadInput(f"'{name}' alone names no model.", f"Write {entry.spec}.")
    if "path" in entry.arguments and "path" in options:
        raise BadInput(f"'{name}' has a checkpoint of its own.", "Leave out path=, or name the family instead.")
    return entry.adapter_class(), {**entry.arguments, **options}


def _class_in_file(path: Path, name: str) -> type[Adapter]:
    cls = getattr(load_file(path), name, None)
    if not (isinstance(cls, type) and issubclass(cls, Adapter)):
        raise BadInput(
            f"{path} has no adapter class named '{name}'.",
            "Name a class that derives from speech_eval.SpeechRecognizer or another adapter interface.",
        )
    return cls
