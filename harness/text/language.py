"""Names and codes of languages, and what the rules of text need to know about a language.

Data and options may name a language by its BCP 47 tag (`en-US`, `zh-Hant`), its ISO 639 code (`deu`, `ger`, `cmn`) or
its English name (`german`). `language_tag` turns all of them into one tag; the functions below it take such tags.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache

from speech_eval.errors import BadInput

# English names by tag. Codes need no entry: every code of ISO 639 is known.
_NAMES = {
    **{"af": "afrikaans", "sq": "albanian", "am": "amharic", "ar": "arabic", "hy": "armenian", "as": "assamese"},
    **{"az": "azerbaijani", "ba": "bashkir", "eu": "basque", "be": "belarusian", "bn": "bengali", "bs": "bosnian"},
    **{"br": "breton", "bg": "bulgarian", "my": "burmese", "yue": "cantonese", "ca": "catalan", "ceb": "cebuano"},
    **{"zh": "chinese", "hr": "croatian", "cs": "czech", "da": "danish", "nl": "dutch", "en": "english"},
    **{"eo": "esperanto", "et": "estonian", "fo": "faroese", "fil": "filipino", "fi": "finnish", "fr": "french"},
    **{"gl": "galician", "ka": "georgian", "de": "german", "el": "greek", "gu": "gujarati", "ht": "haitian creole"},
    **{"ha": "hausa", "haw": "hawaiian", "he": "hebrew", "hi": "hindi", "hu": "hungarian", "is": "icelandic"},
    **{"ig": "igbo", "id": "indonesian", "ga": "irish", "it": "italian", "ja": "japanese", "jv": "javanese"},
    **{"kn": "kannada", "kk": "kazakh", "km": "khmer", "rw": "kinyarwanda", "ko": "korean", "ku": "kurdish"},
    **{"ckb": "central kurdish", "ky": "kyrgyz", "lo": "lao", "la": "latin", "lv": "latvian", "ln": "lingala"},
    **{"lt": "lithuanian", "lb": "luxembourgish", "mk": "macedonian", "mg": "malagasy", "ms": "malay"},
    **{"ml": "malayalam", "mt": "maltese", "mi": "maori", "mr": "marathi", "mn": "mongolian", "ne": "nepali"},
    **{"no": "norwegian", "nb": "norwegian bokmål", "nn": "norwegian nynorsk", "oc": "occitan", "or": "odia"},
    **{"ps": "pashto", "fa": "persian", "pl": "polish", "pt": "portuguese", "pa": "punjabi", "ro": "romanian"},
    **{"ru": "russian", "sa": "sanskrit", "sr": "serbian", "sn": "shona", "sd": "sindhi", "si": "sinhala"},
    **{"sk": "slovak", "sl": "slovenian", "so": "somali", "es": "spanish", "su": "sundanese", "sw": "swahili"},
    **{"sv": "swedish", "tg": "tajik", "ta": "tamil", "tt": "tatar", "te": "telugu", "th": "thai", "bo": "tibetan"},
    **{"tr": "turkish", "tk": "turkmen", "uk": "ukrainian", "ur": "urdu", "ug": "uyghur", "uz": "uzbek"},
    **{"vi": "vietnamese", "cy": "welsh", "wo": "wolof", "xh": "xhosa", "yi": "yiddish", "yo": "yoruba", "zu": "zulu"},
}
_OTHER_NAMES = {
    **{"mandarin": "zh", "mandarin chinese": "zh", "simplified chinese": "zh-Hans", "traditional chinese": "zh-Hant"},
    **{"farsi": "fa", "castilian": "es", "flemish": "nl-BE", "tagalog": "fil", "myanmar": "my", "kirghiz": "ky"},
    **{"uighur": "ug", "valencian": "ca", "moldavian": "ro", "moldovan": "ro", "oriya": "or", "panjabi": "pa"},
    **{"sinhalese": "si", "bangla": "bn", "haitian": "ht", "modern greek": "el", "brazilian portuguese": "pt-BR"},
    **{
        "cantonese chinese": "yue",
        "sorani kurdish": "ckb",
        "american english": "en-US",
        "british english": "en-GB",
        "slovene": "sl",
        "cambodian": "km",
    },
}
_BY_NAME = {name: tag for tag, name in _NAMES.items()} | _OTHER_NAMES
NO_LANGUAGE = {"und", "mul", "mis", "zxx"}  # undetermined, several, uncoded, no language

# Languages written without spaces between words: their primary number is the character error rate.
CHINESE = {"zh", "yue", "wuu", "nan", "hak", "gan", "hsn", "cdo", "lzh"}
_WITHOUT_SPACES = {*CHINESE, "ja", "th", "lo", "my", "km", "shn"}


@cache
def language_tag(name: str) -> str:
    """The BCP 47 tag of a language given by tag, ISO 639 code or English name: `zh` of `cmn`, `en-US` of `en_us`.

    Raises `BadInput` for other names, and for codes that do not name one language (`und`, `mul`).
    """
    import langcodes

    given = " ".join(name.split())
    if known := _BY_NAME.get(given.lower()):
        return known
    try:
        tag = langcodes.standardize_tag(given, macro=True)
    except ValueError:
        tag = ""
    language = primary_language(tag)
    if not tag or language in NO_LANGUAGE or "qaa" <= language <= "qtz" or not langcodes.tag_is_valid(tag):
        near = get_close_matches(given.lower(), _BY_NAME, n=1)
        hint = f"Did you mean {_BY_NAME[near[0]]} ({near[0]})? " if near else ""
        raise BadInput(f"'{name}' is not a language.", f"{hint}Give a code such as en, de, zh or pt-BR.")
    return tag


def language_name(tag: str) -> str:
    """The English name with the tag, `German (de)`; the tag alone where the name is not in the table."""
    name = _NAMES.get(primary_language(tag))
    return f"{name.title()} ({tag})" if name else tag


def english_name(tag: str) -> str:
    """The English name of the language alone, `Chinese` of `zh-TW`; its code where the name is not in the table."""
    language = primary_language(tag)
    return _NAMES[language].title() if language in _NAMES else language


def primary_language(tag: str) -> str:
    """The language of a tag without region or script, in lower case: `en` of `en-US` and `en_GB`."""
    return re.split(r"[-_]", tag.lower())[0]


def separates_words(tag: str) -> bool:
    """Whether the language is written with spaces between words; romanized text (`ja-Latn`) always is."""
    return primary_language(tag) not in _WITHOUT_SPACES or "latn" in re.split(r"[-_]", tag.lower())
