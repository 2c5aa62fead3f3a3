"""VibeVoice (Microsoft): a Qwen2 that decides frame by frame, with a diffusion head that draws each one."""

from __future__ import annotations

from typing import Any, ClassVar

from speech_eval.adapters.options import number, whole
from speech_eval.adapters.tts.native import NativeTTS, Utterance, Voice
from speech_eval.errors import BadAudio, require


class VibeVoice(NativeTTS):
    """`microsoft/VibeVoice-1.5B` as transformers stores it, 24 kHz, 7.5 frames per second. A voice prompt needs no
    words. `steps` of diffusion per frame and `guidance_scale`, 1 for none, override what the checkpoint states."""

    model_class = "VibeVoiceForConditionalGeneration"
    sampling: ClassVar[dict[str, Any]] = {}
    templated = True
    sampled_by = ()
    needs_words = False
    extra = "vibevoice"

    def __init__(
        self, path: str, steps: int | None = None, guidance_scale: float | None = None, **options: Any
    ) -> None:
        require("diffusers", self.extra)
        self._diffusion: dict[str, Any] = {}
        if steps is not None:
            self._diffusion["num_diffusion_steps"] = whole("steps", steps)
        if guidance_scale is not None:
            self._diffusion["guidance_scale"] = number("guidance_scale", guidance_scale)
        super().__init__(path, **options)

    @property
    def _rate(self) -> int:
        return int(self._processor.feature_extractor.sampling_rate)

    def _stated(self) -> dict[str, Any]:
        stated = self._model.generation_config
        return {
            name: self._diffusion.get(name, getattr(stated, name, None) or default)
            for name, default in (("num_diffusion_steps", 10), ("guidance_scale", 1.0))
        }

    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        said: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if voice is not None:
            said.append({"type": "audio", "audio": voice.audio.samples})
        inputs = self._processor.apply_chat_template(
            [{"role": "0", "content": said}], tokenize=True, return_dict=True, return_tensors="pt"
        )
        used, config = int(inputs["input_ids"].shape[1]), self._model.config
        rate = self._rate / config.audio_config.hop_length
        limit = self._frames(rate, used, config.text_config.max_position_embeddings)
        answer = self._model.generate(
            **self._place(inputs), **self._diffusion, max_new_tokens=limit, return_dict_in_generate=True
        )
        (wave,) = answer.audio
        if wave is None:
            raise BadAudio(f"{self._checkpoint.name} ended without a frame of speech.", "Try another text.")
        frames = int(answer.sequences.shape[1]) - used
        return Utterance(wave, frames, stopped=frames < limit)
