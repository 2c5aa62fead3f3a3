"""CosyVoice2 from its repository: speech in the voice of a prompt, 24 kHz."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """`path` is the folder of CosyVoice2-0.5B. The numbers of its paper are without `text_frontend`."""

    def __init__(self, path: str, fp16: bool = False, text_frontend: bool = False) -> None:
        sys.path.append(str(Path(__file__).with_name("source") / "third_party" / "Matcha-TTS"))
        from cosyvoice.cli.cosyvoice import CosyVoice2

        self.model, self.text_frontend = CosyVoice2(path, fp16=fp16), text_frontend

    def synthesize(self, request: Any) -> Audio:
        import torch

        return Audio(torch.cat(list(self._speak(request, stream=False)), dim=1), self.model.sample_rate)

    def stream(self, request: Any) -> Iterator[Audio]:
        for piece in self._speak(request, stream=True):
            yield Audio(piece, self.model.sample_rate)

    def _speak(self, request: Any, stream: bool) -> Iterator[Any]:
        if request.prompt_audio is None:
            raise ValueError("CosyVoice2 speaks in the voice of a prompt, and the sample has none")
        voice, options = request.prompt_audio.path, {"stream": stream, "text_frontend": self.text_frontend}
        if request.prompt_text:
            pieces = self.model.inference_zero_shot(request.text, request.prompt_text, voice, **options)
        else:
            pieces = self.model.inference_cross_lingual(request.text, voice, **options)
        return (piece["tts_speech"] for piece in pieces)


serve(Worker)
