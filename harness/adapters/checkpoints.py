"""Model checkpoints: which adapter runs a directory or a hub repository, where its files are, and how they are loaded.

Also what the PyTorch adapters share: devices, number types, digests of weights and seeds.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech_eval.adapters.catalog import MODELS, Target
from speech_eval.adapters.entry import Entry
from speech_eval.adapters.options import choice
from speech_eval.assets import store as assets
from speech_eval.cache import file_sha256_once, make_once
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo
from speech_eval.text.files import LARGEST_RECORD, parse_json, read_bytes, read_record

REFERENCE = "reference.json"  # describes a checkpoint that a recipe of this project trained
_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "README.md", "spk_dict.pt")  # the last: voices of Qwen2.5-Omni
_INDEX = "model.safetensors.index.json"
_LORA = "adapter_model.safetensors"  # of a model that is published with its adapter beside it
_LORA_CONFIG = "adapter_config.json"
SPEECH_LORA = "speech-lora"  # or in a folder


ASSET = "asset:"  # a path `asset:NAME` is a checkpoint made from a bundled asset


# -------------------------------------------------------------------------------------- which adapter runs it


def recognize(path: Path, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """The adapter of a checkpoint directory, by its reference.json, a marker file of a family, or its config.json."""
    if (path / REFERENCE).is_file():
        kind = _field(path / REFERENCE, "kind", "Copy the checkpoint again.")
        entry = _entry(lambda entry: entry.reference_kind == kind)
        if entry is None:
            raise BadInput(f"{path / REFERENCE}: no adapter runs checkpoints of kind '{kind}'.", "Install its package.")
        return entry.adapter_class(), {"path": str(path), **options}
    if not any(path.glob("*.safetensors")):
        entry = _entry(lambda entry: bool(entry.marker) and (path / entry.marker).is_file())
        if entry is not None:
            return entry.adapter_class(), {"path": str(path), **options}
    if not (path / "config.json").is_file():
        raise _without_config(path)
    entry = _by_config(str(path), path / "config.json", lambda name: path / name)
    return _target(entry, str(path), options, trust_remote_code)


def hub_scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`hf:ORG/REPO[@REVISION]`, by the `model_type` of its config.json, which is fetched or in the hub's cache."""
    repo, _, revision = rest.partition("@")
    hub = require("huggingface_hub", "asr")

    def fetched(name: str) -> Path:
        return Path(hub.hf_hub_download(repo, name, revision=revision or None))

    try:
        config = fetched("config.json")
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            raise _adapter_alone(repo, fetched(_LORA_CONFIG)) from error
        raise _unreachable(repo, error) from error
    entry = _by_config(repo, config, fetched)
    return _target(entry, repo, {"revision": revision, **options} if revision else options, trust_remote_code)


