"""Moshi on transformers, driven frame by frame: the class itself generates only after it has all of the user's audio.

Each step of 80 ms the model reads one text token, and of both channels one code per codebook, the acoustic ones a step
late. It answers with the next text token and the agent's next codes. Steps and delays are those of `LMGen` in the
package moshi 0.2.13.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from speech_eval.adapters.base import DuplexAgent
from speech_eval.adapters.checkpoints import load_model, locate
from speech_eval.adapters.codec.mimi_stream import MimiStream
from speech_eval.adapters.options import number, whole
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, require
from speech_eval.records import ModelInfo


class Moshi(DuplexAgent):
    """`kmhf/hf-moshika` and kin, 24 kHz. Sampling: `temperature` and `top_k` of the codes, `text_temperature` and
    `text_top_k` of the words it thinks; a temperature of 0 is greedy. Every conversation starts from `seed`.

    Its sound comes one step late, because a frame is complete when its delayed codes are; the first step is silent.
    """

    sample_rate = 24_000
    chunk_seconds = 0.08

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        temperature: float = 0.8,
        top_k: int = 250,
        text_temperature: float = 0.7,
        text_top_k: int = 25,
        seed: int = 0,
        trust_remote_code: bool = False,
    ) -> None:
        self._torch = require("torch", "codec")
        self._audio = (number("temperature", temperature), whole("top_k", top_k))
        self._text = (number("text_temperature", text_temperature), whole("text_top_k", text_top_k))
        self._seed = whole("seed", seed, 0)
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        self._model = load_model(
            "MoshiForConditionalGeneration", self._checkpoint, dtype=dtype, device=device, extra="codec"
        )
        self._mimi, config = self._model.audio_encoder, self._model.config
        self.sample_rate = int(self._mimi.config.sampling_rate)
        self.chunk_seconds = 1 / float(self._mimi.config.frame_rate)
        self._hop = round(self.sample_rate * self.chunk_seconds)
        books = int(config.num_codebooks)
        self._delays = self._torch.tensor([0] + [1] * (books - 1), device=self._model.device)
        self._silent = self._torch.full((books,), config.audio_vocab_size, device=self._model.device)
        self._codes = min(int(config.audio_vocab_size), int(self._mimi.config.codebook_size))
        self.reset()

    def info(self) -> ModelInfo:
        names = ("temperature", "top_k", "text_temperature", "text_top_k", "seed")
        settings = dict(zip(names, (*self._audio, *self._text, self._seed), strict=True))
        return self._checkpoint.info(self._model, **settings)

    def reset(self) -> None:
        self._position = 0
        self._heard: dict[str, Any] = {}  # caches of Mimi's encoder
        self._memory: Any = None  # cache of the language model
        self._word = self._torch.full((1, 1), self._model.config.vocab_size, device=self._model.device)
        self._user = self._said = self._silent  # the codes of the step before
        self._voice = MimiStream(self._mimi)
        self._random = self._torch.Generator(self._model.device).manual_seed(self._seed)

    def step(self, user_chunk: Audio) -> Audio:
        """Raises `BadAudio` for a chunk of another rate or length than 80 ms at `sample_rate`."""
        if user_chunk.rate != self.sample_rate or len(user_chunk.samples) != self._hop:
            raise BadAudio(
                f"Moshi hears {self._hop} samples at {self.sample_rate} Hz at a time, not "
                f"{len(user_chunk.samples)} at {user_chunk.rate} Hz.",
                "Give chunks of chunk_seconds at sample_rate.",
            )
        with self._torch.inference_mode():
            wave = self._step(self._hear(user_chunk))
        return Audio(wave, self.sample_rate)

    def _hear(self, chunk: Audio) -> Any:
        """The codes [codebooks] of the user's frame."""
        samples = self._torch.from_numpy(chunk.samples)[None, None].to(self._model.device, self._model.dtype)
        heard = self._mimi.encode(
            samples, num_quantizers=self._model.config.num_codebooks, use_streaming=True, **self._heard
        )
        self._heard = {
            "padding_cache": heard.padding_cache,
            "encoder_past_key_values": heard.encoder_past_key_values,
        }
        return heard.audio_codes[0, :, 0]

    def _step(self, user: Any) -> Any:
        torch = self._torch
        # Before a codebook's first code there is a mark; the semantic code of the very first frame is lost to it.
        begun = self._position > self._delays
        mine = torch.where(begun, self._said, self._silent)
        theirs = torch.where(begun, torch.where(self._delays == 0, user, self._user), self._silent)
        state = self._model(
            input_ids=self._word,
            moshi_audio_codes=mine[None, :, None],
            user_audio_codes=theirs[None, :, None],
            past_key_values=self._memory,
            use_cache=True,
        )
        self._memory = state.past_key_values
        word = self._sample(state.logits[:, -1], *self._text)
        said = self._speak(word, state.last_hidden_state[:, -1:])
        frame = torch.where(self._delays == 0, self._said, said)
        first = self._position == 0
        self._word, self._user, self._said, self._position = word, user, said, self._position + 1
        if first:
            return np.zeros(self._hop, np.float32)
        return self._voice.decode(frame[None, :, None]).float().cpu().numpy()

    def _speak(self, word: Any, hidden: Any) -> Any:
        """The agent's codes [codebooks] after a word [1, 1], one after another by the depth decoder."""
        token, cache, codes = word, None, []
        for _ in range(len(self._delays)):
            state = self._model.depth_decoder(
                input_ids=token, last_hidden_state=hidden, past_key_values=cache, use_cache=True
            )
            cache = state.past_key_values
            token = self._sample(state.logits[:, -1, : self._codes], *self._audio)
            codes.append(token[0, 0])
        return self._torch.stack(codes)

    def _sample(self, logits: Any, temperature: float, top_k: int) -> Any:
        """One id [1, 1] of logits [1, ids]."""
        if temperature == 0:
            return logits.argmax(-1, keepdim=True)
        likeliest, ids = logits.float().topk(min(top_k, logits.shape[-1]))
        chosen = self._torch.multinomial((likeliest / temperature).softmax(-1), 1, generator=self._random)
        return ids.gather(-1, chosen)
