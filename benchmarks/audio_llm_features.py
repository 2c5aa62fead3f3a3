"""Reading an audio LLM's stored features against computing them, and how both grow with the data.

    python benchmarks/audio_llm_features.py [--utterances 32] [--encoder whisper-base]

One thread, processor time, English prompts of two to six seconds. `thirty_seconds` is the encoder as it is commonly
run, on windows padded to 30 s.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from speech_eval.audio import Samples, load
from speech_eval.reference_models.audio_llm.encoder import SpeechEncoder
from speech_eval.reference_models.audio_llm.features import FeatureStore, build_features
from speech_eval.reference_models.data.corpus import open_corpus


def seconds(work: Callable[[], object]) -> float:
    """Processor time of a call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def padded(encoder: SpeechEncoder, wave: Samples) -> object:
    """The features of one recording by a window of 30 s."""
    return encoder([np.pad(wave, (0, 30 * 16_000 - len(wave)))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=32)
    parser.add_argument("--encoder", default="whisper-base")
    given = parser.parse_args()
    torch.set_num_threads(1)
    whole = open_corpus("asterisk-en")
    clips = [clip for clip in whole.clips if 2 < clip.seconds < 6][: given.utterances]
    corpus = dataclasses.replace(whole, clips=tuple(clips))
    waves = [load(clip.path, 16_000).samples for clip in clips]
    encoders = {dtype: SpeechEncoder(given.encoder, dtype=dtype) for dtype in ("bfloat16", "float32")}
    for encoder in encoders.values():
        encoder(waves[:2])
    trimmed = {dtype: seconds(lambda e=encoder: e(waves)) / len(waves) for dtype, encoder in encoders.items()}
    few = waves[:4]
    window = seconds(lambda: [padded(encoders["float32"], wave) for wave in few]) / len(few)
    for dtype, cost in trimmed.items():
        shown = {"seconds_per_utterance": round(cost, 4), "thirty_seconds_over_it": round(window / cost, 1)}
        print(json.dumps({"measured": "computed", "dtype": dtype, **shown}), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        build_features(corpus, given.encoder, Path(folder))
        store = FeatureStore.open(folder)
        size = sum(store[i].features.nbytes for i in range(len(store))) / len(store)
        for count in (1, 10, 100):
            rounds = range(count)
            cost = seconds(lambda r=rounds: [float(store[i].features.sum()) for _ in r for i in range(len(store))])
            each = cost / count / len(store)
            found = {"reads": count * len(store), "microseconds_per_utterance": round(1e6 * each, 1)}
            ratio = {"computed_over_stored": round(trimmed["bfloat16"] / each)}
            print(json.dumps({"measured": "stored", **found, **ratio, "kilobytes": round(size / 1000)}), flush=True)
        half = dataclasses.replace(corpus, clips=corpus.clips[: len(clips) // 2])
        small = seconds(lambda: build_features(half, given.encoder, Path(folder) / "half"))
        large = seconds(lambda: build_features(corpus, given.encoder, Path(folder) / "whole"))
        frames = store.lengths.sum() / FeatureStore.open(Path(folder) / "half").lengths.sum()
        growth = {"seconds": [round(small, 2), round(large, 2)], "audio_ratio": round(float(frames), 2)}
        print(json.dumps({"measured": "build of half and of all", **growth, "cost_ratio": round(large / small, 2)}))


if __name__ == "__main__":
    main()
