"""Processors of models that also see: what they do with text and audio, without their image and video parts.

The whole processors want torchvision; for speech the feature extractor and the tokenizer are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech_eval.adapters.parts import load_part

Hear = Callable[[Any, Sequence[Any]], tuple[Mapping[str, Any], Sequence[int]]]


@dataclass(frozen=True)
class SpeechProcessor:
    """The feature extractor and the tokenizer of a model. `hear(extractor, waves)` gives the tensors of recordings and
    how many frames the encoder makes of each."""

    feature_extractor: Any
    tokenizer: Any
    hear: Hear
    audio_token: str

    @property
    def chat_template(self) -> Any:
        """The tokenizer's."""
        return self.tokenizer.chat_template

    @property
    def audio_token_id(self) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(self.audio_token))

    def apply_chat_template(self, messages: Any, **options: Any) -> Mapping[str, Any]:
        """The conversation with each recording written as one placeholder per frame that the encoder makes of it."""
        waves = [part["audio"] for message in messages for part in message["content"] if part["type"] == "audio"]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        heard: Mapping[str, Any] = {}
        if waves:
            heard, frames = self.hear(self.feature_extractor, waves)
            parts = text.split(self.audio_token)
            if len(parts) != len(frames) + 1:
                raise ValueError(f"the chat template writes {len(parts) - 1} of {len(frames)} recordings")
            text = parts[0] + "".join(
                self.audio_token * int(count) + part for count, part in zip(frames, parts[1:], strict=True)
            )
        return {**self.tokenizer(text, return_tensors="pt", return_token_type_ids=False), **heard}


def _load(extractor: str, hear: Hear, audio_token: str) -> Callable[[Path], SpeechProcessor]:
    def load(directory: Path) -> SpeechProcessor:
        import transformers

        tokenizer = load_part("AutoTokenizer", directory)
        features = getattr(transformers, extractor).from_pretrained(directory)
        return SpeechProcessor(features, tokenizer, hear, getattr(tokenizer, "audio_token", None) or audio_token)

    return load


def _whisper(padding: str | bool, frames: Callable[[int], int]) -> Hear:
    def hear(extractor: Any, waves: Sequence[Any]) -> tuple[Mapping[str, Any], Sequence[int]]:
        features = extractor(
            list(waves),
            sampling_rate=extractor.sampling_rate,
            padding=padding,
            truncation=padding == "max_length",
            return_attention_mask=True,
            return_tensors="pt",
        )
        mask = features["attention_mask"]
        named = {"input_features": features["input_features"], "feature_attention_mask": mask}
        return named, [frames(int(length)) for length in mask.sum(-1)]

    return hear


def _qwen25_frames(mels: int) -> int:
    return ((mels - 1) // 2 + 1 - 2) // 2 + 1


def _qwen3_frames(mels: int) -> int:
    """13 frames per second of 100 mel frames, and what three convolutions of stride 2 make of the rest."""
    rest = mels % 100
    for _ in range(3):
        rest = (rest - 1) // 2 + 1
    return rest + mels // 100 * 13


def _phi4(extractor: Any, waves: Sequence[Any]) -> tuple[Mapping[str, Any], Sequence[int]]:
    heard = extractor(list(waves), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return dict(heard), heard["audio_embed_sizes"].tolist()


qwen25_omni = _load("WhisperFeatureExtractor", _whisper("max_length", _qwen25_frames), "<|AUDIO|>")
qwen3_omni = _load("WhisperFeatureExtractor", _whisper(True, _qwen3_frames), "<|audio_pad|>")
phi4_multimodal = _load("Phi4MultimodalFeatureExtractor", _phi4, "<|audio|>")
