"""`hyperparams.yaml` of SpeechBrain, read without running what a stranger wrote in it.

The format (HyperPyYAML) names Python classes and functions in its tags, and its own loader calls whatever is named.
Here a file can name networks, features, searchers and tokenizers of SpeechBrain and PyTorch, and nothing else; values
are built when they are asked for, so that settings of the training are not touched at all.
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib
import inspect
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from speech_eval.errors import BadInput

_LARGEST = 1_000_000  # bytes of a file; published ones have a few thousand
_MOST = 10_000  # items of a value and characters of a text, however often it repeats itself
_LARGEST_NUMBER = 1 << 63
_YAML = "tag:yaml.org,2002:"
_PARTS = re.compile(r"<([^<>]+)>")
_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # in YAML 1.2, but not in 1.1
_MODELS = r"ECAPA_TDNN|CRDNN|Xvector|ResNet|ContextNet|RNNLM|VanillaNN|convolution|transformer\.\w+"
# Where a class or function may be defined. Modules that fetch files or unpickle them are not among these.
_ALLOWED = re.compile(
    r"torch\.nn\.(modules\.\w+|functional)|sentencepiece|speechbrain\.(nnet|decoders)\.\w+|speechbrain\.dataio\.encoder|"
    rf"speechbrain\.(lobes|processing)\.features|speechbrain\.lobes\.models\.({_MODELS})"
)
_READS_FILES = ("KenLMScorer", "kenlm_model_path")
_TRUST = "Pass --trust-remote-code if you trust whoever wrote it: SpeechBrain then reads the file itself, and runs it."
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


class Hyperparams:
    """The values of a file, by name. `given` replaces those at its top. Raises `BadInput` for a file that is not one,
    and for each value that names something else than it may."""

    def __init__(self, file: Path, given: Mapping[str, Any]) -> None:
        self._file = file
        self._values: dict[int, Any] = {}  # by node: one that is named twice is one object
        self._open: set[int] = set()  # nodes that are being built
        try:
            if file.stat().st_size > _LARGEST:
                raise BadInput(f"{file} is larger than {_LARGEST} bytes.", "Give the hyperparams.yaml of a model.")
            root = yaml.compose(file.read_text("utf-8"), Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise BadInput(f"{file}: not readable as YAML ({first}).", "Fetch the model again.") from error
        if not isinstance(root, yaml.MappingNode):
            raise BadInput(f"{file}: not a table of settings.", "Give the hyperparams.yaml of a model.")
        self._root = {str(key.value): value for key, value in root.value}
        self._given = dict(given)

    def __contains__(self, name: str) -> bool:
        return name in self._given or name in self._root

    def keys(self, name: str) -> set[str]:
        """The keys of the table `name`, without its values; empty where there is none."""
        node = self._root.get(name)
        return {str(key.value) for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()

    def table(self, name: str, part: str) -> dict[str, Any]:
        """The table `part` of what `name` is made of, whatever class that is; empty where there is none."""
        node = self._root.get(name)
        found = {str(key.value): value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
        value = self._value(found[part]) if part in found else {}
        if not isinstance(value, dict):
            raise BadInput(f"{self._file}: {name}.{part} is not a table.", "Fetch the model again.")
        return value

    def __getitem__(self, name: str) -> Any:
        """Raises `BadInput` for a name that the file lacks."""
        if name in self._given:
            return self._given[name]
        if name not in self._root:
            raise BadInput(f"{self._file} has no '{name}'.", "Use a model that is published for inference.")
        return self._value(self._root[name])

    def _value(self, node: yaml.Node) -> Any:
        if id(node) not in self._values:
            if id(node) in self._open or len(self._open) > 100:
                raise BadInput(f"{self._file}: a value refers to itself.", "Fetch the model again.")
            self._open.add(id(node))
            self._values[id(node)] = self._bounded(self._build(node))
            self._open.discard(id(node))
        return self._values[id(node)]

    def _bounded(self, value: Any) -> Any:
        """`value`, unless it repeats itself beyond what a model has: twice each time, thirty times fill the memory."""
        left, seen = [value], 0
        while left:
            item = left.pop()
            seen += len(item) if isinstance(item, str) else 1
            left += item if isinstance(item, list | tuple) else item.values() if isinstance(item, dict) else ()
            if seen + len(left) > _MOST:
                raise BadInput(f"{self._file}: a value has more than {_MOST} parts.", "Fetch the model again.")
        return value

    def _build(self, node: yaml.Node) -> Any:
        kind, _, name = node.tag.partition(":")
        if kind in ("!new", "!name") and name:
            return self._made(name, node, calls=kind == "!new")
        if node.tag in ("!ref", "!copy") and isinstance(node, yaml.ScalarNode):
            found = self._referred(node.value)
            return copy.deepcopy(found) if node.tag == "!copy" else found
        if node.tag == "!tuple" and isinstance(node, yaml.ScalarNode):
            return self._tuple(node.value)
        if not node.tag.startswith(_YAML) or node.tag.startswith(_YAML + "python"):
            raise BadInput(f"{self._file}: {node.tag} runs code that this file names.", _TRUST)
        if isinstance(node, yaml.MappingNode):
            if not all(isinstance(key, yaml.ScalarNode) for key, _ in node.value):
                raise BadInput(f"{self._file}: a key of a table is not text.", "Fetch the model again.")
            return {self._value(key): self._value(value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item) for item in node.value]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag == _YAML + "str":
            plain = isinstance(node, yaml.ScalarNode) and node.style is None
            if plain and re.fullmatch(r"\(.*\)", node.value):
                return self._tuple(node.value)
            return float(node.value) if plain and _FLOAT.fullmatch(node.value) else node.value
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise BadInput(
                f"{self._file}: {node.value!r:.60} cannot be read as a value.", "Fetch the model again."
            ) from error

    def _tuple(self, text: str) -> tuple[Any, ...]:
        try:
            return tuple(yaml.safe_load(f"[{text[1:-1]}]"))
        except yaml.YAMLError as error:
            raise BadInput(f"{self._file}: {text!r:.60} is not a tuple.", "Fetch the model again.") from error

    def _referred(self, text: str) -> Any:
        """The value of `<name>` or `<name[part]>`, of a text around such, or of arithmetic with such."""
        if whole := _PARTS.fullmatch(text.strip()):
            return self._named(whole[1])
        filled = _PARTS.sub(lambda match: str(self._bounded(self._named(match[1]))), text)
        try:
            return _computed(ast.parse(self._bounded(filled).strip(), mode="eval").body)
        except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
            return filled

    def _named(self, reference: str) -> Any:
        name, *parts = (part.strip("]") for part in reference.split("["))
        value = self[name]
        for part in parts:
            try:
                value = value[int(part)] if isinstance(value, list | tuple) else value[part]
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise BadInput(f"{self._file}: <{reference}> names nothing.", "Fetch the model again.") from error
        return value

    def _made(self, name: str, node: yaml.Node, calls: bool) -> Any:
        """What `!new:` (`calls`) or `!name:` stands for, after its name has been checked."""
        found = self._named_object(name, calls)
        given: Any = [] if isinstance(node, yaml.ScalarNode) else self._arguments(node)
        args, kwargs = (given, {}) if isinstance(given, list) else ([], given)
        if any(word in kwargs for word in _READS_FILES):
            raise BadInput(f"{self._file}: {name} would read a language model by KenLM.", _TRUST)
        if not calls:
            return functools.partial(found, *args, **kwargs) if given else found
        try:
            return found(*args, **kwargs)
        except (TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError, LookupError) as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise BadInput(f"{self._file}: {name} cannot be made ({first}).", "Fetch the model again.") from error

    def _arguments(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {str(key.value): self._value(value) for key, value in node.value}
        return [self._value(item) for item in node.value]

    def _named_object(self, name: str, calls: bool) -> Any:
        module, _, attribute = name.rpartition(".")
        found: Any = None
        # A re-export such as torch.nn.ReLU or speechbrain.decoders.ctc_greedy_decode is judged by where it is defined.
        if _ALLOWED.fullmatch(module) or module in ("torch.nn", "speechbrain.decoders"):
            try:
                found = getattr(importlib.import_module(module), attribute, None)
            except ImportError:
                found = None
        fits = inspect.isclass(found) or (not calls and inspect.isfunction(found))
        if not fits or not _ALLOWED.fullmatch(found.__module__) or attribute in _READS_FILES:
            raise BadInput(f"{self._file} names {name}, which is not a part that it may be made of.", _TRUST)
        return found


def _computed(node: ast.expr) -> Any:
    """Arithmetic of numbers. Raises `ValueError` for anything else, and for a number that no setting has."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        value = node.value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = -_computed(node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        value = _ARITHMETIC[type(node.op)](_computed(node.left), _computed(node.right))
    else:
        raise ValueError("not arithmetic")
    if abs(value) > _LARGEST_NUMBER:
        raise ValueError("too large")
    return value
