"""Text language models on transformers, as the text-only end of the audio-language-model interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from speech_eval.adapters.base import AudioLanguageModel, ChatReply, ChatRequest
from speech_eval.adapters.chat.generation import generate, generate_stream, growing, pieces, room_for, sampling, stated
from speech_eval.adapters.checkpoints import load_model, locate
from speech_eval.adapters.parts import load_part
from speech_eval.assets.convert.gguf import convert
from speech_eval.errors import BadInput
from speech_eval.records import ModelInfo


class CausalLM(AudioLanguageModel):
    """A causal language model that answers conversations of text.

    `path` is a hub repository `ORG/REPO`, a directory, or a bundled model `asset:NAME`. Greedy where `temperature` is
    0, else sampling with the request's seed from the `top_k` likeliest tokens (0: all) that make up `top_p` of the
    probability. Conversations go through the tokenizer's chat template; a tokenizer without one gets the texts line by
    line. Requests are answered one by one, because rounding in a padded batch would make an answer depend on the
    others. An answer ends at the model's last position. `enable_thinking` is passed to templates that know it.
    """

    reads_audio = False

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        enable_thinking: bool | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._settings = sampling(temperature, top_p, top_k)
        self._template_options = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code, convert=convert)
        self._tokenizer = load_part(
            "AutoTokenizer", self._checkpoint.directory, extra="llm", trust_remote_code=trust_remote_code
        )
        self._model = load_model(
            "AutoModelForCausalLM",
            self._checkpoint,
            dtype=dtype,
            device=device,
            extra="llm",
            trust_remote_code=trust_remote_code,
        )

    def info(self) -> ModelInfo:
        return self._checkpoint.info(self._model, **stated(self._settings))

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One text reply per request. Raises `BadInput` for audio parts and for conversations that are too long."""
        return [ChatReply(text=self._answer(request)) for request in requests]

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        """The same reply token by token."""
        for piece in pieces(growing(generate_stream(*self._asked(request)), self._text)):
            yield ChatReply(text=piece)

    def _answer(self, request: ChatRequest) -> str:
        return self._text(generate(*self._asked(request)))

    def _asked(self, request: ChatRequest) -> tuple[Any, dict[str, Any], int, int, dict[str, Any]]:
        """The arguments of `generate`."""
        messages = [{"role": str(m["role"]), "content": text_of(m, request.id)} for m in request.messages]
        tokens = self._tokens(messages)
        new = room_for(request.id, tokens["input_ids"].shape[1], request.max_new_tokens, self._model.config)
        # Padding is never used with one row, but generation warns where none is set.
        settings = {**self._settings, "pad_token_id": self._padding()}
        return self._model, dict(tokens), request.seed, new, settings

    def _text(self, ids: Any) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _tokens(self, messages: list[dict[str, str]]) -> Any:
        if self._tokenizer.chat_template is None:
            prompt = "\n".join(message["content"] for message in messages)
            return self._tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        return self._tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **self._template_options,
        )

    def _padding(self) -> int | None:
        return (
            self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else self._tokenizer.eos_token_id
        )


def text_of(message: Mapping[str, Any], request_id: str) -> str:
    """The text of a message, its parts joined by line breaks. Raises `BadInput` for any part that is not text."""
    content = message["content"]
    if isinstance(content, str):
        return content
    for part in content:
        if part["type"] != "text":
            raise BadInput(
                f"{request_id}: a text model was given a part of type '{part['type']}'.",
                "Put a recognizer before it: cascade:ASR+LLM.",
            )
    return "\n".join(str(part["text"]) for part in content)
