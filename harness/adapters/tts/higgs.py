"""Higgs Audio v2 (Boson AI): a language model whose answers are delayed frames of its own audio tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from speech_eval.adapters.codec.higgs import need_torchaudio
from speech_eval.adapters.parts import load_part
from speech_eval.adapters.tts.native import Utterance, Voice, WithCodec

_SYSTEM = "Generate audio following instruction."


class Higgs(WithCodec):
    """`bosonai/higgs-audio-v2-generation-3B-base` as transformers stores it, 24 kHz, 25 frames per second. A voice
    prompt is an earlier turn. `scene` describes where the recording is made. Needs torchaudio."""

    model_class = "HiggsAudioV2ForConditionalGeneration"
    codec_class, codec_type = "HiggsAudioV2TokenizerModel", "higgs_audio_v2_tokenizer"
    sampling: ClassVar[dict[str, Any]] = {"temperature": 1.0, "top_p": 0.95, "top_k": 50}
    templated = True

    def __init__(self, path: str, scene: str = "Audio is recorded from a quiet room.", **options: Any) -> None:
        need_torchaudio()
        self._scene = scene
        super().__init__(path, **options)

    def _assemble(self, directory: Path, codec: Any) -> Any:
        t = self._transformers
        tokenizer = load_part("AutoTokenizer", directory)
        extractor = t.DacFeatureExtractor.from_pretrained(directory)
        config = self._model.config
        return t.HiggsAudioV2Processor(
            extractor,
            tokenizer,
            codec,
            chat_template=tokenizer.chat_template,
            audio_stream_bos_id=config.audio_stream_bos_id,
            audio_stream_eos_id=config.audio_stream_eos_id,
        )

    @property
    def _rate(self) -> int:
        return int(self._processor.audio_tokenizer.config.sample_rate)

    def _stated(self) -> dict[str, Any]:
        return {**super()._stated(), "scene": self._scene}

    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        turns = [_turn("system", _SYSTEM), _turn("scene", self._scene)]
        if voice is not None:
            turns.append(_turn("user", voice.words))
            turns.append({"role": "assistant", "content": [{"type": "audio", "audio": voice.audio.samples}]})
        inputs = self._processor.apply_chat_template(
            [*turns, _turn("user", text)],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            sampling_rate=self._rate,
        )
        config = self._model.config
        limit = self._frames(
            self._processor.audio_tokenizer.config.frame_rate,
            inputs["input_ids"].shape[1],
            config.max_position_embeddings,
        )
        limit = max(limit, config.num_codebooks + 1)  # fewer rows than codebooks hold no whole frame
        ids = self._model.generate(**self._place(inputs), **self._sampling, max_new_tokens=limit)
        (wave,) = self._processor.batch_decode(ids)
        prompted = inputs["audio_input_ids"].shape[1] if voice is not None else 0  # generation returns them too
        frames = int(ids.shape[1]) - prompted
        return Utterance(wave, frames, stopped=frames < limit)


def _turn(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}
