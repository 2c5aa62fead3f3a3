"""The language of a text: by its script, by letters that only one language of the script uses, and by common words.

For data that does not state its language. It is meant for the whole text of a dataset, and names no language rather
than a wrong one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

UNKNOWN = "und"  # undetermined, in BCP 47
_ENOUGH = 20_000  # letters that are read
_ASSUMED, _FEW = "en", 3  # of so few plain words, none of them common, such as a name; "A" does not count

# Scripts, as the names of their letters begin, that one language uses nearly alone.
_BY_SCRIPT = {
    **{"ARMENIAN": "hy", "ETHIOPIC": "am", "GEORGIAN": "ka", "GREEK": "el", "GUJARATI": "gu", "GURMUKHI": "pa"},
    **{"HANGUL": "ko", "HEBREW": "he", "HIRAGANA": "ja", "KANNADA": "kn", "KATAKANA": "ja", "KHMER": "km", "LAO": "lo"},
    **{"MALAYALAM": "ml", "MYANMAR": "my", "ORIYA": "or", "SINHALA": "si", "TAMIL": "ta", "TELUGU": "te", "THAI": "th"},
    **{"TIBETAN": "bo"},
}
# Letters that tell the languages of a script apart; the first language that has one of its letters in the text.
_BY_LETTER: Mapping[str, tuple[tuple[str, str], ...]] = {
    "CYRILLIC": (
        *(("kk", "қәғұ"), ("ky", "ңү"), ("tg", "ҷӣӯ"), ("be", "ў"), ("uk", "їєґ"), ("mk", "ѓќѕ"), ("sr", "ђћџ")),
        ("ru", "ыэё"),
    ),
    "ARABIC": (("ur", "ٹڈڑے"), ("ckb", "ڕڵێۆ"), ("ps", "ټډړښځڅ"), ("fa", "پچژگکی"), ("ar", "ةكيىأإ")),
    "BENGALI": (("as", "ৰৱ"), ("bn", "র")),
    "CJK": (("yue", "嘅咗喺哋唔佢"),),
}
# Common words; English has none of those of the other languages.
_WORDS = {
    "en": (
        "the and of to is that was for with you this have are not from they she his it he we what there their your "
        "would could should which when where who how why because about after before over then than these those been "
        "being were had did does can will my our some any other two three four five seven eight nine ten hundred "
        "thousand one by costs good great hello thank thanks please yes world day today night morning friend matters"
    ),
    "de": (
        "der und das ist nicht ein ich zu mit sich auf für wir eine dem auch wie sie sind haben guten danke heute "
        "morgen aber oder wenn nach bei noch nur kann mein dein gut ja nein bitte einen einer wird werden über tag mir"
    ),
    "fr": (
        "le les et des est une dans que qui pas sur vous nous avec ce je du bonjour merci bonsoir aussi mais où "
        "comment très bien tout tous être avoir cette mon ton son aux par pour plus oui au sont elle aujourd suis salut"
    ),
    "es": (
        "el los las es una que por con para su lo como pero muy está del yo hola gracias buenos buenas días todos hoy "
        "qué cómo dónde cuando también más esto esta este hay bien tengo tiene soy eres sí nosotros usted mañana al"
    ),
    "it": (
        "il che di è un gli sono della con una mi lo questo nel ma dei buongiorno buonasera ciao grazie tutti tutto "
        "non oggi domani stai sei bene ho hai ha anche più perché quando dove chi cosa molto nella alla delle dal del "
        "si come io noi voi lei loro questa quello quella sta fa va qui"
    ),
    "pt": (
        "os uma que um para por são da em mais você ele na não obrigado obrigada olá bom dia hoje tudo bem muito como "
        "está isso esta este eu nós eles ela quando onde também ao dos das pelo sim meu minha foi ser"
    ),
    "nl": (
        "het een en ik dat niet zijn op te hij voor maar deze wij naar hallo dank goed goede dag vandaag ook wel nog "
        "bij als met van wat waar hoe heb heeft jij jullie mijn geen kan zal worden"
    ),
    "sv": "och att det som är inte jag på med för ett av har hej du hur idag tack",
    "da": "og det er ikke jeg på med af der til hun af hvad",
    "pl": "nie się na jest że jak ale tak co przez jego był są",
    "cs": "je se na že jsem ale jak který jsou není byl tak",
    "ro": "și este nu în că pe cu mai sunt din pentru",
    "tr": "bir ve bu için çok ne ben var değil gibi daha olarak merhaba bugün mı mi",
    "vi": "là và của không có tôi được cho một người trong đã",
    "id": "yang di itu dengan untuk tidak ini dari saya akan ada",
    "fi": "ja ei se että hän mutta oli ovat joka minä tämä",
    "hu": "az és nem hogy egy ez volt csak",
    "ca": "el els és amb que una les molt però",
    "hi": "है में और का की के नहीं यह से था को हैं",
    "mr": "आहे आणि मी हे नाही आहेत तो होते ते काय",
    "ne": "छ र को हो मा छन् गर्न यो भन्ने थियो",
}


def detect_language(texts: Iterable[str]) -> str:
    """The BCP 47 tag of the language of `texts`, or `und` where script and words do not tell it.

    English takes one of its common words, other languages in Latin letters take two. Up to three words in Latin letters
    without accents, none of them a common word, count as English.
    """
    text = unicodedata.normalize("NFC", " ".join(texts)[: 2 * _ENOUGH]).lower()
    scripts = Counter(_script(char) for char in text if char.isalpha())
    if not scripts:
        return UNKNOWN
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    script = "HIRAGANA" if kana > scripts["CJK"] / 20 and kana else scripts.most_common(1)[0][0]
    if script in _BY_SCRIPT:
        return _BY_SCRIPT[script]
    for language, letters in _BY_LETTER.get(script, ()):
        if any(letter in text for letter in letters):
            return language
    if script == "CJK":
        return "zh"
    return _by_words(text) if script in ("LATIN", "DEVANAGARI") else UNKNOWN


def _script(char: str) -> str:
    return unicodedata.name(char, "?").split()[0]


def _by_words(text: str) -> str:
    words = Counter(re.findall(r"[^\s\d!-/:-@¡¿…«»“”„।]+", text))
    found = Counter({language: sum(words[word] for word in common.split()) for language, common in _WORDS.items()})
    (first, hits), (_, others) = found.most_common(2)
    if hits == 0:
        return _ASSUMED if text.isascii() and sum(len(word) > 1 for word in words) <= _FEW else UNKNOWN
    if found["en"] == hits:
        return "en"
    return first if hits > max(others, 1) else UNKNOWN
