"""A duplex model as a checkpoint directory: configuration, weights, the pieces of its words, and its codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speech_eval.errors import BadInput
from speech_eval.reference_models.conversation.duplex.config import DuplexConfig
from speech_eval.reference_models.conversation.duplex.model import DuplexLM
from speech_eval.reference_models.conversation.duplex.pieces import Pieces
from speech_eval.reference_models.training.checkpoint import load_checkpoint, restored, save_checkpoint
from speech_eval.reference_models.training.config import first_problem

KIND = "duplex"


def save(directory: Path, model: DuplexLM, pieces: Pieces, card: dict[str, Any]) -> None:
    pieces.save(directory)
    save_checkpoint(directory, KIND, model.config.model_dump(mode="json"), model.state_dict(), card)


def start_from(directory: Path, config: DuplexConfig) -> tuple[DuplexLM, Pieces]:
    """A model of `config` with the weights of a checkpoint directory, to be trained on, and its pieces. Raises
    `BadInput` where the codecs differ in their codebooks."""
    _, state, _ = load_checkpoint(directory, KIND)
    try:
        model = restored(directory, lambda: DuplexLM(config), state)
    except BadInput as error:
        raise BadInput(
            f"--init, through the codec {config.codec.spec}: {error.problem}",
            "Train through a codec with the same codebooks, or copy the checkpoint again, complete.",
        ) from error
    return model, _pieces(directory, config)


def config_of(directory: Path) -> DuplexConfig:
    """The configuration of a checkpoint directory. Raises `BadInput` for another directory."""
    return _config(directory, load_checkpoint(directory, KIND)[0])


def _config(directory: Path, described: dict[str, Any]) -> DuplexConfig:
    try:
        return DuplexConfig.model_validate(described)
    except ValidationError as error:
        raise BadInput(f"{directory}: configuration {first_problem(error)}.", "Train it again.") from None


def load(directory: Path) -> tuple[DuplexLM, Pieces, dict[str, Any]]:
    """The model in evaluation mode on the CPU, its pieces and its card. Raises `BadInput` for another directory, and
    where the files do not belong together."""
    described, state, card = load_checkpoint(directory, KIND)
    config = _config(directory, described)
    model = restored(directory, lambda: DuplexLM(config), state)
    return model.eval(), _pieces(directory, config), card


def _pieces(directory: Path, config: DuplexConfig) -> Pieces:
    pieces = Pieces.load(directory)
    if len(pieces) != config.pieces:
        raise BadInput(
            f"{directory}: {len(pieces)} pieces of words, {config.pieces} in the configuration.",
            "Copy the checkpoint again, complete.",
        )
    return pieces
