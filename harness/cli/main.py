"""The command `speech-eval`: assembles the commands, and turns errors into a message and an exit code.

Exit codes: 0 done · 1 `gate` found a regression, or `verify` a number that does not follow · 2 wrong options or input,
an error, or the gate could not judge · 3 done, with more failed samples than --max-failures · 130 interrupted ·
141 whoever reads the output, such as `head`, has closed it.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from speech_eval import __version__
from speech_eval.cli import best_of, compare, data, gate, leaderboard, listen, listing, power, report, run, score, train
from speech_eval.cli.verbose import Verbose
from speech_eval.errors import SpeechEvalError
from speech_eval.safety import guest

app = typer.Typer(
    name="speech-eval",
    help="Evaluate speech models: codecs, TTS, ASR, audio LLMs and spoken dialogue, through one adapter interface.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit codes: 0 done; 1 a regression, or a number that does not follow from the outputs; 2 wrong options or "
    "input, an error, or the gate could not judge; 3 more failed samples than --max-failures; 130 interrupted.",
)


def main() -> None:
    """Console entry point: each error becomes a message and an exit code other than 1, which means a regression."""
    from speech_eval.cli.console import say

    guest.own_process()
    try:
        app()
    except SpeechEvalError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            sys.exit(141)
        if not _by_the_command_line(error):
            say(f"error: code of a model, plug-in or library tried to end the program ({error.code!r}).")
            sys.exit(2)
        raise
    except KeyboardInterrupt:
        say("interrupted; give the same command again to continue")
        sys.exit(130)
    except (
        BaseException
    ):  # also those that do not derive from `Exception`, which would end the program with 1, a regression
        for text in traceback.format_exc().splitlines():
            say(text)
        sys.exit(2)


def _by_the_command_line(error: SystemExit) -> bool:
    """Whether the program ends because its command is done, and not because code that it ran says so."""
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or bool({"click", "typer"} & set(Path(frames[-1].filename).parts))


def _version(value: bool) -> None:
    if value:
        typer.echo(f"speech-eval {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Verbose = 0,
) -> None:
    pass


app.command()(run.run)
app.command()(score.score)
app.command()(score.verify)
app.command()(score.metric)
app.command()(report.report)
app.command()(compare.compare)
app.command()(power.power)
app.add_typer(gate.app, name="gate")
app.command("list")(listing.list_)
app.command()(listing.doctor)
app.add_typer(data.app, name="data")
app.command()(train.train_command())
app.command()(train.reproduce)
app.command()(train.export)
app.add_typer(train.recipe_app, name="recipe")
app.command()(best_of.best_of)
app.add_typer(leaderboard.app, name="leaderboard")
app.add_typer(listen.app, name="listen")
