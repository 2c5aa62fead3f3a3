"""Dia (Nari Labs): dialogue from text with speaker tags, over nine delayed channels of DAC codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from speech_eval.adapters.parts import load_part
from speech_eval.adapters.tts.native import Utterance, Voice, WithCodec


class Dia(WithCodec):
    """`nari-labs/Dia-1.6B-0626` and kin, 44.1 kHz. A text without a speaker tag is said by `[S1]`; the words of a voice
    prompt stand before it. `guidance_scale` weighs the text, 1 turns guidance off."""

    model_class = "DiaForConditionalGeneration"
    codec_class, codec_type = "DacModel", "dac"
    sampling: ClassVar[dict[str, Any]] = {"temperature": 1.8, "top_p": 0.9, "top_k": 45}

    def __init__(self, path: str, guidance_scale: float = 3.0, **options: Any) -> None:
        self._guidance = float(guidance_scale)
        super().__init__(path, **options)
        config, generation = self._model.config, self._model.generation_config
        for name in ("pad_token_id", "eos_token_id", "bos_token_id"):
            if getattr(generation, name) is None:
                setattr(generation, name, getattr(config, name))
        if generation.decoder_start_token_id is None:
            generation.decoder_start_token_id = config.bos_token_id
        self._layout = {
            "delay_pattern": list(config.delay_pattern),
            "pad_token_id": config.pad_token_id,
            "eos_token_id": config.eos_token_id,
            "bos_token_id": config.bos_token_id,
        }

    def _assemble(self, directory: Path, codec: Any) -> Any:
        t = self._transformers
        return t.DiaProcessor(
            t.DiaFeatureExtractor.from_pretrained(directory), load_part("AutoTokenizer", directory), codec
        )

    @property
    def _rate(self) -> int:
        return int(self._processor.feature_extractor.sampling_rate)

    def _stated(self) -> dict[str, Any]:
        return {**super()._stated(), "guidance_scale": self._guidance}

    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        said = _tagged(text) if voice is None else f"{_tagged(voice.words)} {_tagged(text)}"
        prompt = {} if voice is None else {"audio": [voice.audio.samples], "sampling_rate": self._rate}
        inputs = self._processor(
            text=[said], padding=True, return_tensors="pt", audio_kwargs=dict(self._layout), **prompt
        )
        used = int(inputs["decoder_input_ids"].shape[1])
        codec, config = self._processor.audio_tokenizer.config, self._model.config
        limit = self._frames(codec.frame_rate, used, config.decoder_config.max_position_embeddings)
        # Guidance keeps the likeliest top_k ids, greedy decoding too, and there must be as many.
        likeliest = self._sampling.get("top_k") or self.sampling["top_k"]
        settings = {
            **self._sampling,
            "guidance_scale": self._guidance,
            "top_k": min(likeliest, config.decoder_config.vocab_size),
        }
        ids = self._model.generate(**self._place(inputs), **settings, max_new_tokens=limit)
        prompted = used - max(config.delay_pattern) if voice is not None else None
        (wave,) = self._processor.batch_decode(ids, audio_prompt_len=prompted, audio_kwargs=dict(self._layout))
        frames = int(ids.shape[1]) - used
        return Utterance(wave, frames, stopped=frames < limit)


def _tagged(text: str) -> str:
    return text if text.startswith("[S") else f"[S1] {text}"
