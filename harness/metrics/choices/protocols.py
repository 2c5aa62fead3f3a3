"""Accuracy over questions with options, one class per benchmark's rule."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.choices.options import COLUMNS, LETTERS, chosen, key_of, options_of
from speech_eval.records import Sample
from speech_eval.statistics.summaries import Floats

ACCURACY = Summary("accuracy", "ratio", ("correct", "counted"), "%", "higher", 100.0)
UNPARSED = Summary("unparsed", "mean", ("unparsed",), "%", "lower", 100.0, headline=False)


class OptionMetric(Metric):
    """Reads an answer strictly and by the benchmark's rule. A sample has its options as `choices` (a list, or a text
    with one option per letter) or as `choice_a`, `choice_b`, …; the reference is the right option's text or letter."""

    needs = frozenset({"hypothesis", "text"})
    columns = COLUMNS
    requires = (frozenset({"choices", "choice_a"}),)
    summaries: ClassVar[tuple[Summary, ...]] = (ACCURACY, UNPARSED)

    def score(self, item: ScoringItem) -> Value:
        """Parts: `correct`, `counted` and `unparsed`, 0 or 1; in `compat` by the benchmark's rule, which may leave an
        answer out (`counted` 0)."""
        if item.hypothesis is None and item.output.status != "empty":
            raise Unscorable(f"Sample {item.sample.id} has no answer in text.", "Name a recognizer for speech answers.")
        answer, options = item.hypothesis or "", options_of(item.sample)
        key, ours = key_of(item.sample, options), chosen(item.hypothesis or "", options)
        theirs = self.original(answer, options, key)
        compat = {"correct": float(theirs is True), "counted": float(theirs is not None)}
        return Value(
            parts=self.placed(item.sample, {"correct": float(ours == key), "counted": 1.0}, ours is None),
            compat=self.placed(item.sample, compat, theirs is None),
            detail={
                "choice": None if ours is None else LETTERS[ours],
                "reference": LETTERS[key],
                "compat_correct": theirs,
            },
        )

    def failure(self, sample: Sample) -> dict[str, float]:
        return self.placed(sample, {"correct": 0.0, "counted": 1.0}, True)

    def placed(self, sample: Sample, parts: dict[str, float], unparsed: bool) -> dict[str, float]:
        """The parts of a sample, with those of the group that it belongs to."""
        return {**parts, "unparsed": float(unparsed)}

    @abstractmethod
    def original(self, answer: str, options: Sequence[str], key: int) -> bool | None:
        """Whether the benchmark's code calls the answer right; None where it leaves it out."""


class Options(OptionMetric):
    """The strict rule alone, for sets whose own rule needs a model or is not published."""

    id = "choice[options@1]"
    description = "Accuracy over options by their letter or text"
    source = "this project"

    def original(self, answer: str, options: Sequence[str], key: int) -> bool | None:
        return chosen(answer, options) == key


def tokens(text: str) -> set[str]:
    """The set of words of a text in lower case."""
    return set(re.findall(r"\b\w+\b", text.lower()))


def token_match(right: str, answer: str, options: Sequence[str]) -> bool:
    """MMAU's rule: the answer has every word of the right option, and none that only other options have."""
    said, wanted = tokens(answer), tokens(right)
    others = [tokens(option) for option in options]
    wrong = set().union(*(other - wanted for other in others if other != wanted))
    return bool(said) and wanted <= said and said.isdisjoint(wrong)


class MMAU(OptionMetric):
    """MMAU: words as sets. The letter alone is wrong in `compat`, and so is the right option in a sentence that shares
    a word with another option."""

    id = "choice[mmau@110127f]"
    description = "Accuracy by MMAU's matching of words; also of its sound, music and speech questions"
    source = "Sakshi113/MMAU at 110127f: evaluation.py"
    columns = COLUMNS | {"task"}
    summaries = (
        ACCURACY,
        UNPARSED,
        *(
            Summary(f"accuracy {kind}", "ratio", (f"{kind}_correct", kind), "%", "higher", 100.0, headline=False)
            for kind in ("sound", "music", "speech")
        ),
    )

    def original(self, answer: str, options: Sequence[str], key: int) -> bool | None:
        return token_match(options[key], answer, options)

    def placed(self, sample: Sample, parts: dict[str, float], unparsed: bool) -> dict[str, float]:
        found = super().placed(sample, parts, unparsed)
        for kind in ("sound", "music", "speech"):
            inside = float(sample.metadata.get("task") == kind)
            found |= {kind: inside * parts["counted"], f"{kind}_correct": inside * parts["correct"]}
        return found


