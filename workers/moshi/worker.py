"""Moshi by its own package: a duplex agent in steps of 80 ms, 24 kHz, sampled as the package does."""

from pathlib import Path
from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """`path` is a repository of the hub, or the config.json of one whose names of files are file:///PATH."""

    def __init__(self, path: str = "kyutai/moshiko-pytorch-bf16", device: str = "cuda") -> None:
        import torch
        from moshi.models import LMGen, loaders

        local: Any = {"config_path": Path(path)} if path.endswith(".json") else {}
        found = loaders.CheckpointInfo.from_hf_repo(path, **local)
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        self.torch, self.device, self.mimi = torch, device, found.get_mimi(device=device)
        self.lm = LMGen(found.get_moshi(device=device, dtype=dtype), **found.lm_gen_config)
        self.mimi.streaming_forever(1)
        self.lm.streaming_forever(1)
        self.sample_rate, self.chunk_seconds = int(self.mimi.sample_rate), 1 / self.mimi.frame_rate

    def reset(self) -> None:
        self.mimi.reset_streaming()
        self.lm.reset_streaming()
        self.first = True

    def step(self, audio: Audio) -> Audio:
        with self.torch.no_grad():
            codes = self.mimi.encode(self.torch.tensor(audio.samples, device=self.device)[None, None])
            if self.first:  # as in the package's server: to the model this frame is in the past
                self.mimi.reset_streaming()
            self.first, tokens = False, self.lm.step(codes)
            said = None if tokens is None else self.mimi.decode(tokens[:, 1:])
        return Audio([0.0] * len(audio.samples) if said is None else said.flatten(), self.sample_rate)


serve(Worker)
