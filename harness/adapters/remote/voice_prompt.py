"""How a voice prompt reaches a server: as a `data:` URL in the request, or as a file on the machine that both share."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speech_eval.adapters.base import SynthesisRequest
from speech_eval.audio import wav_bytes

WAYS = ("auto", "data", "path", "off")


@contextmanager
def prompt_fields(request: SynthesisRequest, way: str) -> Iterator[dict[str, str]]:
    """`ref_audio` and `ref_text` of a request, none where it has no voice prompt. With `path` the 16-bit WAV lies in a
    temporary file, which only its owner may read, until the request has been answered."""
    audio = request.prompt_audio
    if audio is None:
        yield {}
        return
    text = {"ref_text": request.prompt_text} if (request.prompt_text or "").strip() else {}
    if way == "path":
        with tempfile.TemporaryDirectory(prefix="speech-eval-") as folder:
            path = Path(folder) / "prompt.wav"
            path.write_bytes(wav_bytes(audio))
            yield {"ref_audio": str(path), **text}  # type: ignore[dict-item]
    else:
        data = base64.b64encode(wav_bytes(audio)).decode("ascii")
        yield {"ref_audio": f"data:audio/wav;base64,{data}", **text}  # type: ignore[dict-item]
