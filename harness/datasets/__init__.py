"""Datasets: `load_dataset(name_or_path)` gives one, `names()` lists what is known by name."""

from speech_eval.datasets.check import Finding, check, inspect, remarks
from speech_eval.datasets.dataset import SPLITS, Dataset, held_out, split, union
from speech_eval.datasets.fetch import fetch
from speech_eval.datasets.languages import require as require_languages
from speech_eval.datasets.load import bundled, fallback, load_dataset, locate, names, registered, summary

__all__ = [
    "SPLITS",
    "Dataset",
    "Finding",
    "bundled",
    "check",
    "fallback",
    "fetch",
    "held_out",
    "inspect",
    "load_dataset",
    "locate",
    "names",
    "registered",
    "remarks",
    "require_languages",
    "split",
    "summary",
    "union",
]
