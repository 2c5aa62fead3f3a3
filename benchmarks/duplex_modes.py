"""A duplex model as a recognizer and as a synthesizer: only the delay of its text differs (delayed streams).

    python benchmarks/duplex_modes.py CHECKPOINT DATA --steps 400 [--dialogues 24]

CHECKPOINT is a duplex model that was trained on DATA; its dialogues as codes are used again. One small model is trained
for each mode. `recognition`: words are written 8 frames (0.64 s) after their sound; the codes of held-out dialogues
are given, and the words that are written are compared with those that are said. `synthesis`: words are written 4
frames (0.32 s) before their sound; the text is given, the codes are written, and the words that Whisper base hears are
compared. Both greedy. The answers of the dialogues are few and in one voice: what is shown is that the mode works, not
how it would do with free text.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from duplex_relations import trained
from torch import Tensor
from transformers import DynamicCache

from speech_eval.audio import Audio
from speech_eval.reference_models.conversation.duplex.layout import streams_of, words_of
from speech_eval.reference_models.conversation.duplex.model import DuplexLM
from speech_eval.reference_models.conversation.duplex.pieces import plain
from speech_eval.reference_models.conversation.duplex.train import DuplexTrainer
from speech_eval.reference_models.data.corpus import open_corpus
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.recognition import Heard, Recognizer, error_rate
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY

MODES = {"recognition": 8, "synthesis": -4}  # text_delay


@torch.inference_mode()
def completed(model: DuplexLM, rows: Ints, *, text: bool) -> Ints:
    """Rows [T, slots] with the model's own text, the codes given, or with its own codes, the text given. Slots that are
    `EMPTY` in `rows` stay so."""
    given, cache = torch.from_numpy(rows)[:, None], DynamicCache()
    row, found = model.start[None], []
    for at in range(len(given)):
        hidden = model.advance(row, cache, at)
        first = model.head(hidden).argmax(-1) if text else given[at][:, 0]
        own: Tensor = model.write(hidden, first, lambda logits: logits.argmax(-1))
        row = given[at].clone()
        part = slice(0, 1) if text else slice(1, model.written)
        row[:, part] = torch.where(given[at][:, part] == EMPTY, EMPTY, own[:, part])
        found.append(row[0].numpy())
    return np.stack(found)


def error(trainer: DuplexTrainer, mode: str, count: int) -> float:
    """Word errors over words on held-out dialogues."""
    model, batches, heard = trainer.model.eval(), trainer.held_out, []
    codec = SpeechCodec(load_codec(model.config.codec.spec))
    recognizer = Recognizer("whisper-base", "synthesis")
    for index in range(min(count, len(batches.dialogues))):
        dialogue = batches.dialogues[index]
        said = " ".join(plain(word.text) for word in dialogue.words)
        rows = completed(model, batches.rows(dialogue), text=mode == "recognition")
        text, agent, _ = streams_of(rows, model.delays)
        if mode == "recognition":
            found = " ".join(batches.pieces.word(ids) for _, ids in words_of(text, model.pad, model.epad))
        else:
            sound = codec.decode(list(agent)).samples
            found = recognizer.transcript(Audio(sound, codec.sample_rate), "en")
        heard.append(Heard(said, found, "en"))
    return error_rate(heard)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--dialogues", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus = open_corpus(given.data, given.checkpoint)
    for mode, delay in MODES.items():
        with trained({"text_delay": delay}, given.checkpoint, corpus, given.steps, given.seed) as trainer:
            wer = round(100 * error(trainer, mode, given.dialogues), 1)
        print(json.dumps({"mode": mode, "text_delay": delay, "wer": wer}), flush=True)


if __name__ == "__main__":
    main()
