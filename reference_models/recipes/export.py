"""A checkpoint without its training state, in the form in which others use it, and its way to a hub."""

from __future__ import annotations

from pathlib import Path

from speech_eval.errors import BadInput, require
from speech_eval.progress import Say, unsaid
from speech_eval.reference_models.recipes.stacks import stacks
from speech_eval.reference_models.training.checkpoint import find_checkpoint, read_description
from speech_eval.registry import load_attr


def export(checkpoint: str, output: Path, *, push_to_hub: str | None = None, say: Say = unsaid) -> Path:
    """Write the model of a checkpoint, a directory or a shipped name, into the new folder `output`, and upload that to
    the repository `push_to_hub` of the hub, with the user's own login.

    Raises `BadInput` for a folder that is not empty, and for a checkpoint that its stack cannot export.
    """
    directory = find_checkpoint(checkpoint, "export")
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        state = "not empty" if output.is_dir() else "a file"
        raise BadInput(f"{output} is {state}.", "Name a new folder with --output.")
    kind = read_description(directory)["kind"]
    stack = next((stack for stack in stacks().values() if stack.kind == kind), None)
    if stack is None or stack.exporter is None:
        raise BadInput(f"{directory}: no stack exports a checkpoint of kind '{kind}'.", "Use the checkpoint as it is.")
    load_attr(stack.exporter)(directory, output)
    say(f"{output}: {', '.join(sorted(file.name for file in output.iterdir()))}")
    if push_to_hub is not None:
        say(f"uploaded to {_upload(output, push_to_hub)}")
    return output


def _upload(folder: Path, repository: str) -> str:
    hub = require("huggingface_hub", "train")
    try:
        api = hub.HfApi()
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder).commit_url)
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, OSError) as error:
        first = str(error).splitlines()[0]
        raise BadInput(
            f"hf:{repository}: {first}", "Check the name, the network, and that HF_TOKEN may write."
        ) from error
