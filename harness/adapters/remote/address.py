"""Where a server is and what goes with every request: its address, the query of it, headers, and the key.

A key never stands in a model spec: it is read from an environment variable when a request is sent, it is neither kept
nor stored, and it is removed from messages.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from speech_eval.errors import BadInput, ModelUnavailable
from speech_eval.safety.redaction import credentials_in, names_credential, redact
from speech_eval.text.files import parse_json

_VARIABLE = re.compile(r"\$([A-Z_][A-Z0-9_]*)")
_LONGEST_MESSAGE = 300  # characters


class BadKey(BadInput, ModelUnavailable):
    """An environment variable does not hold a key."""


class Address:
    """A server's base URL, such as `http://127.0.0.1:8000/v1`, and the headers of a request.

    `url` is shown in messages and has no query; `query` goes with every request (Azure: `?api-version=…`). User names,
    passwords and queries that name a credential are refused. `headers` are a JSON object; a value `$NAME` is read from
    the environment, which a header that names a credential must be. `api_key_env` names the variable of the bearer
    token; unset means that no token is sent.
    """

    def __init__(self, url: object, schemes: tuple[str, ...], api_key_env: object, headers: object) -> None:
        self.url, self.query = _split(str(url), schemes)
        # The value is not repeated: someone may have put the key itself here.
        if not _VARIABLE.fullmatch(f"${api_key_env}"):
            raise BadInput("api_key_env is not the name of an environment variable.", "Put the key in one, name it.")
        self.api_key_env = str(api_key_env)
        self._secrets: list[str] = []  # that are part of the spec
        self._headers = {str(name): _header(name, value) for name, value in json_object("headers", headers).items()}

    def headers(self) -> dict[str, str]:
        """The headers of one request. Raises `BadKey` for a variable that holds none."""
        found = {name: self._value(value) for name, value in self._headers.items()}
        key = self._variable(self.api_key_env)
        if key and not any(names_credential(name) for name in found):
            found["Authorization"] = f"Bearer {key}"
        return found

    def hide(self, value: Any) -> None:
        """Keep the credentials in a value of the spec out of messages, too."""
        self._secrets += credentials_in(value)

    def safe(self, text: str) -> str:
        """One line of at most 300 characters without the keys or anything that looks like one."""
        secrets = [*self._secrets, *(os.environ.get(name, "").strip() for name in self._variables())]
        encoded = [base64.b64encode(secret.encode()).decode().rstrip("=") for secret in secrets]
        quoted = [quote(secret, safe="") for secret in secrets]
        return " ".join(redact(text, *secrets, *encoded, *quoted).split())[:_LONGEST_MESSAGE]

    def _variables(self) -> list[str]:
        return [self.api_key_env, *(name for value in self._headers.values() for name in _VARIABLE.findall(value))]

    def _value(self, value: str) -> str:
        if unset := [name for name in _VARIABLE.findall(value) if not self._variable(name)]:
            raise BadKey(f"A header is read from ${unset[0]}, which is not set.", "Set it, or leave the header out.")
        return _VARIABLE.sub(lambda found: self._variable(found[1]), value)

    def _variable(self, name: str) -> str:
        key = os.environ.get(name, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise BadKey(f"${name} holds characters that no key has.", "Set it to the key and nothing else.")
        return key


def json_object(name: str, value: object) -> dict[str, Any]:
    """The JSON object that an option holds, empty where it is not given."""
    if value in (None, ""):
        return {}
    try:
        parsed = value if isinstance(value, Mapping) else parse_json(str(value))
    except ValueError:
        parsed = None
    if not isinstance(parsed, Mapping):
        raise BadInput(f"{name} is not a JSON object.", f'Write {name}=[{{"name": "value"}}], in brackets.')
    return dict(parsed)


def _split(url: str, schemes: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        article = "a" if "ws" in schemes else "an"
        example = "realtime:ws://127.0.0.1:8000/v1/realtime" if "ws" in schemes else "openai:http://127.0.0.1:8000/v1"
        raise BadInput(f"The server's URL is not {article} {schemes[0]} address.", f"Write {example}#MODEL.")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.username or parts.password or any(map(names_credential, query)):
        raise BadInput(
            f"The URL of {parts.hostname} carries a user name, a password or a key.",
            "Put the key in an environment variable and name it: api_key_env=NAME.",
        )
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), query


def _header(name: object, value: object) -> str:
    text = str(value)
    if names_credential(name) and not _VARIABLE.search(text):
        raise BadInput(
            f"The header {name} holds a key, which does not belong in a model spec.",
            f'Put it in an environment variable: headers=[{{"{name}": "$NAME"}}].',
        )
    if not (text.isascii() and text.isprintable()):
        raise BadInput(f"The header {name} holds characters that headers do not allow.", "Use ASCII.")
    return text
