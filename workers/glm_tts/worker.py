"""GLM-TTS from its repository: speech in the voice of a prompt, 24 or 32 kHz."""

import os
from pathlib import Path
from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """The checkpoints lie in source/ckpt, where the repository looks for them."""

    def __init__(self, rate: int = 24000) -> None:
        os.chdir(Path(__file__).with_name("source"))  # it loads ckpt/ and frontend/ from the current folder
        import glmtts_inference

        self.glm, self.rate = glmtts_inference, rate
        self.voices, self.texts, _, self.llm, self.flow = self.glm.load_models(sample_rate=rate)

    def synthesize(self, request: Any) -> Audio:
        import torch

        if request.prompt_audio is None or not request.prompt_text:
            raise ValueError("GLM-TTS needs a voice prompt and its text")
        path, said = request.prompt_audio.path, self.texts.text_normalize(request.prompt_text)
        tokens = self.voices._extract_speech_token([path]).squeeze().tolist()
        begun = {"cache_text": [said], "cache_text_token": [self.voices._extract_text_token(said + " ")]}
        speech, *_ = self.glm.generate_long(
            frontend=self.voices, text_frontend=self.texts, llm=self.llm, flow=self.flow, device=self.glm.DEVICE,
            text_info=[request.id, self.texts.text_normalize(request.text)], seed=request.seed,
            cache={**begun, "cache_speech_token": [tokens], "use_cache": True},
            embedding=self.voices._extract_spk_embedding(path),
            flow_prompt_token=torch.tensor([tokens], dtype=torch.int32).to(self.glm.DEVICE),
            speech_feat=self.voices._extract_speech_feat(path, sample_rate=self.rate),
        )  # fmt: skip
        return Audio(speech, self.rate)


serve(Worker)
