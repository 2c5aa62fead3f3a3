"""A flow-matching detokenizer beside its codec, as the number of evaluations grows, on held-out recordings.

    python benchmarks/flow.py CHECKPOINT DATA [--clips 8] [--guidance 0.7]

CHECKPOINT is a directory that `speech-eval train conversation/flow-detokenizer` wrote, DATA what it was trained on. One
line for the codec's own decoding, one for the Vocos head given the true spectrogram (the best that the flow could do),
one for each NFE, one for streams:

mel      L1 of log10 mel magnitudes, summed over windows of 128, 512 and 2048 samples
mos      DistillMOS
wer      words that Whisper tiny.en hears otherwise than the text, in percent
error    mean distance of the spectrogram to that of 64 evaluations from the same noise, in deviations of a band
rtf      seconds of one processor per second of sound
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech_eval.assets import store as assets
from speech_eval.audio import Audio
from speech_eval.audio import load as load_audio
from speech_eval.metrics.networks.distillmos import load as load_distillmos
from speech_eval.reference_models.codec.losses import MelLoss
from speech_eval.reference_models.codec.streaming import StreamState
from speech_eval.reference_models.conversation.flow.model import Detokenizer, DetokenizerStream
from speech_eval.reference_models.data.corpus import open_corpus
from speech_eval.reference_models.data.splits import HELD_OUT
from speech_eval.reference_models.speech_lm.codec_stream import load_codec
from speech_eval.reference_models.speech_lm.recognition import Heard, Recognizer, error_rate

EVALUATIONS, EXACT = (1, 2, 4, 8, 16), 64


class Sides:
    """The recordings with their codes, and what is measured of each decoding."""

    def __init__(self, checkpoint: Path, data: Path, clips: int, guidance: float) -> None:
        self.model, _ = Detokenizer.load(checkpoint)
        self.guidance, section = guidance, self.model.config.codec
        self.codec = load_codec(section.seen_from(checkpoint))
        held_out = sorted(open_corpus(data).split(HELD_OUT), key=lambda clip: clip.id)[:clips]
        self.audios = [load_audio(clip.path, self.codec.sample_rate) for clip in held_out]
        self.codes = self.codec.encode(self.audios)
        self.books = [[torch.from_numpy(np.asarray(b))[None] for b in one.codebooks] for one in self.codes]
        self.mel = MelLoss(self.codec.sample_rate, (128, 512, 2048), (20, 80, 320))
        self.texts, self.recognizer = (
            [clip.sample.text or "" for clip in held_out],
            Recognizer("whisper-tiny.en", "wer"),
        )
        self.mos = load_distillmos(assets.ensure("distillmos") / "distill_mos_v7.pt")

    def measure(self, sounds: list[Tensor]) -> dict[str, float]:
        mels, scores, heard = [], [], []
        for audio, sound, text in zip(self.audios, sounds, self.texts, strict=True):
            length = min(len(audio.samples), sound.shape[-1])
            wave = torch.from_numpy(audio.samples[:length])[None, None]
            mels.append(float(self.mel(sound[..., :length], wave)))
            scores.append(self.mos.rate(sound[0, 0, :length])[0])
            said = self.recognizer.transcript(Audio(sound[0, 0, :length].numpy(), audio.rate), "en")
            heard.append(Heard(text, said, "en"))
        wer = round(100 * error_rate(heard), 1)
        return {"mel": round(mean(mels), 4), "mos": round(mean(scores), 3), "wer": wer}

    def spectrogram(self, books: list[Tensor], evaluations: int) -> Tensor:
        told = self.model.told(books)
        stream = DetokenizerStream(self.model, evaluations, self.guidance, 0)
        states = [StreamState() for _ in range(evaluations)]
        return self.model.path(told, stream.noise(told.shape[1]), evaluations, self.guidance, states)

    def whole(self, evaluations: int) -> tuple[list[Tensor], float]:
        """The sounds, and the real-time factor."""
        begun = process_time()
        streams = [DetokenizerStream(self.model, evaluations, self.guidance, 0) for _ in self.books]
        sounds = [stream.push(books, last=True) for stream, books in zip(streams, self.books, strict=True)]
        return sounds, (process_time() - begun) / sum(audio.seconds for audio in self.audios)

    def stream(self, evaluations: int) -> dict[str, Any]:
        """The largest difference of a stream to the whole, and how many codes came before the first sound."""
        worst, first = 0.0, 0
        for books in self.books:
            stream = DetokenizerStream(self.model, evaluations, self.guidance, 0)
            parts = [stream.push([book[:, i : i + 4] for book in books]) for i in range(0, books[0].shape[1], 4)]
            first = 4 * next(index for index, part in enumerate([*parts, None]) if part is None or part.shape[-1]) + 4
            parts.append(stream.push([book[:, :0] for book in books], last=True))
            whole = DetokenizerStream(self.model, evaluations, self.guidance, 0).push(books, last=True)
            worst = max(worst, float((torch.cat(parts, -1) - whole).abs().max()))
        return {"largest_difference": worst, "codes_before_the_first_sound": first}


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--guidance", type=float, default=0.7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sides = Sides(args.checkpoint, args.data, args.clips, args.guidance)
    direct = [torch.from_numpy(one.samples)[None, None] for one in sides.codec.decode(sides.codes)]
    show(decoded_by="the codec", **sides.measure(direct))
    hop = sides.model.config.hop
    padded = [np.pad(audio.samples, (0, -len(audio.samples) % hop)) for audio in sides.audios]
    true = [sides.model.spectrogram(torch.from_numpy(wave)[None, None]) for wave in padded]
    show(
        decoded_by="the Vocos head", of="true spectrograms", **sides.measure([sides.model.vocoder(x.mT) for x in true])
    )
    exact = [sides.spectrogram(books, EXACT) for books in sides.books]
    for evaluations in EVALUATIONS:
        found = [sides.spectrogram(books, evaluations) for books in sides.books]
        error = mean(float((one - other).abs().mean()) for one, other in zip(found, exact, strict=True))
        sounds, factor = sides.whole(evaluations)
        numbers = {"error": round(error, 4), "rtf": round(factor, 3)}
        show(decoded_by="the flow", nfe=evaluations, **sides.measure(sounds), **numbers)
    show(streamed=True, nfe=4, **sides.stream(4))


def show(**row: Any) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
