"""`openai:URL#MODEL`: models behind an OpenAI-compatible HTTP server: transcription, speech, and chat with audio.

`OpenAIEndpoint` offers all three; the option `kind=transcription`, `kind=speech` or `kind=chat` gives an adapter with
that interface only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from speech_eval.adapters.catalog import Target
from speech_eval.adapters.options import choice
from speech_eval.adapters.remote.chat import OpenAIChat
from speech_eval.adapters.remote.endpoint import Endpoint
from speech_eval.adapters.remote.speech import OpenAISpeech
from speech_eval.adapters.remote.transcription import OpenAITranscription


class OpenAIEndpoint(OpenAITranscription, OpenAISpeech, OpenAIChat):
    """All three interfaces on one server, with the options of all."""


_KINDS: Mapping[str, type[Endpoint]] = {
    "auto": OpenAIEndpoint,
    "transcription": OpenAITranscription,
    "speech": OpenAISpeech,
    "chat": OpenAIChat,
}


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`openai:URL#MODEL`; the option `kind` narrows the interfaces."""
    url, _, model = rest.partition("#")
    kind = choice("kind", options.pop("kind", "auto"), tuple(_KINDS))
    return _KINDS[kind], {"url": url, "model": model, **options}