def _target(entry: Entry, path: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    trust = {"trust_remote_code": True} if trust_remote_code else {}
    return entry.adapter_class(), {"path": path, **trust, **options}


def _without_config(path: Path) -> BadInput:
    """What a directory holds instead of a checkpoint with a config.json."""
    if (path / _LORA_CONFIG).is_file():
        return _adapter_alone(str(path), path / _LORA_CONFIG)
    if any(path.glob("*.gguf")):
        return BadInput(
            f"{path} holds GGUF weights, which no adapter reads.",
            "Give the model's safetensors checkpoint; llama.cpp can serve a text LLM to openai:URL#MODEL,kind=chat.",
        )
    return BadInput(f"{path} holds no config.json.", "Give a checkpoint directory as save_pretrained writes it.")


def _adapter_alone(path: str, config: Path) -> BadInput:
    """That a checkpoint is an adapter without the model that it changes."""
    base = _field(config, "base_model_name_or_path", "Copy the checkpoint again.")
    return BadInput(
        f"{path} holds an adapter of {base!r:.100}, not a whole model.",
        "Merge the two with peft (merge_and_unload, then save_pretrained) and give that directory.",
    )


def _by_config(path: str, config: Path, file: Callable[[str], Path]) -> Entry:
    """The entry of a checkpoint by its config.json. `file` gives another of its files by name; it is called only where
    entries differ by the tokenizer."""
    keyed = _entry(lambda entry: bool(entry.config_key) and entry.config_key in _description(config))
    if keyed is not None:
        return keyed
    model_type = _field(config, "model_type", "Choose a checkpoint of a transformers model.")
    found = _entry(lambda entry: model_type in entry.model_types) or _entry(
        lambda entry: bool(entry.auto_mapping) and model_type in _auto_mapping(entry.auto_mapping)
    )
    if found is None:
        known = ", ".join(sorted(name for entry in map(MODELS.get, MODELS) for name in entry.model_types))
        raise BadInput(
            f"{path}: no adapter runs the architecture '{model_type}' (known: {known}, and every text LM and CTC "
            "recognizer of transformers).",
            "Write one in a file of your own and pass FILE.py:CLASS; docs/adapters.md shows how.",
        )
    refining = [entry for entry in map(MODELS.get, MODELS) if entry.refines == found.name]
    return _refined(refining, config, file) or found if refining else found


def _auto_mapping(name: str) -> Mapping[str, str]:
    """transformers' table from model types to classes, such as `MODEL_FOR_CTC_MAPPING_NAMES`."""
    return dict(getattr(require("transformers.models.auto.modeling_auto", "asr"), name))


def _refined(entries: list[Entry], config: Path, file: Callable[[str], Path]) -> Entry | None:
    size = _description(config).get("vocab_size")
    # Old checkpoints have no tokenizer.json, and list the tokens that were added to a published vocabulary.
    tokens = _text(file, "tokenizer.json") or _text(file, "added_tokens.json") + _text(file, "tokenizer_config.json")
    return next(
        (e for e in entries if (e.speech_token and f'"{e.speech_token}"' in tokens) or size in e.vocabulary), None
    )


def _text(file: Callable[[str], Path], name: str) -> str:
    try:
        return read_bytes(file(name)).decode("utf-8")
    except (OSError, ValueError):  # a checkpoint may have none
        return ""


def _description(config: Path) -> dict[str, Any]:
    """The fields of a config.json; none where it is not readable, which `_field` then says."""
    try:
        return dict(parse_json(read_bytes(config, LARGEST_RECORD)))
    except (OSError, ValueError, TypeError):
        return {}


def _entry(matches: Callable[[Entry], bool]) -> Entry | None:
    return next((entry for entry in map(MODELS.get, MODELS) if matches(entry)), None)


def _field(file: Path, name: str, remedy: str) -> str:
    try:
        return str(parse_json(read_bytes(file, LARGEST_RECORD))[name])
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: no readable '{name}' ({error!r}).", remedy) from error


def _unreachable(repo: str, error: Exception) -> BadInput:
    return BadInput(
        f"hf:{repo}: {str(error).splitlines()[0]}", "Check the name, the network, and HF_TOKEN for gated models."
    )


# -------------------------------------------------------------------------------------- where its files are


@dataclass(frozen=True)
class Checkpoint:
    """A transformers checkpoint on this machine. `revision` is the hub's commit hash, empty for a local directory;
    `stated_license` is set where the model card is not what tells the license."""

    directory: Path
    name: str
    revision: str = ""
    stated_license: str = ""

    def config(self, name: str = "config.json") -> dict[str, Any]:
        """The parsed `config.json`, or another JSON file of the checkpoint."""
        return read_record(self.directory / name, "Save the model again.")

    def license(self) -> str:
        """The license that is stated for it, or that its model card states in its front matter; else empty."""
        if self.stated_license:
            return self.stated_license
        card = self.directory / "README.md"
        text = read_bytes(card, LARGEST_RECORD).decode("utf-8", errors="replace") if card.is_file() else ""
        front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        found = re.search(r"^license:\s*(\S+)", front.group(1), re.MULTILINE) if front else None
        return found.group(1) if found else ""

    def weights(self) -> list[Path]:
        """The safetensors files that make up the model, in name order, and its adapter's; empty where there are none.

        Raises `BadInput` naming a shard that the index lists and the directory does not have.
        """
        adapters = (self.directory / _LORA, self.directory / SPEECH_LORA / _LORA)
        return _weights(self.directory) + [adapter for adapter in adapters if adapter.is_file()]

    def pickles(self) -> list[Path]:
        """The files of pickled weights, in name order."""
        return sorted(self.directory.glob("pytorch_model*.bin"))

    def info(self, model: Any, **metadata: Any) -> ModelInfo:
        """What the manifest keeps of the loaded `model`; `metadata` is the adapter's own settings."""
        return ModelInfo(
            name=self.name,
            revision=self.revision,
            weights_sha256=weights_digest(self.weights() or self.pickles()),
            license=self.license(),
            parameters=model.num_parameters(),
            metadata={"dtype": str(model.dtype).removeprefix("torch."), **metadata},
        )


def _weights(directory: Path) -> list[Path]:
    single, index = directory / "model.safetensors", directory / _INDEX
    if single.is_file():
        return [single]
    if not index.is_file():
        return []
    try:
        names = _shards(index)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{index}: not a readable weight index ({error!r}).", "Copy the checkpoint again.") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name:
            raise BadInput(f"{index}: the shard {name!r:.100} is not the name of a file beside it.", "Do not use it.")
        if not (directory / name).is_file():
            raise BadInput(f"{directory / name}: this shard is missing.", "Copy the checkpoint again, complete.")
    return [directory / name for name in names]


def _shards(index: Path) -> list[str]:
    """The files that an index of weights names, in name order; what it says is not checked."""
    return sorted(set(parse_json(read_bytes(index, LARGEST_RECORD))["weight_map"].values()))


def locate(
    path: str,
    revision: str | None = None,
    *,
    trust_remote_code: bool = False,
    convert: Callable[[Path, Path], None] | None = None,
) -> Checkpoint:
    """Find a checkpoint: a directory as it stands, a bundled asset `asset:NAME`, or a hub repository `ORG/REPO`.

    A repository is fetched or taken from the hub's cache: the small files and the one set of weights that is loaded. An
    asset is fetched and turned once into a transformers directory by `convert(source folder, target folder)`. Raises
    `BadInput` for a checkpoint that has only pickled weights, unless `trust_remote_code`.
    """
    if path.startswith(ASSET) and convert is not None:
        if revision:
            raise BadInput(f"{path} has no revisions.", "Leave out revision=.")
        name = path.removeprefix(ASSET)
        return Checkpoint(converted(name, convert), name, stated_license=assets.ASSETS[name].license)
    if Path(path).is_dir():
        if revision:
            raise BadInput(f"{path} is a directory, which has no revisions.", "Leave out revision=.")
        checkpoint = Checkpoint(Path(path), Path(path).resolve().name)
    else:
        directory = _snapshot(path, revision, trust_remote_code)
        checkpoint = Checkpoint(directory, path, directory.name)
    if not _weights(checkpoint.directory) and not (trust_remote_code and checkpoint.pickles()):
        raise _without_weights(path, checkpoint)
    return checkpoint


def _without_weights(path: str, checkpoint: Checkpoint) -> BadInput:
    """What a checkpoint holds instead of weights that can be loaded."""
    directory = checkpoint.directory
    if (directory / _LORA).is_file() and (directory / _LORA_CONFIG).is_file():
        return _adapter_alone(path, directory / _LORA_CONFIG)
    if others := sorted(file.name for file in directory.glob("*.safetensors")):
        remedy = f"Copy {_INDEX} beside them." if len(others) > 1 else "Rename it to model.safetensors."
        return BadInput(f"{path} holds weights that no index names: {', '.join(others)!s:.200}.", remedy)
    if not (pickles := checkpoint.pickles()):
        return BadInput(f"{path} holds no weights (model.safetensors).", "Copy the checkpoint again, complete.")
    return BadInput(
        f"{path} holds only pickled weights ({', '.join(file.name for file in pickles)}).",
        "Convert it to safetensors, or pass --trust-remote-code if you trust whoever made it: pickle runs code.",
    )


def converted(asset: str, convert: Callable[[Path, Path], None]) -> Path:
    """The transformers directory of a bundled asset, fetched and made by `convert(source, target)` on first use."""
    source = assets.ensure(asset)
    return make_once(assets.derived_dir(asset) / "transformers-1", lambda target: convert(source, target))


def _snapshot(repo: str, revision: str | None, trust_remote_code: bool) -> Path:
    hub = require("huggingface_hub", "asr")
    small = [*_SMALL_FILES, "*.py"] if trust_remote_code else list(_SMALL_FILES)

    def fetch(patterns: list[str]) -> Path:
        return Path(hub.snapshot_download(repo, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))

    try:
        directory = fetch(small)
        index = directory / _INDEX
        shards = _shards(index) if index.is_file() else []
        # A repository may hold other variants (fp32, ONNX, other frameworks) of many gigabytes: fetch one set.
        directory = fetch(["model.safetensors", _LORA])
        if not (directory / "model.safetensors").is_file():
            directory = fetch(shards or (["pytorch_model*.bin*"] if trust_remote_code else ["model.safetensors"]))
        adapter = [f"{SPEECH_LORA}/{_LORA_CONFIG}", f"{SPEECH_LORA}/{_LORA}"]
        hub.snapshot_download(repo, revision=revision, allow_patterns=adapter)
        return directory
    except (OSError, ValueError, KeyError) as error:
        raise _unreachable(repo, error) from error


def hub_folder(repo: str, revision: str | None, patterns: Sequence[str]) -> Checkpoint:
    """The files of a hub repository that match one of `patterns`, fetched or in the hub's cache."""
    hub = require("huggingface_hub", "asr")
    try:
        directory = Path(hub.snapshot_download(repo, revision=revision, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        raise _unreachable(repo, error) from error
    return Checkpoint(directory, repo, directory.name)


def load_model(
    auto_class: str | type[Any],
    checkpoint: Checkpoint,
    *,
    dtype: str,
    device: str,
    extra: str,
    trust_remote_code: bool = False,
    untrained: tuple[str, ...] = (),
) -> Any:
    """Load `transformers.<auto_class>`, or the class itself, from a checkpoint, on its device, in evaluation mode.

    Raises `BadInput` naming the file for broken weights, and for parameters that are missing in the checkpoint, which
    transformers would fill with random numbers. Names that match one of the patterns `untrained` may be missing.
    """
    torch, transformers = require("torch", extra), require("transformers", extra)
    files = checkpoint.weights()
    for file in files:
        _check_readable(file)
    # The harness shows its own progress, and raises below for what transformers would warn of.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    cls = getattr(transformers, auto_class) if isinstance(auto_class, str) else auto_class
    model, loading = cls.from_pretrained(
        checkpoint.directory,
        dtype=parse_dtype(dtype),
        low_cpu_mem_usage=True,
        use_safetensors=bool(files),
        trust_remote_code=trust_remote_code,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # which are named below
    )
    if other := sorted(loading["mismatched_keys"]):
        name, held, wanted = other[0]
        raise BadInput(
            f"{checkpoint.directory}: {name} is of shape {list(held)}, by config.json {list(wanted)}.",
            "Copy the checkpoint again: its files are not of one model.",
        )
    missing = sorted(k for k in loading["missing_keys"] if not any(re.search(pattern, k) for pattern in untrained))
    if missing:
        unknown = sorted(loading["unexpected_keys"])
        beside = f" (what it holds and the model has not: {few(unknown)})" if unknown else ""
        raise BadInput(
            f"{checkpoint.directory}: the weights of {few(missing)} are missing; they would be random{beside}.",
            "Use a checkpoint that was trained for this purpose and saved whole.",
        )
    return model.to(torch.device(choose_device(device))).eval()


def few(names: Sequence[str]) -> str:
    """The first three of some names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def need_template(processor: Any, directory: Path) -> None:
    """Let a processor write chats by the template that its checkpoint keeps with the tokenizer, where it has none of
    its own. Raises `BadInput` where neither has one."""
    if processor.chat_template:
        return
    if not (template := processor.tokenizer.chat_template):
        raise BadInput(f"{directory} has no chat template.", "Copy the checkpoint again with its chat_template.jinja.")
    processor.chat_template = template


def _check_readable(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as handle:
            handle.keys()
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{file}: broken or truncated weights ({error}).", "Copy or fetch the file again.") from error


def choose_device(device: str) -> str:
    """`auto` is the first GPU, in a process that torchrun started its own GPU, else the CPU; anything else is taken as
    PyTorch names devices."""
    torch = require("torch", "asr")
    if device != "auto":
        try:
            wanted = torch.device(device)
        except RuntimeError as error:
            raise BadInput(f"device={device} is not a device.", "Use auto, cpu, cuda or cuda:1.") from error
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if wanted.type == "cuda" and (wanted.index or 0) >= gpus:
            raise BadInput(f"device={device}: PyTorch sees {gpus} CUDA devices here.", "Use device=auto or device=cpu.")
        return str(wanted)
    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")
    return "cuda" if rank is None else f"cuda:{int(rank) % torch.cuda.device_count()}"


def parse_dtype(name: str) -> Any:
    """The torch dtype of `float32`, `float16` or `bfloat16`. Raises `BadInput` for other names."""
    return getattr(require("torch", "asr"), choice("dtype", name, ("float32", "float16", "bfloat16")))


def weights_digest(files: list[Path]) -> str:
    """sha256 that identifies the weights: of the file itself where it is one, else of the list of digests and names."""
    digests = {file.name: file_sha256_once(file) for file in files}
    return combined_digest(digests) if len(digests) > 1 else next(iter(digests.values()), "")


def combined_digest(digests: Mapping[str, str]) -> str:
    """sha256 over lines `digest  name`, in name order."""
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with PyTorch's generators set to `seed`, and put them back afterwards."""
    torch = require("torch", "asr")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
