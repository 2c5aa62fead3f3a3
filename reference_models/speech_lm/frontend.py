"""What the language model reads of a text: its bytes, its phonemes, or the tokens of a text LLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.script import foreign
from speech_eval.text import language_name, primary_language
from speech_eval.text.detect import UNKNOWN

Frontend = Literal["bytes", "phonemes", "tokenizer"]
BYTES = 256
# What eSpeak NG writes for English, German, French, Italian, Spanish, Russian and Mandarin; the order gives the ids.
PHONEMES = (
    " !\",-.:;?^'abcdefghijklmnopqrstuvwxyz0123456789æçðøŋœɐɑɒɔɕəɘɚɛɜɝɞɟɡɣɤɥɦɨɪɫɬɭɯɲɳɵɸɹɻɽɾʀʁʂʃʈʊʋʌʎʏʐʑʒʔʝʰʲʷˈˌːˑ˞̩̪̃βθχᵻ"
)
_IDS = {character: number for number, character in enumerate(PHONEMES)}


@dataclass(frozen=True)
class Reading:
    """A text as it enters the model, still as characters: IPA for `phonemes`, unchanged otherwise. `problem` says why
    it cannot be read; `voice` is eSpeak NG's language."""

    said: str
    problem: str = ""
    voice: str = ""


def symbols(frontend: Frontend) -> int:
    """Ids of a frontend without a text LLM."""
    return len(PHONEMES) if frontend == "phonemes" else BYTES


def voice_of(language: str, default: str) -> str:
    """eSpeak NG's language for texts in `language`: `default` where nothing or no other variety of it is stated."""
    tag = (language or UNKNOWN).lower()
    return default if tag in (UNKNOWN, primary_language(default)) else tag


def learned_voice(language: str, learned: Sequence[str]) -> str:
    """The voice, of those that a model has learned from, which reads a text in `language`: the first where no language
    is stated. Raises `BadInput` for another language."""
    tag = (language or UNKNOWN).lower()
    if tag == UNKNOWN:
        return learned[0]
    own = [voice for voice in learned if primary_language(voice) == primary_language(tag)]
    if not own:
        known = ", ".join(language_name(voice) for voice in learned)
        raise BadInput(
            f"The text is in {language_name(language)}; the model has learned to read {known}.",
            "Give texts in a language that it has learned, or train it on this one.",
        )
    return tag if tag in own else own[0]


def readings(texts: Sequence[str], frontend: Frontend, voices: Sequence[str]) -> list[Reading]:
    """Each text as the frontend reads it in its voice, eSpeak NG's language."""
    if frontend != "phonemes":
        return [Reading(text) for text in texts]
    found: dict[int, Reading] = {}
    for voice in dict.fromkeys(voices):
        places = [place for place, other in enumerate(voices) if other == voice]
        read = _in_voice([texts[place] for place in places], voice)
        found |= dict(zip(places, read, strict=True))
    return [found[place] for place in range(len(texts))]


def _in_voice(texts: Sequence[str], voice: str) -> list[Reading]:
    from speech_eval.adapters.tts.espeak import phonemes

    try:
        said = phonemes(texts, voice)
    except BadInput as error:
        if (language := primary_language(voice)) != voice:
            return _in_voice(texts, language)
        return [Reading("", error.problem.rstrip("."), voice)] * len(texts)
    pairs = zip(texts, said, strict=True)
    return [Reading(spoken, foreign(text, voice) or unknown(spoken), voice) for text, spoken in pairs]


def unknown(said: str) -> str:
    """What is wrong with phonemes outside the table; empty where nothing is."""
    strange = sorted(set(said) - set(PHONEMES))
    return f"{' '.join(strange)}: not among the known phonemes, in '{said[:60]}'" if strange else ""


def spelled(name: str, frontend: Frontend) -> str:
    """A name as the frontend can read it: letters that are no phonemes by their numbers."""
    if frontend != "phonemes":
        return name
    return "".join(letter if letter in _IDS else str(ord(letter)) for letter in name)


def ids(spoken_text: str, frontend: Frontend) -> list[int]:
    """Ids of a spoken text, from 0. Raises `BadInput` for a character that is not a known phoneme."""
    if frontend == "bytes":
        return list(spoken_text.encode("utf-8"))
    if problem := unknown(spoken_text):
        raise BadInput(f"{problem}.", "Train with `frontend: bytes`.")
    return [_IDS[character] for character in spoken_text]
