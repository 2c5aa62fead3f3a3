"""The Thinker: a text LLM read token by token, while it writes or while it is given what to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from speech_eval.adapters.chat.causal_lm import text_of
from speech_eval.adapters.chat.generation import room_for
from speech_eval.adapters.checkpoints import load_model, locate, weights_digest
from speech_eval.adapters.parts import load_part
from speech_eval.assets.convert.gguf import convert
from speech_eval.errors import BadInput
from speech_eval.reference_models.conversation.talker.config import ThinkerSection

_BATCH = 16  # texts read at once


@dataclass(frozen=True)
class Thought:
    """A token of text, and what the Talker is told of it: hidden state and embedding, [2, width]."""

    token: int
    told: Tensor


@dataclass
class Script:
    """The thoughts so far, of a Thinker that is still writing."""

    writing: Iterator[Thought]
    thoughts: list[Thought] = field(default_factory=list)
    ended: bool = False

    def reach(self, count: int | None = None) -> list[Thought]:
        """Wait for so many thoughts, or for the end of the text; all that there are then."""
        while not self.ended and (count is None or len(self.thoughts) < count):
            thought = next(self.writing, None)
            if thought is None:
                self.ended = True
            else:
                self.thoughts.append(thought)
        return self.thoughts


class Thinker:
    """Hidden states are those after the last layer. Answers are greedy. Raises `BadInput` for a text LLM without a chat
    template, and for one with other weights than `section` names."""

    def __init__(self, section: ThinkerSection, device: str = "auto") -> None:
        checkpoint = locate(section.path, convert=convert)
        self._tokenizer = load_part("AutoTokenizer", checkpoint.directory)
        if self._tokenizer.chat_template is None:
            raise BadInput(f"{section.path} has no chat template.", "Use an instruction-tuned text LLM.")
        self.model: Any = load_model("AutoModelForCausalLM", checkpoint, dtype="float32", device=device, extra="llm")
        self.model.requires_grad_(False)
        self.name, self.digest = checkpoint.name, weights_digest(checkpoint.weights())
        if section.weights_sha256 not in ("", self.digest):
            raise BadInput(
                f"The Talker's Thinker is {section.weights_sha256[:12]}; {section.path} is {self.digest[:12]}.",
                "Name a copy of the text LLM that it was trained with: thinker=PATH.",
            )
        ends = self.model.generation_config.eos_token_id
        self._ends = {self._tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    def text(self, thoughts: Sequence[Thought]) -> str:
        """The text of thoughts."""
        return str(self._tokenizer.decode([thought.token for thought in thoughts], skip_special_tokens=True))

    @torch.inference_mode()
    def write(self, name: str, messages: Sequence[Mapping[str, Any]], most: int) -> Iterator[Thought]:
        """The answer to a conversation of texts, at most so many tokens, each as soon as it is written and read. Raises
        `BadInput` naming the request for parts that are not text and for a conversation that is too long."""
        ids = self._prompt([{"role": str(m["role"]), "content": text_of(m, name)} for m in messages])
        cache = DynamicCache()
        hidden = self._hidden(ids, cache)
        for _ in range(room_for(name, ids.shape[1], most, self.model.config)):
            token = self.model.lm_head(hidden[:, -1]).argmax(-1)
            if int(token) in self._ends:
                return
            hidden = self._hidden(token[:, None], cache)
            yield self._thoughts(token, hidden[0])[0]

    def say(self, text: str, question: str) -> list[Thought]:
        """The thoughts of a text that the Thinker is given as its answer."""
        return self.read([text], question)[0]

    @torch.inference_mode()
    def read(self, texts: Sequence[str], question: str) -> list[list[Thought]]:
        """The thoughts of texts that are given, each as the answer to the `question`."""
        prompt, found = self._prompt([{"role": "user", "content": question}]), []
        cache, count = DynamicCache(), min(_BATCH, len(texts))
        self._hidden(prompt, cache)
        cache.batch_repeat_interleave(count)
        for start in range(0, len(texts), count):
            rows = [self._tokenizer.encode(text, add_special_tokens=False) for text in texts[start : start + count]]
            ids = torch.zeros(count, max(map(len, rows)), dtype=torch.long)  # padding follows, so nothing sees it
            for row, tokens in enumerate(rows):
                ids[row, : len(tokens)] = torch.tensor(tokens)
            hidden = self._hidden(ids.to(self.model.device), cache)
            cache.crop(-ids.shape[1])
            for row, tokens in enumerate(rows):
                found.append(self._thoughts(ids[row, : len(tokens)].to(hidden.device), hidden[row, : len(tokens)]))
        return found

    def _hidden(self, ids: Tensor, cache: DynamicCache) -> Tensor:
        return self.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state

    def _thoughts(self, tokens: Tensor, hidden: Tensor) -> list[Thought]:
        told = torch.stack((hidden, self.model.get_input_embeddings()(tokens)), dim=1)  # [T, 2, width]
        return [Thought(int(token), each) for token, each in zip(tokens, told, strict=True)]

    def _prompt(self, messages: list[dict[str, str]]) -> Tensor:
        made: Any = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        ids: Tensor = made["input_ids"].to(self.model.device)
        return ids
