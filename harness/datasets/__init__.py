"""Datasets: `load_dataset(name_or_path)` gives one, `names()` lists what is known by name."""

from speech_eval.datasets.check import check
from speech_eval.datasets.dataset import SPLITS, Dataset, held_out, split, union
from speech_eval.datasets.fetch import fetch
from speech_eval.datasets.languages import require as require_languages
from speech_eval.datasets.load import bundled, fallback, load_dataset, locate, names, summary

__all__ = [
    "SPLITS",
    "Dataset",
    "bundled",
    "check",
    "fallback",
    "fetch",
    "held_out",
    "load_dataset",
    "locate",
    "names",
    "require_languages",
    "split",
    "summary",
    "union",
]
