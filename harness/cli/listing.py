"""`speech-eval list` and `speech-eval doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from speech_eval.cli.common import Json, Plugins
from speech_eval.cli.train import list_recipes


def list_(
    kind: Annotated[str, typer.Argument(help="tasks, models, metrics, data or recipes.", metavar="KIND")],
    interface: Annotated[
        str | None, typer.Option(help="Only tasks or models of this interface, such as SpeechRecognizer.")
    ] = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """List what is registered; --json prints every field."""
    from speech_eval.api import listing
    from speech_eval.cli.console import emit, line, table
    from speech_eval.registry import load_plugins

    if kind == "recipes":
        return list_recipes(json)
    load_plugins(plugin)
    if json:
        return emit({kind: listing.rows(kind, interface)})
    table(listing.short(kind, interface))
    for group, members in listing.task_groups().items() if kind == "tasks" else ():
        line(f"group {group}: {', '.join(members)}")


def doctor(
    verify: Annotated[bool, typer.Option(help="Check the sha256 of every fetched file.")] = True, json: Json = False
) -> None:
    """Show what is installed, what each extra would add, and which offline weights are present and verified."""
    from speech_eval.api.doctor import doctor as examine
    from speech_eval.cli.console import emit, line, table

    found = examine(verify=verify)
    if json:
        return emit(found)
    line(f"speech-eval {found['version']}, Python {found['environment']['python']}")
    for extra, state in found["extras"].items():
        missing = [name for name, version in state["packages"].items() if version is None]
        line(f"  extra {extra}: " + ("installed" if state["complete"] else f"missing {', '.join(missing)}"))
    line(f"offline weights and recordings in {found['cache']}")
    table([{k: a[k] for k in ("name", "role", "present", "verified", "license")} for a in found["assets"]])
    for asset in found["assets"]:
        for problem in asset["problems"]:
            line(f"  {asset['name']}: {problem}")
