"""What the model reads for interleaving and instructions, and what is checked of it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from support.tiny_audio_llm import save_tiny_llm  # noqa: E402

from speech_eval.adapters.checkpoints import locate  # noqa: E402
from speech_eval.assets.convert.gguf import convert  # noqa: E402
from speech_eval.errors import BadInput, SpeechEvalError  # noqa: E402
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig, PromptSection  # noqa: E402
from speech_eval.reference_models.audio_llm.data import Examples, balanced, check_ends, shown  # noqa: E402
from speech_eval.reference_models.audio_llm.features import FeatureStore, Spoken, Word, _Row  # noqa: E402
from speech_eval.reference_models.audio_llm.instructions import KINDS, conversation, kinds_of  # noqa: E402
from speech_eval.reference_models.audio_llm.model import AudioLLM, Example  # noqa: E402
from speech_eval.reference_models.audio_llm.prompts import PLACE, Heard, Prompter, Written  # noqa: E402
from speech_eval.reference_models.audio_llm.tasks import Tasks  # noqa: E402
from speech_eval.reference_models.audio_llm.text_llm import load_llm  # noqa: E402
from speech_eval.reference_models.audio_llm.training_config import ExamplesSection, StageConfig  # noqa: E402
from speech_eval.reference_models.data.natural import evaluated_on, spoken_words  # noqa: E402

WORDS = (Word("the", 0.1, 0.3), Word("small", 0.3, 0.8), Word("dog", 1.0, 1.4), Word("sleeps.", 1.5, 2.1))
DOG = Spoken("dog", "the small dog sleeps.", "en", "x", np.ones((110, 4), dtype=np.float16), WORDS)
ASKED = replace(
    DOG, metadata={"answer": "No.", "sex": "female", "condition": "telephone", "translation_de": "der Hund schläft"}
)


@pytest.fixture(scope="module")
def prompter() -> Prompter:
    """SmolLM2's own tokenizer and chat template."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(locate("asset:smollm2", convert=convert).directory)
    return Prompter(tokenizer, frozenset({tokenizer.eos_token_id}), PromptSection(examples=()))


def seen(prompter: Prompter, examples: list[Example]) -> list[str]:
    return [shown(example, prompter.tokenizer.decode) for example in examples]


def test_interleaved_examples_read_as_the_patterns_say(prompter: Prompter) -> None:
    draw = random.Random(0)
    repeats = Examples(prompter, ExamplesSection(repeat=1.0, chunk_seconds=0.8)).interleave(DOG, draw)
    assert seen(prompter, repeats) == [
        "[0.9 s of audio]<repeat>« the small<|im_end|>»",
        "[1.3 s of audio]<repeat>« dog sleeps.<|im_end|>»",
    ]
    follows = Examples(prompter, ExamplesSection(repeat=0.0, chunk_seconds=0.8)).interleave(DOG, draw)
    assert seen(prompter, follows) == ["[0.9 s of audio]<next>« dog sleeps.<|im_end|>»"]
    whole = Examples(prompter, ExamplesSection(repeat=0.5)).interleave(replace(DOG, words=()), draw)
    assert seen(prompter, whole) == ["[2.2 s of audio]<repeat>« the small dog sleeps.<|im_end|>»"]


def test_a_conversation_holds_the_recording_and_learns_the_answer_alone(prompter: Prompter) -> None:
    section = ExamplesSection.model_validate({"conversations": {"answer": 1.0}})
    found = {
        text for n in range(8) for text in seen(prompter, Examples(prompter, section).instruct(ASKED, random.Random(n)))
    }
    assert len(found) == 2 and all(text.count("[2.2 s of audio]") == 1 for text in found)
    assert all("assistant\\n«No.<|im_end|>»" in text for text in found)
    assert Examples(prompter, section).instruct(DOG, random.Random(0)) == []


def test_conversations_say_what_the_data_state() -> None:
    assert kinds_of(DOG) == ["refuse", "transcribe"] and set(kinds_of(ASKED)) == set(KINDS) - {"pace"}
    slow = replace(DOG, features=np.ones((200, 4), dtype=np.float16))
    expected = {
        "answer": (ASKED, {"No."}),
        "translate": (ASKED, {"der Hund schläft"}),
        "speaker": (ASKED, {"A woman is speaking."}),
        "channel": (ASKED, {"Yes.", "No."}),
        "pace": (slow, {"Slowly."}),
        "transcribe": (DOG, {DOG.text}),
    }
    for kind, (one, answers) in expected.items():
        made = [conversation(one, kind, random.Random(n)) for n in range(12)]
        assert {str(each.messages[1]["content"]) for each in made} == answers, kind
    (german,) = {conversation(ASKED, "translate", random.Random(n)).messages[0]["content"] for n in range(4)}
    assert german == f"Translate this into German: {PLACE}"


