"""Recognizers of NVIDIA NeMo, such as Parakeet and Canary, as NeMo runs them."""

from pathlib import Path
from typing import Any

from speech_eval_worker import serve


class Worker:
    """`path` is a .nemo file or a name, such as nvidia/parakeet-tdt-0.6b-v2 or nvidia/canary-1b-v2."""

    def __init__(self, path: str, device: str = "cuda") -> None:
        from nemo.collections.asr.models import ASRModel, EncDecMultiTaskModel

        if Path(path).is_file():
            model = ASRModel.restore_from(restore_path=path, map_location=device)
        else:
            model = ASRModel.from_pretrained(model_name=path, map_location=device)
        self.model, self.prompted = model.eval(), isinstance(model, EncDecMultiTaskModel)

    def transcribe(self, request: Any) -> str:
        language = request.language.split("-")[0]
        # Canary is told the language; the others hear it.
        told = {"source_lang": language, "target_lang": language} if self.prompted else {}
        (found,) = self.model.transcribe([request.audio.path], batch_size=1, verbose=False, **told)
        return str(getattr(found, "text", found))


serve(Worker)
