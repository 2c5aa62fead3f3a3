"""Conversations as the LLM reads them: its chat template, with places for recordings, and the tokens to learn.

A conversation is a list of messages, as in `ChatRequest`: `content` is a text, in which `<|audio|>` is the place of a
recording, or a list of parts. What is learned of it are the assistant's turns, each with the token that ends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.config import PromptSection

PLACE = "<|audio|>"
Message = Mapping[str, Any]


@dataclass(frozen=True)
class Written:
    """Token ids of text; `learned`: the model is to say them."""

    ids: tuple[int, ...]
    learned: bool = False


@dataclass(frozen=True)
class Heard:
    """The place of a recording, with the token ids of its transcript where that is known."""

    transcript: tuple[int, ...] = ()


Segment = Written | Heard


class Prompter:
    """Renders conversations with a tokenizer's chat template; a tokenizer without one gets line by line.

    `ends` are the ids that end a turn.
    """

    def __init__(self, tokenizer: Any, ends: frozenset[int], prompt: PromptSection) -> None:
        self.tokenizer, self.ends, self.prompt = tokenizer, ends, prompt
        self.examples = [turn for text in prompt.examples for turn in self.repetition(f" {text}", text)]
        self.head = self._render(self.examples, reply=False) if self.examples else ""
        self.prefix = self._ids(self.head)

    def repetition(self, heard: str, text: str | None) -> list[Message]:
        """The turns of a transcription: `heard` stands where the recording is; no answer if `text` is None."""
        asked: list[Message] = [{"role": "user", "content": self.prompt.ask.replace(PLACE, heard)}]
        return asked if text is None else [*asked, {"role": "assistant", "content": text}]

    def transcription(self, text: str | None) -> tuple[Segment, ...]:
        """What follows `prefix` when a recording is transcribed, with the transcript to learn if there is one."""
        return self.segments(self.repetition(PLACE, text), [text or ""], after_examples=True)

    def spoken_ids(self, text: str) -> tuple[int, ...]:
        """Token ids of what is said, as they stand inside a sentence: with a space before it."""
        return self._ids(f" {text.strip()}")

    def segments(
        self, messages: Sequence[Message], transcripts: Sequence[str] = (), *, after_examples: bool = False
    ) -> tuple[Segment, ...]:
        """The segments of a conversation, behind `prefix` with `after_examples`. `transcripts` are those of its
        recordings, in order, or none. Raises `BadInput` for a template that gives a turn no end."""
        before = self.examples if after_examples else []
        plain = [*before, *({"role": m["role"], "content": _text(m.get("content"))} for m in messages)]
        reply = not messages or plain[-1]["role"] != "assistant"
        whole = self._render(plain, reply=reply)
        pieces, at = [], len(self.head) if after_examples else 0
        for index in range(len(before), len(plain)):
            if plain[index]["role"] != "assistant":
                continue
            start = len(self._render(plain[:index], reply=True))
            stop = len(self._render(plain[: index + 1], reply=False))
            pieces += [(whole[at:start], False), (whole[start:stop], True)]
            at = stop
        pieces.append((whole[at:], False))
        known = iter(transcripts)
        return tuple(segment for text, learned in pieces for segment in self._split(text, learned, known))

    def _split(self, text: str, learned: bool, transcripts: Any) -> list[Segment]:
        if learned:
            if PLACE in text:
                raise BadInput("A recording stands in a turn of the assistant.", "Put it into one of the user.")
            ids = self._ids(text)
            end = next((place for place, token in enumerate(ids) if token in self.ends), None)
            if end is None:
                raise BadInput(
                    f"The chat template ends the turn {text!r:.80} with none of the LLM's end tokens.",
                    "Choose an instruct model whose template ends turns.",
                )
            rest = ids[end + 1 :]
            return [Written(ids[: end + 1], True), *([Written(rest)] if rest else [])]
        found: list[Segment] = []
        for number, piece in enumerate(text.split(PLACE)):
            if number:
                said = next(transcripts, "")
                found.append(Heard(self.spoken_ids(said) if said else ()))
            if piece:
                found.append(Written(self._ids(piece)))
        return found

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _render(self, messages: Sequence[Message], *, reply: bool) -> str:
        if not messages:
            return ""
        if self.tokenizer.chat_template is None:
            end = self.tokenizer.eos_token or ""
            return "".join(f"{m['content']}{end if m['role'] == 'assistant' else ''}\n" for m in messages)
        rendered: str = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply)
        return rendered


def _text(content: Any) -> str:
    """The text of a message's content, `<|audio|>` in the place of each recording."""
    if isinstance(content, str):
        return content
    try:
        return "".join(PLACE if part["type"] == "audio" else str(part["text"]) for part in content)
    except (KeyError, TypeError):
        raise BadInput(
            f"The content of a message is no text and no list of texts and recordings: {content!r:.80}.",
            'Write its parts as {"type": "text", "text": …} and {"type": "audio", "audio": …}.',
        ) from None


def as_text(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The same conversation with the transcript in place of each recording."""
    return tuple(Written(part.transcript) if isinstance(part, Heard) else part for part in segments)


def check_places(name: str, segments: Sequence[Segment], recordings: int) -> None:
    """Raise `BadInput` unless there is one place per recording."""
    places = sum(isinstance(part, Heard) for part in segments)
    if places != recordings:
        raise BadInput(
            f"{name}: {recordings} recordings, and {places} places {PLACE} for them.",
            f"Put one {PLACE} into the text per recording, or give parts of the type audio.",
        )
