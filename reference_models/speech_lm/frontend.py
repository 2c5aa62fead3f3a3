"""What the language model reads of a text: its bytes, its phonemes, or the tokens of a text LLM."""

from __future__ import annotations

from typing import Literal

from speech_eval.errors import BadInput

Frontend = Literal["bytes", "phonemes", "tokenizer"]
BYTES = 256
# What eSpeak NG writes for English, German, French, Italian, Spanish, Russian and Mandarin; the order gives the ids.
PHONEMES = (
    " !\",-.:;?^'abcdefghijklmnopqrstuvwxyz0123456789æçðøŋœɐɑɒɔɕəɘɚɛɜɝɞɟɡɣɤɥɦɨɪɫɬɭɯɲɳɵɸɹɻɽɾʀʁʂʃʈʊʋʌʎʏʐʑʒʔʝʰʲʷˈˌːˑ˞̩̪̃βθχᵻ"
)
_IDS = {character: number for number, character in enumerate(PHONEMES)}


def symbols(frontend: Frontend) -> int:
    """Ids of a frontend without a text LLM."""
    return len(PHONEMES) if frontend == "phonemes" else BYTES


def spoken(texts: list[str], frontend: Frontend, language: str = "en-us") -> list[str]:
    """Texts as they enter the model, still as characters: IPA for `phonemes`, unchanged otherwise."""
    if frontend != "phonemes":
        return texts
    from speech_eval.adapters.tts.espeak import phonemes

    return phonemes(texts, language)


def ids(spoken_text: str, frontend: Frontend) -> list[int]:
    """Ids of a spoken text, from 0. Raises `BadInput` for a character that is not a known phoneme."""
    if frontend == "bytes":
        return list(spoken_text.encode("utf-8"))
    unknown = sorted(set(spoken_text) - set(PHONEMES))
    if unknown:
        raise BadInput(f"{' '.join(unknown)}: not among the known phonemes.", "Train with `frontend: bytes`.")
    return [_IDS[character] for character in spoken_text]
