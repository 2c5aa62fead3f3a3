"""IndexTTS 2.5 from its repository: speech in the voice of a prompt, 22.05 kHz."""

from collections.abc import Iterator
from typing import Any

from speech_eval_worker import Audio, serve

LANGUAGES = ("ZH", "EN", "JA", "ES")
SCALE = 32767.0  # of the integers that it gives


class Worker:
    """`path` is the folder of its checkpoints, with config.yaml."""

    def __init__(self, path: str, device: Any = None, use_bf16: bool = False) -> None:
        from indextts.infer_v2_5 import IndexTTS2

        self.model = IndexTTS2(cfg_path=f"{path}/config.yaml", model_dir=path, use_bf16=use_bf16, device=device)

    def synthesize(self, request: Any) -> Audio:
        rate, samples = self.model.infer(**self._asked(request), stream_return=False)
        return Audio(samples.astype("float32") / SCALE, rate)

    def stream(self, request: Any) -> Iterator[Audio]:
        for piece in self.model.infer(**self._asked(request), stream_return=True):
            yield Audio(piece / SCALE, 22050)

    def _asked(self, request: Any) -> Any:
        language = request.language.split("-")[0].upper()
        if request.prompt_audio is None or language not in LANGUAGES:
            raise ValueError(f"IndexTTS 2.5 needs a voice prompt and one of {LANGUAGES}, not {language}")
        return {
            "spk_audio_prompt": request.prompt_audio.path,
            "text": request.text,
            "output_path": None,
            "lang": language,
        }


serve(Worker)
