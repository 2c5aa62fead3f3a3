"""Whisper on transformers: checkpoints of the hub or of a directory, and two bundled ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.checkpoints import load_model, locate
from speech_eval.adapters.options import whole
from speech_eval.adapters.parts import load_part
from speech_eval.assets.convert.whisper import convert, decoding_rules
from speech_eval.audio import Samples
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo
from speech_eval.text import primary_language

WINDOW_SECONDS = 30


class Whisper(SpeechRecognizer):
    """A Whisper checkpoint: greedy decoding (or `num_beams`), task `transcribe`, language as the request says.

    `path` is a hub repository `ORG/REPO`, a directory, or a bundled model `asset:NAME`. Speech of up to 30 s is decoded
    in batches without timestamps; longer speech one by one, window after window, so that nothing is cut off.
    `window_seconds` below 30 shortens the encoder: cheaper, but not what Whisper was trained on. Use it for rewards and
    for choosing among candidates, not for results; longer speech is then refused.
    Raises `BadInput` for checkpoints that are broken, incomplete or pickled.
    """

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        num_beams: int = 1,
        window_seconds: int = WINDOW_SECONDS,
        trust_remote_code: bool = False,
    ) -> None:
        whole("window_seconds", window_seconds, 1, WINDOW_SECONDS)
        self._torch, transformers = require("torch", "asr"), require("transformers", "asr")
        self.num_beams = whole("num_beams", num_beams)
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code, convert=convert)
        self._model = load_model(
            "WhisperForConditionalGeneration",
            self._checkpoint,
            dtype=dtype,
            device=device,
            extra="asr",
            trust_remote_code=trust_remote_code,
        )
        self.window_seconds = window_seconds
        # All Whispers hear alike but for the number of mel bands, so that no file of the checkpoint has to say how.
        bands = self._model.config.num_mel_bins
        self._extractor = transformers.WhisperFeatureExtractor(feature_size=bands, chunk_length=window_seconds)
        if window_seconds < WINDOW_SECONDS:
            self._shorten()
        self._tokenizer = load_part("WhisperTokenizer", self._checkpoint.directory)
        self._complete_rules()
        self.batch_size = 1 if self._model.device.type == "cpu" else 16

    def info(self) -> ModelInfo:
        return self._checkpoint.info(self._model, num_beams=self.num_beams, window_seconds=self.window_seconds)

    def _complete_rules(self) -> None:
        """Decoding rules that the checkpoint leaves out, such as the ids of languages, from its tokenizer."""
        tokenizer, rules = self._tokenizer.backend_tokenizer, self._model.generation_config
        if tokenizer.token_to_id("<|startoftranscript|>") is None:
            raise BadInput(
                f"{self._checkpoint.directory} holds no tokenizer of Whisper.",
                "Copy tokenizer.json beside it from the model that it was trained from.",
            )
        needed = ("no_timestamps_token_id", "is_multilingual", "lang_to_id", "task_to_id")
        if all(hasattr(rules, name) for name in needed[: 4 if getattr(rules, "is_multilingual", True) else 2]):
            return
        known = (self._checkpoint.directory / "generation_config.json").is_file()
        stated = self._checkpoint.config("generation_config.json" if known else "config.json")
        for name, value in decoding_rules(tokenizer).items():
            if stated.get(name) is None or not (known or name == "suppress_tokens"):
                setattr(rules, name, value)

    def _shorten(self) -> None:
        """Keep only the encoder positions that the window needs."""
        encoder = self._model.model.encoder
        kept = encoder.config.max_source_positions * self.window_seconds // WINDOW_SECONDS
        encoder.embed_positions = self._torch.nn.Embedding.from_pretrained(encoder.embed_positions.weight[:kept])
        encoder.config.max_source_positions = kept

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript a request. Raises `BadInput` for a language the checkpoint does not know, and for speech over
        a window of less than 30 s."""
        limit = self.window_seconds * self.sample_rate
        waves = [request.audio.samples for request in requests]
        for request, wave in zip(requests, waves, strict=True):
            if len(wave) > limit and self.window_seconds < WINDOW_SECONDS:
                raise BadInput(
                    f"{request.id}: longer than window_seconds={self.window_seconds}.",
                    "Leave the option window_seconds out.",
                )
        languages = [self._language(request) for request in requests]
        short = [i for i, wave in enumerate(waves) if len(wave) <= limit]
        texts: dict[int, str] = {}
        if short:
            decoded = self._generate([waves[i] for i in short], [languages[i] for i in short], long=False)
            texts.update(zip(short, decoded, strict=True))
        for i, wave in enumerate(waves):
            if len(wave) > limit:
                texts[i] = self._generate([wave], [languages[i]], long=True)[0]
        return [texts[i] for i in range(len(requests))]

    def nll(self, request: TranscriptionRequest, text: str) -> float:
        """Mean negative log-likelihood in nats per token of `text`, its end included, given the speech.

        Raises `BadInput` for speech over the window, which the model hears only in pieces, and for an empty text.
        """
        wave = request.audio.samples
        if len(wave) > self.window_seconds * self.sample_rate or not text.strip():
            raise BadInput(f"{request.id}: over {self.window_seconds} s of speech, or no text.", "Shorten it.")
        language = self._language(request)
        if language is not None:
            self._tokenizer.set_prefix_tokens(language=language, task="transcribe", predict_timestamps=False)
        ids = self._torch.tensor([self._tokenizer(" " + text.strip()).input_ids], device=self._model.device)
        prefix = len(self._tokenizer.prefix_tokens)
        features = self._extractor(wave, sampling_rate=self.sample_rate, return_tensors="pt").input_features
        with self._torch.inference_mode():
            logits = self._model(
                features.to(self._model.device, self._model.dtype), decoder_input_ids=ids[:, :-1]
            ).logits
        return float(self._torch.nn.functional.cross_entropy(logits[0, prefix - 1 :].float(), ids[0, prefix:]))

    def _language(self, request: TranscriptionRequest) -> str | None:
        config = self._model.generation_config
        known = [token.strip("<|>") for token in getattr(config, "lang_to_id", {})]
        multilingual = bool(known) and getattr(config, "is_multilingual", True)
        return whisper_language(request.language, known if multilingual else None, self._checkpoint.name)

    def _generate(self, waves: list[Samples], languages: list[str | None], *, long: bool) -> list[str]:
        features = self._extractor(
            waves,
            sampling_rate=self.sample_rate,
            return_tensors="pt",
            return_attention_mask=long,
            truncation=not long,
            padding="longest" if long else "max_length",
        ).to(self._model.device)
        told: dict[str, Any] = {} if languages[0] is None else {"language": languages, "task": "transcribe"}
        if long:
            told |= {"attention_mask": features.attention_mask, "return_timestamps": True}
        with self._torch.inference_mode():
            tokens = self._model.generate(
                features.input_features.to(self._model.dtype),
                do_sample=False,
                num_beams=self.num_beams,
                condition_on_prev_tokens=False,
                **told,
            )
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [str(text).strip() for text in texts]


# Whisper's own codes of languages that have another tag.
_CODES = {"fil": "tl", "nb": "no", "jv": "jw"}


def whisper_language(language: str, known: Iterable[str] | None, name: str) -> str | None:
    """Whisper's code of a language tag: `pt-BR` is `pt`. None for an English-only model (`known` None), which has no
    language token. Raises `BadInput` for a language the model does not know, and for `und`.
    """
    code = primary_language(language)
    code = _CODES.get(code, code)
    if code == "und":
        raise BadInput(f"{name} has to be told the language of the speech.", "Give --language, such as --language de.")
    if known is None:
        if code != "en":
            raise BadInput(f"{name} knows English only, not '{language}'.", "Use a multilingual Whisper.")
        return None
    if code not in known:
        raise BadInput(f"{name} knows no language '{language}'.", "Use a model that was trained on it.")
    return code
