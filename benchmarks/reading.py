"""Does a speech LM read its text, and where in it does it look?

    python benchmarks/reading.py CHECKPOINT... [--utterances 24]

Of held-out utterances of the shards beside a checkpoint: nats a code with their own text and with another's, and of
the attention head that follows the text best, the share of its attention that lies on text, over how many ids that is
spread (the exponential of its entropy), the correlation of the id it looks at most with the time, and how often that id
lies behind the one before it. At last, the character error rate of what Whisper tiny.en hears it say; the median beside
the mean, since one endless loop in Whisper outweighs the rest.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speech_eval.reference_models.data.token_shards import Document, Shards
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.interface import Utterance
from speech_eval.reference_models.speech_lm.rl.rewards import character_error_rate
from speech_eval.reference_models.speech_lm.rl.verifiers import Verifier, VerifierConfig
from speech_eval.reference_models.speech_lm.sampling import Sampling, generate
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE
from speech_eval.reference_models.tts.building import load
from speech_eval.reference_models.tts.model import SpeechLM


def nats(model: SpeechLM, texts: list[str], documents: list[Document]) -> float:
    """Mean over all codes and ends."""
    total, count = 0.0, 0
    for text, document in zip(texts, documents, strict=True):
        ids, labels = model.tokenizer.example(text, document.codes)
        with torch.inference_mode():
            total += float(model(torch.from_numpy(ids)[None], torch.from_numpy(labels)[None])["speech"])
        count += int((labels != IGNORE).sum())
    return total / count


def looks(model: SpeechLM, document: Document) -> np.ndarray:
    """Share on text, ids it is spread over, correlation with time, share of steps back: [layers × heads, 4]."""
    whole, labels = model.tokenizer.example(document.spoken, document.codes)
    text = int((labels == IGNORE).sum())
    ids = torch.from_numpy(whole)[None]
    places = torch.arange(ids.shape[1])[None]
    seen, all_of_it = model.along_speech(ids, places), torch.ones_like(ids)
    with torch.inference_mode():
        layers = model.core(ids, attention_mask=all_of_it, position_ids=seen, output_attentions=True)
    found = []
    for head in torch.cat(layers.attentions, dim=1)[0, :, text:, :text].numpy():  # [codes, text]
        share = head.sum(1)
        inside = head / share[:, None]
        most = inside.argmax(1)
        spread = np.exp(-(inside * np.log(inside + 1e-12)).sum(1)).mean()
        steady = np.corrcoef(most, np.arange(len(most)))[0, 1] if most.std() else 0.0
        found.append((share.mean(), spread, steady, (np.diff(most) < 0).mean()))
    return np.array(found)


def heard(checkpoint: Path, model: SpeechLM, documents: list[Document]) -> tuple[float, float]:
    """Mean and median character error rate at temperature 0.7 and top-p 0.9; 1 where nothing was heard."""
    section = model.config.codec
    codec = SpeechCodec(load_codec(section.seen_from(checkpoint)), section.codebook_sizes, section.frame_rates)
    verifier = Verifier(VerifierConfig(recognizer="whisper-tiny.en"))
    asked = [Utterance(document.id, document.text, seed) for seed, document in enumerate(documents)]
    errors = []
    for utterance, said in zip(asked, generate(model, asked, Sampling(temperature=0.7, top_p=0.9)), strict=True):
        rate = character_error_rate(utterance.text, verifier.transcript(codec.decode(said.codes), "en"), "en")
        errors.append(1.0 if rate is None else rate)
    return float(np.mean(errors)), float(np.median(errors))


def read(checkpoint: Path, count: int) -> dict[str, Any]:
    model, card = load(checkpoint)
    if not isinstance(model, SpeechLM):
        raise SystemExit(f"{checkpoint}: the layout {model.config.layout} has no text in its stream.")
    shards = Shards(checkpoint / "shards", "held-out")
    documents = [shards[i] for i in range(min(count, len(shards)))]
    own = [document.spoken for document in documents]
    row: dict[str, Any] = {"checkpoint": str(checkpoint), "steps": card["training"]["steps"]}
    row |= {"own_text": nats(model, own, documents), "other_text": nats(model, own[5:] + own[:5], documents)}
    row["cer"], row["cer_median"] = heard(checkpoint, model, documents)
    model.core.set_attn_implementation("eager")  # which alone hands out what it attends to
    heads = np.mean([looks(model, document) for document in documents], axis=0)
    best = int((heads[:, 0] * heads[:, 2]).argmax())
    layer, head = divmod(best, model.core.config.num_attention_heads)
    names = ("on_text", "spread_over", "correlation", "steps_back")
    return row | {"layer": layer, "head": head} | dict(zip(names, heads[best].tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--utterances", type=int, default=24)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for checkpoint in arguments.checkpoints:
        row = read(checkpoint, arguments.utterances)
        print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}))


if __name__ == "__main__":
    main()
