"""Chatterbox by the package chatterbox-tts: English in the voice of a prompt or its own, 24 kHz, watermarked."""

from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """`path` is the folder of its checkpoint; empty: from the hub."""

    def __init__(
        self, path: str = "", device: str = "cuda", exaggeration: float = 0.5, cfg_weight: float = 0.5
    ) -> None:
        from chatterbox.tts import ChatterboxTTS

        self.model = ChatterboxTTS.from_local(path, device) if path else ChatterboxTTS.from_pretrained(device)
        self.own_voice = self.model.conds
        self.options = {"exaggeration": exaggeration, "cfg_weight": cfg_weight}

    def synthesize(self, request: Any) -> Audio:
        if not request.language.startswith("en"):
            raise ValueError(f"Chatterbox speaks English, not {request.language}")
        self.model.conds = self.own_voice  # else a sample without a prompt would get the voice of the one before
        prompt = None if request.prompt_audio is None else request.prompt_audio.path
        return Audio(self.model.generate(request.text, audio_prompt_path=prompt, **self.options), self.model.sr)


serve(Worker)
