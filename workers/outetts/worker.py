"""OuteTTS 1.0 by the package outetts: speech in the voice of a prompt or a default one, 44.1 kHz."""

from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """`path` is a checkpoint's folder or name; `voice` the default speaker; Whisper aligns the words of prompts."""

    def __init__(
        self,
        path: str = "OuteAI/Llama-OuteTTS-1.0-1B",
        device: Any = None,
        voice: str = "EN-FEMALE-1-NEUTRAL",
        whisper_model: str = "turbo",
    ) -> None:
        import outetts

        self.package, self.voice, self.whisper_model = outetts, voice, whisper_model
        config = outetts.ModelConfig(model_path=path, tokenizer_path=path, device=device)
        self.model = outetts.Interface(config=config)

    def synthesize(self, request: Any) -> Audio:
        if request.prompt_audio is None:
            speaker = self.model.load_default_speaker(self.voice)
        else:
            speaker = self.model.create_speaker(request.prompt_audio.path, whisper_model=self.whisper_model)
        spoken = self.model.generate(self.package.GenerationConfig(text=request.text, speaker=speaker))
        return Audio(spoken.audio.flatten(), spoken.sr)


serve(Worker)
