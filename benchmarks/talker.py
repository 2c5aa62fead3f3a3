"""Seconds of one processor until the first audible sound of an answer: Thinker and Talker beside a cascade.

    python benchmarks/talker.py CHECKPOINT [--words 24] [--rounds 3]

CHECKPOINT is a directory that `speech-eval train conversation/talker` wrote. Both sides have the same text LLM, read
the same questions (as text, so no recognizer counts) and speak through the same codec; the cascade's voice is
llasa-3m-en. They take turns, the ratio is taken within a question. Processor time, so that a busy machine does not
count; the task `latency` measures the clock.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch

from speech_eval.adapters.base import AudioLanguageModel, ChatRequest
from speech_eval.adapters.spec import resolve
from speech_eval.signal.level import audible

QUESTIONS = ("What is the capital of France?", "Tell me about the sea.", "How do I boil an egg?")


def first_sound(model: AudioLanguageModel, question: str, tokens: int) -> tuple[float, float]:
    """Seconds to the first text and to the first audible chunk of the answer."""
    request = ChatRequest("q", [{"role": "user", "content": question}], max_new_tokens=tokens)
    begun, text = process_time(), 0.0
    for piece in model.reply_stream(request):
        if piece.text and not text:
            text = process_time() - begun
        if piece.audio is not None and audible(piece.audio):
            return text, process_time() - begun
    raise SystemExit(f"No sound in the answer to {question!r}.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--words", type=int, default=24, help="tokens of an answer, at most")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    specs = {
        "thinker-talker": f"thinker-talker,path={args.checkpoint},asr=oracle",
        "cascade": "cascade:oracle+smollm2+llasa-3m-en",
    }
    sides: dict[str, Any] = {name: resolve(spec).build() for name, spec in specs.items()}
    ratios: list[float] = []
    for number in range(args.rounds + 1):  # the first one warms up
        question = QUESTIONS[number % len(QUESTIONS)]
        found = {name: first_sound(side, question, args.words) for name, side in sides.items()}
        if number:
            row = {name: {"text": round(a, 2), "sound": round(b, 2)} for name, (a, b) in found.items()}
            ratios.append(found["thinker-talker"][1] / found["cascade"][1])
            print(json.dumps({"question": question, **row}), flush=True)
    print(json.dumps({"thinker-talker / cascade, to the first sound": round(median(ratios), 2)}), flush=True)


if __name__ == "__main__":
    main()
