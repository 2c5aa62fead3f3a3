"""Numbers that follow from other numbers of `results.json` and are not stored: reports and data frames add them."""

from __future__ import annotations

from collections.abc import Sequence

from speech_eval.analysis.context_seconds import with_context_seconds
from speech_eval.analysis.voicebench_overall import overall_task
from speech_eval.records import Results


def with_derived(results: Sequence[Results]) -> list[Results]:
    """The results with seconds of context beside each token bill, and with VoiceBench's overall for each model and seed
    whose runs have all nine subsets (as one more `Results`, since the subsets may come from several runs)."""
    made = [
        result.model_copy(update={"tasks": [with_context_seconds(task) for task in result.tasks]}) for result in results
    ]
    for key in dict.fromkeys((result.model, result.label, result.seed) for result in results):
        task = overall_task([result for result in results if (result.model, result.label, result.seed) == key])
        if task is not None:
            model, label, seed = key
            made.append(Results(model=model, label=label, seed=seed, tasks=[task]))
    return made