class AudioBenchMMAU(MMAU):
    """AudioBench's string match: the first four characters of each option (its letter) are cut off, but not of the
    answer, whose letter then counts as a word."""

    id = "choice[audiobench@e991641]"
    description = "Accuracy on MMAU by AudioBench's string match"
    source = "AudioLLMs/AudioBench at e991641: src/dataset_src/eval_methods/string_match.py"

    def original(self, answer: str, options: Sequence[str], key: int) -> bool | None:
        return token_match(options[key][4:], answer, [option[4:] for option in options])

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        return self.placed(sample, {"correct": 0.0, "counted": 1.0}, True)  # an empty answer


# The tasks of AIR-Bench's foundation part by domain, as its data spells them.
_DOMAINS = {
    "speech": (
        *("Speech_Grounding", "Spoken_Language_Identification", "Speaker_Gender_Recognition"),
        *("Speaker_Emotion_Recontion", "Speaker_Age_Prediction", "Speech_Entity_Reconition"),
        *("Speaker_Intent_Classification", "Speaker_Number_Verification", "Synthesized_Voice_Detection"),
    ),
    "sound": ("Audio_Grounding", "vocal_sound_classification", "Acoustic_Scene_Classification", "Sound_AQA"),
    "music": (
        *("Music_Instruments_Classfication", "Music_Genre_Recognition", "Music_Midi_Pitch_Analysis"),
        *("Music_Midi_Velocity_Analysis", "Music_AQA", "Music_Mood_Recognition"),
    ),
}
_TASKS = [(domain, task) for domain, tasks in _DOMAINS.items() for task in tasks]
_ELSEWHERE = len(_TASKS)  # the code of a task that the original does not have


def _domain_average(columns: dict[str, Floats], weights: Floats) -> Floats:
    """The mean over the domains that the data has of the mean over their tasks of the accuracy."""
    domains = []
    for domain in _DOMAINS:
        accuracies = []
        for code, (owner, _) in enumerate(_TASKS):
            inside = columns["task"] == code
            if owner == domain and inside.any():
                drawn = weights[:, inside]
                accuracies.append((drawn @ columns["correct"][inside]) / (drawn @ columns["counted"][inside]))
        if accuracies:
            domains.append(defined_mean(accuracies))
    return defined_mean(domains) if domains else np.full(len(weights), np.nan)


def defined_mean(values: Sequence[Floats]) -> Floats:
    """The mean of what is defined: a task that a resample leaves out, or in which no answer counts, does not."""
    stacked = np.stack(values)
    known = np.isfinite(stacked)
    return np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0)


class AirBench(OptionMetric):
    """AIR-Bench's foundation part: the first character of the answer, or the last but one, where it is A, B, C or D.

    `compat`: an answer that begins with such a capital is that option ("Dog" is D), and one that cannot be read leaves
    the accuracy. The average is that of the published tables: over tasks within speech, sound and music, then over
    these.
    """

    id = "choice[air-bench@9832476]"
    description = "Accuracy over up to four options by AIR-Bench's rule (foundation part), and its average over domains"
    source = "OFA-Sys/AIR-Bench at 9832476: score_foundation.py"
    columns = COLUMNS | {"task_name"}
    summaries = (
        ACCURACY,
        UNPARSED,
        Summary("average", "function", ("correct", "counted", "task"), "%", "higher", 100.0, function=_domain_average),
    )

    def original(self, answer: str, options: Sequence[str], key: int) -> bool | None:
        text = answer.strip().replace("\n", "")
        if not text or text == "None":
            return None
        found = next((mark for mark in (text[0], text[-2:-1]) if mark and mark in "ABCD"), None)
        return None if found is None else LETTERS.index(found) == key

    def placed(self, sample: Sample, parts: dict[str, float], unparsed: bool) -> dict[str, float]:
        names = [task for _, task in _TASKS]
        name = sample.metadata.get("task_name")
        code = names.index(name) if name in names else _ELSEWHERE
        return {**super().placed(sample, parts, unparsed), "task": float(code)}