def test_a_recording_that_is_missing_is_asked_for() -> None:
    made = [conversation(DOG, "refuse", random.Random(n)) for n in range(12)]
    without = [each for each in made if PLACE not in str(each.messages[0]["content"])]
    assert without and all(each.transcripts == () and "no recording" in each.messages[1]["content"] for each in without)


def test_no_wording_is_a_question_that_models_are_evaluated_on() -> None:
    for kind in kinds_of(ASKED):
        for n in range(12):
            asked = conversation(ASKED, kind, random.Random(n)).messages[0]["content"]
            assert spoken_words(str(asked).replace(PLACE, "")) not in evaluated_on() - {""}


def test_conversations_that_the_data_do_not_allow_are_refused() -> None:
    with pytest.raises(BadInput, match="do not allow 'answer'"):
        conversation(DOG, "answer", random.Random(0))
    with pytest.raises(BadInput, match="no kind of conversation 'sing'"):
        conversation(DOG, "sing", random.Random(0))


def test_stages_learn_from_chunks_and_conversations(tmp_path: Path) -> None:
    config = AudioLLMConfig.model_validate(
        {"llm": {"spec": save_tiny_llm(tmp_path)}, "prompt": {"ask": "say:<|audio|>", "examples": []}}
    )
    model = AudioLLM(config, load_llm(config.llm), dim=4)
    learned = model.freeze_except(("fusion",))["fusion"]
    tasks = Tasks(model)
    conversations = {"answer": 1.0, "refuse": 1.0}
    stage = StageConfig.model_validate(
        {"steps": 1, "mixture": {"interleave": 1, "instruct": 1}, "examples": {"conversations": conversations}}
    )
    for task in ("interleave", "instruct"):
        first, again = (tasks.losses(task, [ASKED, DOG], stage, 3) for _ in range(2))
        assert first["loss"].item() == again["loss"].item() == first[task].item() > 0
        first["loss"].backward()
        assert all(parameter.grad is not None for parameter in learned.values()), task
    assert any("<repeat>" in text or "<next>" in text for text in tasks.shown(ASKED, stage))
    only = stage.model_copy(update={"examples": ExamplesSection.model_validate({"conversations": {"translate": 1.0}})})
    with pytest.raises(BadInput, match="None of 1 utterances allows the task instruct"):
        tasks.losses("instruct", [DOG], only, 0)


def test_an_example_without_an_end_or_with_a_place_too_many_is_a_fault() -> None:
    place, ends = Heard(), frozenset({0})
    features = (torch.ones(3, 4),)
    check_ends(Example("a", (place, Written((5, 0), True)), features), ends)
    for segments, problem in (
        ((place, Written((5,), True)), "has no end"),
        ((place, Written((5, 0))), "has no end"),
        ((place, place, Written((5, 0), True)), "2 places for 1 recordings"),
    ):
        with pytest.raises(SpeechEvalError, match=problem):
            check_ends(Example("a", segments, features), ends)


@pytest.mark.parametrize(("share", "recorded"), [(0.0, 0), (0.5, 90), (1.0, 10), (None, 10)])
def test_the_share_of_human_recordings_is_what_is_asked_for(share: float | None, recorded: int) -> None:
    lines = [{"id": str(n), "frames": 1, "metadata": {"synthetic": n >= 10}} for n in range(100)]
    plan = {"encoder": {"spec": "whisper-base", "dim": 4}}
    store = FeatureStore(Path("x"), plan, [_Row(Path("x"), 0, line) for line in lines])
    chosen = balanced(store, share, seed=0)
    human = [index for index in chosen if index < 10]
    assert len(human) == recorded and set(human) == (set(range(10)) if recorded else set())
    assert len(chosen) == (len(human) / share if share else (90 if share == 0 else 100))
    if share == 0.5:
        with pytest.raises(BadInput, match="no synthetic utterance"):
            balanced(store.keeping(range(10)), share, seed=0)
