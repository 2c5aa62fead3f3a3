"""Models of SpeechBrain from the folder they are published as: `hyperparams.yaml` and the files of weights it names.

SpeechBrain's own loader calls what the file names and unpickles what it finds. Here the file is data (see
hyperparams.py), weights are tensors only, and every weight must be there.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speech_eval.adapters.checkpoints import Checkpoint, choose_device, combined_digest, hub_folder
from speech_eval.adapters.hyperparams import Hyperparams
from speech_eval.cache import file_sha256_once
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo

EXTRA = "speechbrain"
HYPERPARAMS = "hyperparams.yaml"
_FILES = (HYPERPARAMS, "*.ckpt", "*.txt", "*.model", "README.md")


def locate(source: str, revision: str | None) -> Checkpoint:
    """The folder of a model, or of the repository `ORG/REPO` of the hub, which is fetched or in its cache."""
    folder = Path(source)
    if folder.is_dir() and revision:
        raise BadInput(f"{source} is a directory, which has no revisions.", "Leave out revision=.")
    found = Checkpoint(folder, folder.resolve().name) if folder.is_dir() else hub_folder(source, revision, _FILES)
    if not (found.directory / HYPERPARAMS).is_file():
        raise BadInput(f"{source} holds no {HYPERPARAMS}.", "Give the folder of a model of SpeechBrain.")
    return found


def imported() -> None:
    """Import SpeechBrain. Its old modules stand in `sys.modules` as redirects, which raise `ImportError` in whoever
    looks at the file of every module, as test tools do; here they say that they have none."""
    require("torchaudio", EXTRA)
    require("speechbrain", EXTRA)
    from speechbrain.utils.importutils import LazyModule

    for module in [module for module in sys.modules.values() if isinstance(module, LazyModule)]:
        vars(module).setdefault("__file__", None)


class SpeechBrainFolder:
    """A model and its files. `settings` are the values of hyperparams.yaml."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        imported()
        self.checkpoint = checkpoint
        self._files: list[Path] = []
        self.settings = Hyperparams(checkpoint.directory / HYPERPARAMS, self._given)

    def build(self, cls: Any, names: tuple[str, ...], device: str) -> Any:
        """`cls`, a class of speechbrain.inference, with its modules and the settings of `names` that there are.

        Raises `BadInput` for weights that are missing or unreadable.
        """
        modules = self.settings["modules"]
        if not isinstance(modules, dict):
            raise BadInput(f"{self._path}: 'modules' is not a table.", "Fetch the model again.")
        settings = {name: self.settings[name] for name in names if name in self.settings}
        self._load(modules)
        return cls(modules=modules, hparams=settings, run_opts={"device": choose_device(device)})

    def build_trusted(self, cls: Any, device: str) -> Any:
        """`cls` by SpeechBrain's own loader, which runs what the file names."""
        return cls.from_hparams(
            source=str(self.checkpoint.directory.resolve()),
            overrides=self._given,
            overrides_must_match=False,
            run_opts={"device": choose_device(device)},
        )

    @property
    def _given(self) -> dict[str, Any]:
        """Published files name their repository, from which the parts would be fetched again."""
        return {"pretrained_path": str(self.checkpoint.directory.resolve())}

    def info(self, model: Any, **metadata: Any) -> ModelInfo:
        """What the manifest keeps of the loaded `model`."""
        checkpoint = self.checkpoint
        return ModelInfo(
            name=checkpoint.name,
            revision=checkpoint.revision,
            weights_sha256=self.digest(),
            license=checkpoint.license(),
            parameters=sum(weight.numel() for weight in model.mods.parameters()),
            metadata=metadata,
        )

    def digest(self) -> str:
        """sha256 of the settings and of all files that were loaded."""
        files = [self._path, *self._files]
        return combined_digest({file.name: file_sha256_once(file) for file in files})

    @property
    def _path(self) -> Path:
        return self.checkpoint.directory / HYPERPARAMS

    def _load(self, modules: Mapping[str, Any]) -> None:
        loadables = self.settings.table("pretrainer", "loadables")
        named = self.settings.table("pretrainer", "paths")
        for name, part in loadables.items():
            self._load_part(part, self._file(str(name), named.get(name)))
        loaded = {id(weight) for part in loadables.values() for _, weight in _weights({"": part})}
        missing = [name for name, weight in _weights(modules) if id(weight) not in loaded]
        if missing:
            raise BadInput(
                f"{self._path}: no file has the weights of {missing[0]}"
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
                + "; they would be random.",
                "Use a model that is published for inference.",
            )

    def _file(self, name: str, path: Any) -> Path:
        """The file of a part: by the name that `paths` gives it, or as SpeechBrain collects it. Never outside."""
        names = [Path(str(path)).name] if path else []
        for file in (self.checkpoint.directory / name for name in [*names, f"{Path(name).name}.ckpt"]):
            if file.is_file():
                self._files.append(file)
                return file
        raise BadInput(f"{self.checkpoint.directory} lacks the file of '{name}'.", "Fetch the model again, whole.")

    def _load_part(self, part: Any, file: Path) -> None:
        import torch
        from speechbrain.utils import checkpoints

        hook = checkpoints.get_default_hook(part, checkpoints.DEFAULT_TRANSFER_HOOKS)
        hook = hook or checkpoints.get_default_hook(part, checkpoints.DEFAULT_LOAD_HOOKS)
        if hook is None:
            raise BadInput(f"{self._path}: {type(part).__name__} is nothing that is loaded.", "Fetch the model again.")
        tensors = _tensors(file) if isinstance(part, torch.nn.Module) else None
        try:
            if hook is checkpoints.torch_parameter_transfer:  # which would leave what is missing at random
                part.load_state_dict(checkpoints.hook_on_loading_state_dict_checkpoint(tensors))
            elif tensors is not None or hook in checkpoints.DEFAULT_TRANSFER_HOOKS.values():
                hook(part, str(file))
            else:
                if hook(part, str(file), False) is False:
                    raise ValueError("it cannot be read")
        except (RuntimeError, ValueError, KeyError, TypeError, SyntaxError, OSError, AttributeError) as error:
            first = (str(error) or type(error).__name__).replace("\n", " ")[:200]
            raise BadInput(f"{file} does not fit its {type(part).__name__}: {first}", "Fetch it again.") from error


def _weights(parts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The names and parameters of all networks."""
    for name, part in parts.items():
        if hasattr(part, "named_parameters"):
            yield from ((f"{name}.{inner}", weight) for inner, weight in part.named_parameters())


def _tensors(file: Path) -> Any:
    """The content of a file of tensors and numbers; a pickle that holds code is not read."""
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"{file}: not a file of tensors ({first:.200}).", "Fetch it again, or do not use it.") from error
