"""What the objectives of an audio LLM do to each other, in a world small enough for one processor thread.

    python benchmarks/audio_llm_relations.py --output out [--steps 600] [--seed 0]

The world: questions (what is the opposite of …, is a … food) spoken by five voices of one synthesizer, and a language
model of 1 M parameters over their words that was trained on text to repeat what it is given (`<repeat>`) and to answer
it (`<next>`). Then a fusion, and in most runs the LLM, learn from the speech of four voices, each run for as many
steps; the fifth voice is for the test. Every row of the output is one run:

    wer        word error rate of the questions after <repeat>, from speech
    heard      share of the opposites answered rightly after <next>, from speech
    read       the same from text, and `nats` per token of the answers to text
    repeated   word error rate of <repeat> from text

Runs `prompts: …` are another world: the telephone prompts of asterisk-en up to five seconds long, all of them spoken by
the synthesizer in three voices. One run learns to repeat from those alone, the other hears recordings of the training
split in half of its draws. `human` is the word error rate of the recordings that are held out, `wer` that of their
texts in a synthetic voice that neither run heard.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech_eval.audio import flac_bytes
from speech_eval.cache import write_atomically
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig
from speech_eval.reference_models.audio_llm.data import marks_of
from speech_eval.reference_models.audio_llm.features import FeatureStore, Spoken, build_features
from speech_eval.reference_models.audio_llm.generation import Decoding, generate
from speech_eval.reference_models.audio_llm.model import AudioLLM, Example
from speech_eval.reference_models.audio_llm.objectives import next_token
from speech_eval.reference_models.audio_llm.prompts import Heard, Segment, Written, as_text
from speech_eval.reference_models.audio_llm.text_llm import TextLLM
from speech_eval.reference_models.data.corpus import open_corpus
from speech_eval.reference_models.data.natural import spoken_words
from speech_eval.reference_models.data.questions import questions
from speech_eval.reference_models.data.voices import say
from speech_eval.reference_models.speech_lm.recognition import Heard as Pair
from speech_eval.reference_models.speech_lm.recognition import error_rate

OPPOSITES, KINDS = 48, 48  # questions of the world
LONGEST_PROMPT = 5.0  # seconds
PROMPT_VOICES = ("hibari-heart", "hibari-low", "hibari-high")
TEST_VOICE = "hibari-small"
BATCH, RATE = 16, 2e-3
CONFIG = AudioLLMConfig.model_validate(
    {"fusion": {"type": "mlp-fold", "fold": 4, "hidden": 256}, "adapt": {"type": "full"}, "prompt": {"examples": ()}}
)


def world(output: Path) -> FeatureStore:
    """The questions in five voices, as the encoder hears them."""
    found = questions()
    asked = [one for one in found if one.text.startswith("What")][:OPPOSITES]
    asked += [one for one in found if one.text.startswith("Is")][:KINDS]
    rows = [
        (voice, number, one.text, one.answer, "held-out" if voice == TEST_VOICE else "train")
        for voice in (*PROMPT_VOICES, "hibari-mid", TEST_VOICE)
        for number, one in enumerate(asked)
    ]
    folder = _spoken(output / "world", rows)
    return build_features(open_corpus(folder, output), CONFIG.encoder.spec, output / "features")


def prompts(output: Path) -> tuple[list[Spoken], list[Spoken], list[Spoken], list[Spoken]]:
    """Telephone prompts: synthetic and recorded ones to train on, held-out ones in another voice, and as recorded."""
    corpus = open_corpus("asterisk-en")
    clips = [clip for clip in corpus.clips if clip.seconds < LONGEST_PROMPT]
    recorded = build_features(replace(corpus, clips=tuple(clips)), CONFIG.encoder.spec, output / "recorded")
    texts = [(str(clip.sample.text), clip.split) for clip in clips]
    rows = [(voice, n, text, split) for voice in PROMPT_VOICES for n, (text, split) in enumerate(texts)]
    rows += [(TEST_VOICE, n, text, split) for n, (text, split) in enumerate(texts) if split == "held-out"]
    spoken = _spoken(output / "prompts", [(voice, n, text, "", "train") for voice, n, text, _ in rows])
    synthetic = build_features(open_corpus(spoken), CONFIG.encoder.spec, output / "prompt-features")
    found = [synthetic[i] for i in range(len(synthetic))]
    return (
        [one for one in found if one.speaker != TEST_VOICE],
        [recorded.split("train")[i] for i in range(len(recorded.split("train")))],
        [one for one in found if one.speaker == TEST_VOICE],
        [recorded.split("held-out")[i] for i in range(len(recorded.split("held-out")))],
    )


def _spoken(folder: Path, rows: Sequence[tuple[str, int, str, str, str]]) -> Path:
    """A folder of recordings: voice, number, text, answer and split of each."""
    lines = []
    for voice, number, text, answer, split in rows:
        name = f"{voice}-{number:03d}.flac"
        if not (folder / name).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, flac_bytes(say(voice, text, seed=number)))
        row = {"file_name": name, "id": name, "text": text, "answer": answer, "speaker": voice}
        lines.append(json.dumps(row | {"language": "en", "split": split}) + "\n")
    write_atomically(folder / "metadata.jsonl", "".join(lines).encode())
    return folder


def language_model(spoken: Sequence[Spoken], seed: int) -> TextLLM:
    """An untrained Llama over the words of the world."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    texts = [spoken_words(text) for one in spoken for text in (one.text, one.metadata.get("answer", ""))]
    names = ["<pad>", "<end>", "<repeat>", "<next>", *sorted({word for text in texts for word in text.split()})]
    made = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<end>")
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(names),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return TextLLM(transformers.LlamaForCausalLM(config), tokenizer, frozenset({1}), "", "")


