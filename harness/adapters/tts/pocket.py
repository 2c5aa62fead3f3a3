"""Pocket TTS (Kyutai): a small Llama over continuous latents, each drawn by a flow head."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from speech_eval.adapters.checkpoints import Checkpoint
from speech_eval.adapters.parts import load_part
from speech_eval.adapters.tts.native import Utterance, Voice, WithCodec

_STATED = ("short_text_max_words", "frames_after_eos_short_text", "frames_after_eos", "fade_in_duration")


class PocketTTS(WithCodec):
    """Pocket TTS as transformers stores it, 24 kHz, 12.5 frames per second. A voice prompt needs no words. Long texts
    are spoken sentence by sentence, as its makers do; `temperature` 0 takes the mean of each latent."""

    model_class = "PocketTTSForConditionalGeneration"
    codec_class, codec_type = "PocketTTSAudioTokenizerModel", "pocket_tts_audio_tokenizer"
    sampling: ClassVar[dict[str, Any]] = {"temperature": 0.7}
    templated = True
    sampled_by = ("temperature",)
    needs_words = False

    def _assemble(self, directory: Path, codec: Any) -> Any:
        t = self._transformers
        tokenizer = load_part("AutoTokenizer", directory)
        stated = Checkpoint(directory, "").config("processor_config.json")
        return t.PocketTTSProcessor(
            t.PocketTTSFeatureExtractor.from_pretrained(directory),
            tokenizer,
            codec,
            chat_template=tokenizer.chat_template,
            **{name: stated[name] for name in _STATED if name in stated},
        )

    @property
    def _rate(self) -> int:
        return int(self._processor.feature_extractor.sampling_rate)

    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        left = limit = self._frames(self._model.config.frame_rate)
        waves, stopped = [], True
        for part in self._processor.split_text(text):
            if left == 0:
                stopped = False
                break
            wave, frames, ended = self._sentence(part, voice, left)
            waves.append(wave)
            left, stopped = left - frames, ended
        return Utterance(self._torch.cat(waves), limit - left, stopped)

    def _sentence(self, text: str, voice: Voice | None, left: int) -> tuple[Any, int, bool]:
        """The wave, its frames, and whether the model ended it before `left` frames."""
        said: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if voice is not None:
            said.insert(0, {"type": "audio", "audio": voice.audio.samples})
        inputs = self._processor.apply_chat_template(
            [{"role": "user", "content": said}], tokenize=True, return_dict=True, return_tensors="pt"
        )
        config = self._model.config
        limit = min(left, self._frames(config.frame_rate, inputs["input_ids"].shape[1], config.max_position_embeddings))
        answer = self._model.generate(
            **self._place(inputs), **self._sampling, max_new_tokens=limit, return_dict_in_generate=True
        )
        frames = int(answer.audio_latents.shape[1])
        return self._processor.decode(answer.audio_latents[0]), frames, frames < limit
