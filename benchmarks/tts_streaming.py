"""The cost of speech generation on one CPU core: tokens per second as a batch grows, time to a stream's first audio.

    python benchmarks/tts_streaming.py [--rounds 5] [--seconds 4]

batch   tokens per second of B requests at once, compared with the same requests one by one
stream  milliseconds to the first chunk, over those of the whole utterance, as utterances grow longer

Weights are random: cost does not depend on them. Both sides of a pair are timed one after the other in every round, and
the ratio is taken within the round. Times are of the processor, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from support.tiny_speech import codec_of, save_codec, tiny_config

from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.core import LlamaCore
from speech_eval.reference_models.speech_lm.interface import Utterance
from speech_eval.reference_models.speech_lm.sampling import Sampling, generate, generate_stream
from speech_eval.reference_models.tts import building

TEXT = "The quick brown fox jumps over the lazy dog."


def timed(work: Callable[[], Any]) -> float:
    start = process_time()
    work()
    return process_time() - start


def endless(model: Any) -> Any:
    """The same model, which never stops by itself: utterances are as long as is asked."""
    codes = model.allowed(0)
    model.allowed = lambda step: codes
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        path = save_codec(Path(folder))
        adapter = codec_of(path)
        core = LlamaCore(width=256, layers=6, heads=4, feed_forward=704, positions=2048)
        config = tiny_config(adapter, str(path)).model_copy(update={"core": core})
        model, codec = endless(building.build(config).eval()), SpeechCodec(adapter)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(json.dumps({"parameters": parameters, "codes per second": codec.step_rate}))
        for size in (1, 4, 16):
            asked = [Utterance(str(i), TEXT, seed=i) for i in range(size)]
            sampling = Sampling(max_tokens=round(options.seconds * codec.step_rate))
            pairs = []
            for _ in range(options.rounds):
                together = timed(lambda asked=asked, sampling=sampling: generate(model, asked, sampling))
                alone = timed(
                    lambda asked=asked, sampling=sampling: [generate(model, [one], sampling) for one in asked]
                )
                pairs.append((together, alone))
            rate = size * round(options.seconds * codec.step_rate) / median(a for a, _ in pairs)
            print(
                json.dumps(
                    {
                        "batch": size,
                        "tokens per second": round(rate),
                        "ratio": round(median(b / a for a, b in pairs), 2),
                    }
                )
            )
        for seconds in (2.0, 4.0, 8.0):
            sampling = Sampling(max_tokens=round(seconds * codec.step_rate))
            one = Utterance("a", TEXT)

            def stream(sampling: Sampling = sampling, one: Utterance = one) -> Any:
                return codec.stream(part for part, _ in generate_stream(model, one, sampling, codec.chunk))

            pairs = []
            for _ in range(options.rounds):
                first = timed(lambda stream=stream: next(stream()))
                whole = timed(
                    lambda sampling=sampling, one=one: codec.decode(generate(model, [one], sampling)[0].codes)
                )
                pairs.append((first, whole))
            shown = {"seconds": seconds, "first sound ms": round(1000 * median(a for a, _ in pairs), 1)}
            print(json.dumps(shown | {"of the whole": round(median(a / b for a, b in pairs), 3)}))


if __name__ == "__main__":
    main()
