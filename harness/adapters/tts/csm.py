"""CSM (Sesame): a Llama over frames of Mimi, with earlier turns as context."""

from __future__ import annotations

from typing import Any, ClassVar

from speech_eval.adapters.options import whole
from speech_eval.adapters.tts.native import NativeTTS, Utterance, Voice


class Csm(NativeTTS):
    """`sesame/csm-1b` and kin, 24 kHz, 12.5 frames per second. `speaker` is the number of the voice; a voice prompt is
    an earlier turn of that speaker."""

    model_class = "CsmForConditionalGeneration"
    sampling: ClassVar[dict[str, Any]] = {"temperature": 0.9, "top_k": 50}
    templated = True

    def __init__(self, path: str, speaker: int = 0, **options: Any) -> None:
        self._speaker = str(whole("speaker", speaker, 0))
        super().__init__(path, **options)

    @property
    def _rate(self) -> int:
        return int(self._model.config.codec_config.sampling_rate)

    def _stated(self) -> dict[str, Any]:
        return {"speaker": self._speaker}

    def _speak(self, text: str, voice: Voice | None) -> Utterance:
        said: list[dict[str, Any]] = [{"type": "text", "text": text}]
        turns: list[dict[str, Any]] = [{"role": self._speaker, "content": said}]
        if voice is not None:
            earlier = [{"type": "text", "text": voice.words}, {"type": "audio", "audio": voice.audio.samples}]
            turns.insert(0, {"role": self._speaker, "content": earlier})
        inputs = self._processor.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")
        config = self._model.config
        limit = self._frames(
            config.codec_config.frame_rate, inputs["input_ids"].shape[1], config.max_position_embeddings
        )
        # Ids beyond the codec's codebooks mark padding; a model must not say them.
        beyond = list(range(config.codec_config.codebook_size, config.vocab_size))
        settings = {**self._sampling, "suppress_tokens": beyond or None}
        answer = self._model.generate(
            **self._place(inputs),
            **settings,
            **{f"depth_decoder_{name}": value for name, value in settings.items()},
            max_new_tokens=limit,
            output_audio=True,
            return_dict_in_generate=True,
        )
        frames = int(answer.sequences.shape[1])
        return Utterance(answer.audio[0], frames, stopped=frames < limit)
