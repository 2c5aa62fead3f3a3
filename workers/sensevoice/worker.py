"""SenseVoice by the package funasr: transcripts in Chinese, English, Cantonese, Japanese and Korean."""

import re
from typing import Any

from speech_eval_worker import serve

LANGUAGES = ("zh", "en", "yue", "ja", "ko")


class Worker:
    """`path` is the folder of SenseVoiceSmall or its name; `use_itn` writes punctuation and numbers as digits."""

    def __init__(self, path: str = "iic/SenseVoiceSmall", device: str = "cuda:0", use_itn: bool = True) -> None:
        from funasr import AutoModel

        self.model, self.use_itn = AutoModel(model=path, device=device, disable_update=True), use_itn

    def transcribe(self, request: Any) -> str:
        if len(request.audio.samples) > 30 * request.audio.rate:
            raise ValueError("SenseVoice hears 30 s without a detector of speech, and the recording is longer")
        language = request.language.split("-")[0]
        told = {"language": language if language in LANGUAGES else "auto", "use_itn": self.use_itn}
        (found,) = self.model.generate(input=request.audio.path, cache={}, disable_pbar=True, **told)
        return re.sub(r"<\|.*?\|>", "", found["text"]).strip()  # tags of language, emotion and event


serve(Worker)
