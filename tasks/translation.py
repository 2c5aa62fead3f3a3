"""Speech translation and classes of speech, as plain tasks."""

from __future__ import annotations

from speech_eval import Answer, Question, Task, Variant, register_task

_BLEU, _CHRF = "bleu[sacrebleu@2.6.0]", "chrf[sacrebleu@2.6.0]"


@register_task
def st() -> Task:
    """A recognizer that translates, such as `whisper-base,task=translate`, or a conversation model that is asked to."""
    translation = Variant("covost2-zh-en", (_BLEU, _CHRF), f"{_BLEU}/bleu")
    return Task(
        name="st",
        version=1,
        variants={"AudioLanguageModel": translation, "SpeechRecognizer": translation},
        protocol="st@1",
        generate=Answer(
            max_new_tokens=512,
            question=Question("Translate what is said into {target}. Reply with the translation alone."),
        ),
        description="Speech translation: corpus BLEU and chrF",
    )


@register_task
def ser() -> Task:
    return Task(
        name="ser",
        version=1,
        interface="AudioLanguageModel",
        dataset="meld-emotion",
        metrics=("labels[classes@1]",),
        primary="labels[classes@1]/uar",
        protocol="ser@1",
        generate=Answer(
            max_new_tokens=128,
            question=Question(
                "Which emotion does the speaker show? Answer with one of these words: {options}",
                option="{text}",
                between=", ",
            ),
        ),
        description="Emotions in speech: unweighted average recall, accuracy and weighted F1",
    )
