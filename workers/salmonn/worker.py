"""SALMONN from its repository (branch salmonn): questions about one recording of up to 30 s, answered in text."""

from types import SimpleNamespace

from speech_eval_worker import serve


class Worker:
    """`config` is a copy of source/configs/decode_config.yaml with every path in it filled in."""

    def __init__(self, config: str, device: str = "cuda:0") -> None:
        import torch
        import utils
        from config import Config
        from models.salmonn import SALMONN
        from transformers import WhisperFeatureExtractor

        self.torch, self.utils = torch, utils
        self.config = Config(SimpleNamespace(cfg_path=config, options=None)).config
        self.model = SALMONN.from_config(self.config.model).to(device).eval()
        self.features = WhisperFeatureExtractor.from_pretrained(self.config.model.whisper_path)

    def transcribe(self, request: SimpleNamespace) -> str:
        return self._ask([request.audio], ["Recognize the speech and give me the transcription."])

    def reply(self, request: SimpleNamespace) -> str:
        (parts,) = [message["content"] for message in request.messages]  # it has no memory of earlier turns
        return self._ask([p["audio"] for p in parts if "audio" in p], [p["text"] for p in parts if "text" in p])

    def _ask(self, audios: list, texts: list) -> str:
        if len(audios) != 1 or len(audios[0].samples) > 30 * audios[0].rate:
            raise ValueError("SALMONN hears one recording of up to 30 s")
        question = "<Speech><SpeechHere></Speech> " + (" ".join(texts) or "Please answer the question in detail.")
        sample, prompt = self.utils.prepare_one_sample(audios[0].path, self.features), self.config.model.prompt_template
        with self.torch.cuda.amp.autocast(dtype=self.torch.float16):
            (text,) = self.model.generate(sample, self.config.generate, prompts=[prompt.format(question)])
        return str(text).replace("<s>", "").replace("</s>", "").strip()


serve(Worker)
