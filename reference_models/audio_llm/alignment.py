"""When each word of an utterance is spoken: Whisper reads the known transcript, and its attention says where it looks.

The decoder attends to stored features, so that nothing is encoded again. The attention of the heads that the
checkpoint names as aligned with time is standardized over the tokens and smoothed over time, and the best monotonic
path through it gives each token its frames (as in openai-whisper's word timestamps).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.asr.whisper import whisper_language
from speech_eval.adapters.checkpoints import converted, load_model, locate
from speech_eval.assets.convert.whisper import convert
from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput, require
from speech_eval.progress import Progress, silent
from speech_eval.reference_models.audio_llm.features import FeatureStore, FloatArray, Word
from speech_eval.reference_models.speech_lm.speech_encoders import BUNDLED, FRAME_RATE

_SMOOTHING = 7  # frames of the median filter
_LONGEST = 1500  # frames that Whisper has positions for


class Aligner:
    """Word times by the decoder of the Whisper whose encoder made the features.

    `spec` names it as `SpeechEncoder` does. Raises `BadInput` for another model, or one that names no aligned heads.
    """

    def __init__(self, spec: str) -> None:
        transformers = require("transformers", "train")
        checkpoint = locate(str(converted(spec, convert)) if spec in BUNDLED else spec)
        if checkpoint.config().get("model_type") != "whisper":
            raise BadInput(f"{spec} is not a Whisper: it has no decoder to align words with.", "Use whisper-base.")
        model = load_model("WhisperForConditionalGeneration", checkpoint, dtype="float32", device="cpu", extra="train")
        model.set_attn_implementation("eager")  # the others do not return what they attend to
        self._config, self._decoder = model.generation_config, model.model.decoder
        self._heads: list[tuple[int, int]] = getattr(self._config, "alignment_heads", None) or []
        if not self._heads:
            raise BadInput(f"{spec} does not say which of its heads follow time.", "Use whisper-base.")
        self._tokenizer = transformers.WhisperTokenizer.from_pretrained(checkpoint.directory)
        self.spec = spec

    def __call__(self, features: FloatArray, text: str, language: str = "en") -> tuple[Word, ...]:
        """The words of `text`, separated by spaces, in features [frames, dim]. Empty for speech of over 30 s, and for a
        text of more tokens than there are frames."""
        pieces = text.split()
        tokens = [self._tokenizer(f" {piece}", add_special_tokens=False)["input_ids"] for piece in pieces]
        count = sum(map(len, tokens))
        if not pieces or not count < len(features) <= _LONGEST:
            return ()
        attention = self._attention(features, [token for ids in tokens for token in ids], language)
        starts = path(attention)
        firsts = np.cumsum([0, *map(len, tokens)])
        times = [round(float(starts[first]) / FRAME_RATE, 2) for first in firsts]
        return tuple(Word(piece, *times[number : number + 2]) for number, piece in enumerate(pieces))

    def _attention(self, features: FloatArray, tokens: Sequence[int], language: str) -> NDArray[np.float32]:
        """[tokens + 1, frames]: where the decoder looks when it says each token, and the end."""
        torch = require("torch", "train")
        known = [token.strip("<|>") for token in getattr(self._config, "lang_to_id", {})]
        code = whisper_language(language, known or None, self.spec)
        self._tokenizer.set_prefix_tokens(language=code, task="transcribe" if code else None, predict_timestamps=False)
        prefix = self._tokenizer.prefix_tokens
        with torch.inference_mode():
            seen = self._decoder(
                input_ids=torch.tensor([[*prefix, *tokens]]),
                encoder_hidden_states=torch.from_numpy(np.array(features, dtype=np.float32))[None],
                output_attentions=True,
                use_cache=False,
            ).cross_attentions
        chosen = torch.stack([seen[layer][0, head] for layer, head in self._heads])[:, len(prefix) - 1 :]
        chosen = (chosen - chosen.mean(1, keepdim=True)) / (chosen.std(1, keepdim=True) + 1e-6)
        padded = torch.nn.functional.pad(chosen, (_SMOOTHING // 2, _SMOOTHING // 2), mode="replicate")
        smooth: NDArray[np.float32] = padded.unfold(-1, _SMOOTHING, 1).median(-1).values.mean(0).numpy()
        return smooth


def path(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first frame of each row of scores [rows, frames], of the assignment of frames to rows that adds up to the
    most: rows in order, each with a frame at least. There must be as many frames as rows, or more."""
    rows, frames = scores.shape
    best = np.full(rows, -np.inf)
    best[0] = scores[0, 0]
    moved = np.zeros((frames, rows), dtype=bool)
    for frame in range(1, frames):
        before = np.concatenate([[-np.inf], best[:-1]])
        moved[frame] = before > best
        best = np.maximum(before, best) + scores[:, frame]
    starts, row = np.zeros(rows, dtype=np.int64), rows - 1
    for frame in range(frames - 1, 0, -1):
        if moved[frame, row]:
            starts[row] = frame
            row -= 1
    return starts


def add_word_times(store: FeatureStore, progress: Progress = silent, most: int | None = None) -> FeatureStore:
    """Write the times of words into the files of a store, for utterances that lack them; returns it read again. Files
    behind the one with which `most` utterances have them are left as they are."""
    aligner: Aligner | None = None
    done = there = 0
    for file in store.files():
        if most is not None and there >= most:
            break
        lines_file = file.with_suffix(".jsonl")
        lines = [json.loads(text) for text in lines_file.read_text("utf-8").splitlines()]
        features: FloatArray = np.load(file, mmap_mode="r", allow_pickle=False)
        ends = np.cumsum([line["frames"] for line in lines])
        there += len(lines)
        lacking = [(line, end) for line, end in zip(lines, ends, strict=True) if not line["words"]]
        for line, end in lacking:
            aligner = aligner or Aligner(store.encoder)
            words = aligner(features[end - line["frames"] : end], line["text"], line["language"])
            line["words"] = [[word.text, word.start, word.end] for word in words]
            done += 1
            progress("align", done, None)
        if lacking:
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            write_atomically(lines_file, text.encode())
    return store.read_again()
