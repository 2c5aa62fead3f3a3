"""CTC recognizers on transformers: wav2vec 2.0, HuBERT, WavLM, W2v-BERT and others with a CTC head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.checkpoints import load_model, locate
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Samples
from speech_eval.errors import BadAudio, BadInput, require
from speech_eval.records import ModelInfo
from speech_eval.text.files import read_record

# Used in training only, and absent from many published checkpoints.
_UNTRAINED = (r"masked_spec_embed$",)
# Model types whose layers all respect the mask.
_MASKED = ("wav2vec2", "wav2vec2-bert", "hubert", "wavlm", "unispeech", "unispeech-sat")


def _tokenizer_class(directory: Path) -> str:
    """Checkpoints of early releases do not say their tokenizer's class, which the model type does not decide."""
    stated = directory / "tokenizer_config.json"
    if (directory / "tokenizer.json").is_file() or not (directory / "vocab.json").is_file():
        return "AutoTokenizer"
    known = stated.is_file() and "tokenizer_class" in read_record(stated, "Copy the checkpoint again.")
    return "AutoTokenizer" if known else "Wav2Vec2CTCTokenizer"


class CTC(SpeechRecognizer):
    """A checkpoint with a CTC head, decoded greedily: the likeliest symbol per frame, repeats merged, blanks dropped.

    Any model type of transformers' table of CTC models. The model's own vocabulary decides the language; the request's
    is ignored. Model types that are known to hear the same in a padded batch run in masked batches, but not with a
    first layer that is group-normalized (such as wav2vec2-base) or a convolutional adapter. All others run one by one.
    Raises `BadInput` for checkpoints that are broken, incomplete or without a CTC head.
    """

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        self._torch = require("torch", "asr")
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        directory = self._checkpoint.directory
        # Two parts rather than AutoProcessor, which may want a language-model decoder that is not needed here.
        self._extractor = load_part("AutoFeatureExtractor", directory, trust_remote_code=trust_remote_code)
        self._tokenizer = load_part(_tokenizer_class(directory), directory, trust_remote_code=trust_remote_code)
        self._model = load_model(
            "AutoModelForCTC",
            self._checkpoint,
            dtype=dtype,
            device=device,
            extra="asr",
            trust_remote_code=trust_remote_code,
            untrained=_UNTRAINED,
        )
        if self._extractor.sampling_rate != self.sample_rate:
            self.sample_rate = int(self._extractor.sampling_rate)
        self._check_vocabulary()
        self._one_by_one = not self._masks()
        self.batch_size = 1 if self._one_by_one or self._model.device.type == "cpu" else 16

    def _masks(self) -> bool:
        """Whether a recording in a padded batch is heard as alone."""
        config = self._model.config
        group = getattr(config, "feat_extract_norm", "") == "group"
        return config.model_type in _MASKED and not group and not getattr(config, "add_adapter", False)

    def _check_vocabulary(self) -> None:
        blank, own_blank = self._tokenizer.pad_token_id, self._model.config.pad_token_id
        symbols, outputs = len(self._tokenizer), int(self._model.config.vocab_size)
        if blank != own_blank or symbols < outputs:
            raise BadInput(
                f"{self._checkpoint.directory}: the tokenizer ({symbols} symbols, blank {blank}) does not fit the "
                f"model ({outputs} outputs, blank {own_blank}).",
                "Save the tokenizer the model was trained with beside it.",
            )

    def info(self) -> ModelInfo:
        return self._checkpoint.info(self._model, decoding="greedy")

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request. Raises `BadAudio` for audio that is shorter than one frame of the model."""
        waves = [request.audio.samples for request in requests]
        for request, wave in zip(requests, waves, strict=True):
            self._check_length(request.id, wave)
        if self._one_by_one:
            return [text for wave in waves for text in self._decode([wave])]
        return self._decode(waves)

    def _check_length(self, name: str, wave: Samples) -> None:
        # 25 ms is the receptive field of all these encoders' first stage.
        if len(wave) < 0.025 * self.sample_rate:
            raise BadAudio(f"{name}: {len(wave)} samples are shorter than one frame of 25 ms.", "Leave the sample out.")

    def _decode(self, waves: list[Samples]) -> list[str]:
        alone = len(waves) == 1
        inputs: dict[str, Any] = dict(
            self._extractor(
                waves,
                sampling_rate=self.sample_rate,
                return_tensors="pt",
                padding=not alone,
                return_attention_mask=not alone,
            )
        )
        device, dtype = self._model.device, self._model.dtype
        inputs = {k: v.to(device, dtype) if v.is_floating_point() else v.to(device) for k, v in inputs.items()}
        with self._torch.inference_mode():
            best = self._model(**inputs).logits.argmax(-1)
        frames = [best.shape[1]] * len(waves)
        if not alone:
            lengths = inputs["attention_mask"].sum(-1)
            frames = [int(n) for n in self._model._get_feat_extract_output_lengths(lengths)]
        rows = [row[:count].tolist() for row, count in zip(best, frames, strict=True)]
        return [str(self._tokenizer.decode(row, skip_special_tokens=False)).strip() for row in rows]
