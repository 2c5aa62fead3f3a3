"""NeuTTS by the package neutts: speech in the voice of a prompt, 24 kHz, with a watermark where perth is installed."""

from collections.abc import Iterator
from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """`path` and `codec` are folders or names of checkpoints; only a GGUF checkpoint streams."""

    def __init__(
        self, path: str = "neuphonic/neutts-air", codec: str = "neuphonic/neucodec", device: str = "cpu"
    ) -> None:
        from neutts import NeuTTS

        self.model = NeuTTS(backbone_repo=path, backbone_device=device, codec_repo=codec, codec_device=device)
        if not path.endswith(("gguf", "-gguf")):
            self.stream = self._whole  # type: ignore[method-assign]

    def synthesize(self, request: Any) -> Audio:
        return Audio(self.model.infer(**self._asked(request)), self.model.sample_rate)

    def stream(self, request: Any) -> Iterator[Audio]:
        for piece in self.model.infer_stream(**self._asked(request)):
            yield Audio(piece, self.model.sample_rate)

    def _whole(self, request: Any) -> Iterator[Audio]:
        yield self.synthesize(request)

    def _asked(self, request: Any) -> Any:
        if request.prompt_audio is None or not request.prompt_text:
            raise ValueError("NeuTTS needs a voice prompt and its text")
        codes = self.model.encode_reference(request.prompt_audio.path)
        return {"text": request.text, "ref_codes": codes, "ref_text": request.prompt_text}


serve(Worker)
