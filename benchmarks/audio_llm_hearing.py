"""What an audio LLM writes down of the same recordings by each way through it, beside the ways without it.

    python benchmarks/audio_llm_hearing.py --model listen-135m --data asterisk-en@held-out [--limit 60]

`--model` is a shipped name or a checkpoint directory, `--data` anything that `speech-eval run --data` takes; with
`--not-in DATA`, recordings whose words are in other data, such as those trained on, are left out. One row per way, its
word error rate with the interval of a bootstrap over recordings:

    true text      the text LLM is asked to repeat what was said: what it loses of a perfect hearing
    whisper        the Whisper whose encoder the model has
    whisper LLM    the text LLM repeats what that Whisper wrote: `cascade:whisper-base+smollm2` by this prompt
    ctc            the CTC head alone
    hard           its best tokens, repeated by the text LLM
    soft           its soft embeddings, through the LLM as it was trained
    soft base      the same through the base LLM, its LoRA off

A last row is about text without audio, in nats per token of 64 natural sentences: of the base LLM, with the gated LoRA
(off without audio), and with the same LoRA always on, as a plain one would be.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.audio import Audio, load
from speech_eval.datasets import load_dataset
from speech_eval.reference_models.audio_llm import building
from speech_eval.reference_models.audio_llm.encoder import SpeechEncoder
from speech_eval.reference_models.audio_llm.generation import Decoding, generate
from speech_eval.reference_models.audio_llm.model import AudioLLM, Example
from speech_eval.reference_models.audio_llm.objectives import next_token
from speech_eval.reference_models.audio_llm.prompts import PLACE, Written, as_text
from speech_eval.reference_models.data.natural import natural_sentences, spoken_words
from speech_eval.reference_models.speech_lm.recognition import Heard, error_rate
from speech_eval.reference_models.training.checkpoint import find_checkpoint

_BATCH, _DRAWS = 8, 1000


def recognized(spec: str, audios: Sequence[Audio]) -> list[str]:
    """Transcripts by a model of the harness."""
    model = modelspec.resolve(spec).build()
    assert isinstance(model, SpeechRecognizer)
    requests = [
        TranscriptionRequest(str(n), lambda audio=audio: audio.resampled(model.sample_rate), "en")  # type: ignore[misc]
        for n, audio in enumerate(audios)
    ]
    return [said for n in range(0, len(requests), _BATCH) for said in model.transcribe(requests[n : n + _BATCH])]


def untrained(model: AudioLLM, encoder: SpeechEncoder, audios: Sequence[Audio]) -> list[str]:
    """Transcripts by the base LLM, which gets what the trained one gets."""
    waves = [audio.resampled(encoder.rate).samples for audio in audios]
    found = []
    for start in range(0, len(waves), _BATCH):
        heard = encoder(waves[start : start + _BATCH])
        asked = [
            Example(str(n), model.prompter.transcription(None), (one,), examples=True) for n, one in enumerate(heard)
        ]
        with model.gate.kept_shut():
            ids = generate(model, asked, Decoding(16 + round(8 * max(map(len, heard)) / encoder.frame_rate)))
        found += [model.text.tokenizer.decode(one).strip() for one in ids]
    return found


def repeated(model: AudioLLM, texts: Sequence[str]) -> list[str]:
    """What the text LLM answers when it is asked to repeat each text."""
    found = []
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        asked = [
            model.prompter.segments(model.prompter.repetition(PLACE, None), [text], after_examples=True)
            for text in batch
        ]
        examples = [Example(str(n), as_text(one), (), examples=True) for n, one in enumerate(asked)]
        most = max(len(model.prompter.spoken_ids(text)) for text in batch) + 16
        found += [model.text.tokenizer.decode(ids).strip() for ids in generate(model, examples, Decoding(most))]
    return found


@torch.no_grad()
def text_alone(model: AudioLLM) -> dict[str, float]:
    """Nats per token of text without audio: the base LLM, with its LoRA gated, and always on."""
    texts = natural_sentences(64, seed=12345)
    end = min(model.text.ends)
    ids = [model.prompter.spoken_ids(text) for text in texts]
    examples = [Example(str(n), (Written(one[:1]), Written((*one[1:], end), True))) for n, one in enumerate(ids)]

    def nats() -> float:
        parts = [examples[start : start + _BATCH] for start in range(0, len(examples), _BATCH)]
        return sum(float(next_token(model, part)["ce"]) for part in parts) / len(parts)

    gated = nats()
    with model.gate.kept_shut():
        base = nats()
    before, model.gate.always = model.gate.always, True
    plain = nats()
    model.gate.always = before
    return {"base": base, "gated": gated, "always on": plain}


def interval(pairs: Sequence[Heard]) -> list[float]:
    """The middle 95 % of the error rate over draws of as many recordings."""
    draw = np.random.default_rng(0)
    rates = [error_rate([pairs[i] for i in draw.integers(len(pairs), size=len(pairs))]) for _ in range(_DRAWS)]
    return [round(float(100 * rate), 1) for rate in np.quantile(rates, [0.025, 0.975])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="listen-135m")
    parser.add_argument("--data", default="asterisk-en@held-out")
    parser.add_argument("--not-in", help="data whose words are left out")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--ways", default="true text,whisper,whisper LLM,ctc,hard,soft,soft base")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(given.data).subset(given.limit)
    known = {spoken_words(str(s.text)) for s in load_dataset(given.not_in).samples} if given.not_in else set()
    samples = [sample for sample in data.samples if spoken_words(str(sample.text)) not in known]
    audios = [load(data.audio_path(str(sample.audio))) for sample in samples]
    texts = [str(sample.text) for sample in samples]
    model, _ = building.load(find_checkpoint(given.model, "--model"))
    encoder = model.config.encoder.spec
    written = cache(lambda: recognized(encoder, audios))
    ways: dict[str, Callable[[], list[str]]] = {
        "true text": lambda: repeated(model, texts),
        "whisper": written,
        "whisper LLM": lambda: repeated(model, written()),
        **{
            reading: lambda reading=reading: recognized(f"{given.model},reading={reading}", audios)  # type: ignore[misc]
            for reading in ("ctc", "hard", "soft")
        },
        "soft base": lambda: untrained(model, SpeechEncoder(encoder, dtype="float32"), audios),
    }
    print(json.dumps({"model": given.model, "data": given.data, "recordings": len(texts)}), flush=True)
    for way in given.ways.split(","):
        began = time.process_time()
        pairs = [Heard(text, said, "en") for text, said in zip(texts, ways[way](), strict=True)]
        found = {"wer": round(100 * error_rate(pairs), 1), "interval": interval(pairs)}
        print(json.dumps({"way": way, **found, "cpu_seconds": round(time.process_time() - began)}), flush=True)
    print(json.dumps({"text alone": {name: round(value, 6) for name, value in text_alone(model).items()}}), flush=True)


if __name__ == "__main__":
    main()
