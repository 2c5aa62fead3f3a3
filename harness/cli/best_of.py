"""`speech-eval best-of`: what keeping the best of N tries buys."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import Json, table


def best_of(
    model: Annotated[str, typer.Argument(help="Model spec of a synthesizer whose answers hang on the seed.")],
    data: Annotated[str, typer.Option(help="Dataset whose texts are spoken.")] = "sentences-en",
    tries: Annotated[int, typer.Option("--tries", "-n", min=1, help="Tries a text.")] = 8,
    by: Annotated[str, typer.Option(help="What chooses: wer, sim (to the voice prompt) or both.")] = "wer",
    limit: Annotated[int | None, typer.Option(help="Use the first so many texts.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the tries.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the curve's picture (SVG) here.")] = None,
    json: Json = False,
) -> None:
    """Keep the best of N tries by one recognizer or speaker model, judge it by another, for N from 1 up."""
    from speech_eval.cache import write_atomically
    from speech_eval.cli.console import bars, emit, out
    from speech_eval.errors import BadInput
    from speech_eval.registry import load_attr

    if by not in ("wer", "sim", "both"):
        raise BadInput(f"--by {by} chooses nothing.", "Use wer, sim or both.")
    with bars() as progress:
        found = load_attr("speech_eval.reference_models.tts.best_of:best_of")(
            model, data, tries=tries, by=by, limit=limit, seed=seed, progress=progress
        )
    if output is not None:
        write_atomically(output, load_attr("speech_eval.reference_models.tts.best_of:picture")(found).encode())
    if json:
        return emit(asdict(found))
    table(load_attr("speech_eval.reference_models.tts.best_of:as_rows")(found))
    if output is not None:
        out.print(f"picture: {output}", markup=False, soft_wrap=True)
