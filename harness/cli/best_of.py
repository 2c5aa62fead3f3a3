"""`speech-eval best-of`: what keeping the best of N candidates gives."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import Json
from speech_eval.registry import load_attr


def best_of(
    model: Annotated[
        str, typer.Argument(help="Model spec of a TTS model whose output depends on the seed.", metavar="MODEL")
    ],
    data: Annotated[str, typer.Option(help="Dataset whose texts are spoken.")] = "sentences-en",
    candidates: Annotated[int, typer.Option("--candidates", "-n", min=1, help="Candidates per text.")] = 8,
    by: Annotated[str, typer.Option(help="What chooses: wer, sim (to the voice prompt) or both.")] = "wer",
    limit: Annotated[int | None, typer.Option(help="Use only this many texts.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the candidates.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the curve as SVG to this file.")] = None,
    json: Json = False,
) -> None:
    """Keep the best of N candidates by one recognizer or speaker model, judge it by another, for N from 1 up."""
    from speech_eval.api import training
    from speech_eval.cli.console import bars, emit, line, table

    with bars() as progress:
        found = training.best_of(
            model, data, candidates=candidates, by=by, limit=limit, seed=seed, picture=output, progress=progress
        )
    if json:
        return emit(asdict(found))
    for name, reason in found.left_out.items():
        line(f"left out {name}: {reason}")
    if found.left_out:
        line(f"left out {len(found.left_out)} of {found.texts + len(found.left_out)} texts")
    table(load_attr("speech_eval.reference_models.tts.best_of:as_rows")(found))
    if output is not None:
        line(f"picture: {output}")