class Lesson:
    """The examples of a model: what is asked of an utterance, from speech or from text."""

    def __init__(self, model: AudioLLM) -> None:
        self.model, self.marks, self.ids = model, marks_of(model.prompter), model.prompter.spoken_ids

    def example(self, one: Spoken, pattern: str, *, speech: bool, answered: bool = True) -> Example:
        mark, said = (self.marks.repeat, one.text) if pattern == "repeat" else (self.marks.next, one.metadata["answer"])
        segments: tuple[Segment, ...] = (Heard(self.ids(spoken_words(one.text))), Written(mark))
        if answered:
            segments = (*segments, Written(self.ids(spoken_words(said)) + self.marks.end, learned=True))
        features = (torch.from_numpy(one.features.astype("float32")),)
        return Example(one.id, segments if speech else as_text(segments), features if speech else ())


def fit(model: AudioLLM, parts: Sequence[str], batch: Callable[[random.Random], list[Example]], **how: Any) -> float:
    """Train parts of a model on drawn batches; the seconds it took."""
    steps, seed, distil, rate = (
        int(how["steps"]),
        int(how["seed"]),
        float(how.get("distil", 0.0)),
        how.get("rate", RATE),
    )
    found = model.freeze_except(parts)
    parameters = [p for part in found.values() for p in part.values()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.05)
    draw, began = random.Random(seed), time.process_time()
    model.train()
    for _ in range(steps):
        loss: Tensor = next_token(model, batch(draw), distil)["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
    return time.process_time() - began


@torch.no_grad()
def measured(model: AudioLLM, test: Sequence[Spoken]) -> dict[str, float]:
    """What a model does after each mark, from speech and from text."""
    model.eval()
    lesson, decode = Lesson(model), model.text.tokenizer.decode

    def answered(speech: bool, some: Sequence[Spoken]) -> list[str]:
        asked = [lesson.example(one, "next", speech=speech, answered=False) for one in some]
        return [decode(ids) for ids in generate(model, asked, Decoding(10))]

    opposites = [one for one in test if one.text.startswith("What")]
    answers = [spoken_words(one.metadata["answer"]) for one in opposites]
    found = {"wer": wer(model, test, speech=True), "repeated": wer(model, test, speech=False)}
    for name, speech in (("heard", True), ("read", False)):
        right = [a == b for a, b in zip(answers, answered(speech, opposites), strict=True)]
        found[name] = sum(right) / len(right)
    texts = [lesson.example(one, "next", speech=False) for one in opposites]
    found["nats"] = float(next_token(model, texts)["ce"])
    return {name: round(value, 3) for name, value in found.items()}


def wer(model: AudioLLM, test: Sequence[Spoken], *, speech: bool) -> float:
    """Word error rate of what a model repeats."""
    lesson, decode = Lesson(model), model.text.tokenizer.decode
    asked = [lesson.example(one, "repeat", speech=speech, answered=False) for one in test]
    texts = [decode(ids) for ids in generate(model.eval(), asked, Decoding(25))]
    return error_rate([Pair(spoken_words(one.text), text, "en") for one, text in zip(test, texts, strict=True)])


def run_prompts(output: Path, steps: int, seed: int) -> None:
    """Synthetic speech alone against half recorded speech, tested on recorded speech."""
    synthetic, recorded, test, human = prompts(output)
    base = AudioLLM(CONFIG, language_model([*synthetic, *recorded], seed), synthetic[0].features.shape[1])

    def batch(model: AudioLLM, share: float, speech: bool) -> Callable[[random.Random], list[Example]]:
        lesson = Lesson(model)
        return lambda draw: [
            lesson.example(draw.choice(recorded if draw.random() < share else synthetic), "repeat", speech=speech)
            for _ in range(BATCH)
        ]

    fit(base, ("llm",), batch(base, 0.0, speech=False), steps=2 * steps, seed=seed)
    facts = {"synthetic": len(synthetic), "recorded": len(recorded), "test": [len(test), len(human)]}
    print(json.dumps({"world": "prompts", **facts, "repeated": round(wer(base, human, speech=False), 3)}), flush=True)
    for name, share in (("prompts: synthetic", 0.0), ("prompts: half recorded", 0.5)):
        model = copy.deepcopy(base)
        seconds = fit(model, ("fusion", "llm"), batch(model, share, speech=True), steps=steps, seed=seed)
        found = {"human": wer(model, human, speech=True), "wer": wer(model, test, speech=True)}
        rounded = {key: round(value, 3) for key, value in found.items()}
        print(json.dumps({"run": name, **rounded, "cpu_seconds": round(seconds)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="runs whose name begins so: patterns, replay, frozen, prompts")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.only and given.only.startswith("prompts"):
        return run_prompts(given.output, given.steps, given.seed)
    store = world(given.output)
    train = [store.split("train")[i] for i in range(len(store.split("train")))]
    test = [store.split("held-out")[i] for i in range(len(store.split("held-out")))]
    base = AudioLLM(CONFIG, language_model([*train, *test], given.seed), store.dim)
    size = sum(p.numel() for p in base.llm.parameters())

    def batch(model: AudioLLM, repeat: float, replay: float = 0.0) -> Callable[[random.Random], list[Example]]:
        """Batches of speech, a share `repeat` of them repeated and the others answered, or with the probability
        `replay` of text alone, repeated and answered half and half."""
        lesson = Lesson(model)

        def draw_one(draw: random.Random) -> list[Example]:
            speech = draw.random() >= replay
            share = repeat if speech else 0.5
            chosen = draw.sample(train, BATCH)
            patterns = ["repeat" if draw.random() < share else "next" for _ in chosen]
            return [lesson.example(one, p, speech=speech) for one, p in zip(chosen, patterns, strict=True)]

        return draw_one

    def show(name: str, model: AudioLLM, seconds: float) -> None:
        print(json.dumps({"run": name, **measured(model, test), "cpu_seconds": round(seconds)}), flush=True)

    seconds = fit(base, ("llm",), batch(base, 0.5, replay=1.0), steps=2 * given.steps, seed=given.seed)
    print(json.dumps({"llm_parameters": size, "utterances": len(train), "test": len(test)}), flush=True)
    show("text only", base, seconds)
    both, alone = ("fusion", "llm"), ("fusion",)
    runs: dict[str, tuple[Sequence[str], float, float, float]] = {
        "patterns: repeat": (both, 1.0, 0.0, 0.0),
        "patterns: next": (both, 0.0, 0.0, 0.0),
        "patterns: half and half": (both, 0.5, 0.0, 0.0),
        "replay: 0.1": (both, 1.0, 0.1, 0.0),
        "replay: 0.5": (both, 1.0, 0.5, 0.0),
        "frozen: repeat": (alone, 1.0, 0.0, 0.0),
        "frozen: next by cross-entropy": (alone, 0.0, 0.0, 0.0),
        "frozen: next by divergence": (alone, 0.0, 0.0, 1.0),
    }
    for name, (parts, repeat, replay, distil) in runs.items():
        if given.only and not name.startswith(given.only):
            continue
        model = copy.deepcopy(base)
        draw = batch(model, repeat, replay)
        seconds = fit(model, parts, draw, steps=given.steps, seed=given.seed, distil=distil)
        show(name, model, seconds)
    if not given.only:
        run_prompts(given.output, given.steps, given.seed)


if __name__ == "__main__":
    main()
