"""Decode what was packed: recognize a sample of the training batches before anything is learned from them.

Batches are cut into documents, their labels turned back into codes, the codes into audio, and the audio into words. A
wrong offset, a wrong codec, audio beside the wrong text, a codec that garbles speech: all of these show here, before
the hours of training that they would waste.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speech_eval.adapters.base import AudioCodec
from speech_eval.errors import BadInput
from speech_eval.progress import Say, unsaid
from speech_eval.reference_models.data.packing import Packed, documents_of
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.recognition import Heard, Recognizer, error_rate
from speech_eval.reference_models.speech_lm.tokenizer import SpeechTokenizer, learned
from speech_eval.reference_models.tts.training_config import CheckConfig
from speech_eval.text import language_name, primary_language
from speech_eval.text.detect import UNKNOWN


def recognize_packed(
    packed: Packed,
    codec: AudioCodec,
    said: Mapping[str, str],
    spoken_in: Mapping[str, str],
    config: CheckConfig,
    default: str,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Word error rate of the first `config.utterances` packed utterances that the recognizer knows the language of, and
    what was recognized in each. `said` and `spoken_in` are texts and languages of documents by name, `default` is the
    language of those that state none.

    Raises `BadInput` where the recognizer knows no language of the data.
    """
    section = packed.tokenizer.config.codec
    speech = SpeechCodec(codec, section.codebook_sizes, section.frame_rates)
    recognizer = Recognizer(config.recognizer, "training.check.recognizer")
    languages = {
        name: primary_language(default) if language == UNKNOWN else language for name, language in spoken_in.items()
    }
    problems = {language: recognizer.problem(language) for language in sorted(set(languages.values()))}
    for language, problem in problems.items():
        if problem:
            say(f"not checked before training, {language_name(language)}: {problem}")
    known = [name for name, language in languages.items() if not problems[language]]
    if not known:
        raise BadInput(
            f"training.check: {config.recognizer} knows no language of the data ({', '.join(problems)}).",
            "Name one that does as training.check.recognizer, such as whisper-base.",
        )
    found: dict[str, Heard] = {}
    for name, codes in _utterances(packed.tokenizer, packed, config.utterances, set(known)):
        language = languages[name]
        found[name] = Heard(said[name], recognizer.transcript(speech.decode(codes), language), language)
    rows = [{"id": name, "text": heard.text, "heard": heard.transcript} for name, heard in found.items()]
    wer = error_rate(found.values())
    return {"utterances": len(rows), "recognizer": config.recognizer, "wer": wer, "heard": rows}


def refuse_garbage(report: Mapping[str, Any], config: CheckConfig, *, force: bool) -> None:
    """Raise `BadInput` if too little of the packed speech is recognized, unless `force`."""
    if report["wer"] <= config.max_wer or force:
        return
    worst = report["heard"][0]
    raise BadInput(
        f"The packed speech does not match its text: {report['wer']:.0%} of the words of {report['utterances']} "
        f"decoded utterances are wrong, {config.max_wer:.0%} are allowed. '{worst['text']}' is recognized as "
        f"'{worst['heard'][:200]}'.",
        "Listen to the codec: run the task codec-reconstruction on it. `train --force` trains all the same.",
    )


def _utterances(
    tokenizer: SpeechTokenizer, packed: Packed, wanted: int, known: set[str]
) -> list[tuple[str, list[Ints]]]:
    found: dict[str, list[Ints]] = {}
    for step in range(packed.epoch):
        for name, _, labels in documents_of(packed[step]):
            ids = learned(labels, tokenizer.streams)
            speech = len(ids) and (tokenizer.streams > 1 or ids[-1] == tokenizer.end)  # the others are text alone
            if speech and name in known and name not in found:
                found[name] = tokenizer.codes(ids)
            if len(found) == wanted:
                return list(found.items())
    return list(found.items())
