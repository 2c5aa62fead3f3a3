"""Credentials removed from texts that are stored or shown: model specs, options, manifests, errors, pages, messages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

# Names whose value is a credential, at the end of the name: `api_key`, `X-Amz-Signature`, `authToken`.
_WORDS = (
    r"(?:[\w.-]*(?:key|token|passw(?:or)?ds?|passphrase|secrets?|credentials?|cookies?|signature|bearer)"
    r"|(?:[\w.-]*[_.-])?(?:o?auth|authorization|pwd|pass|sig|jwt)"
    r"|[\w.-]*(?:api|access|secret|private|auth)[_-]?(?:keys|tokens))"
)
_NAME = rf"(?<![\w.-]){_WORDS}"
_QUOTED = r"(?P<quote>[\"'])(?:[^\"'\\]|\\.|(?!(?P=quote))[\"'])*(?P=quote)?"
# In the grammar of specs, brackets enclose a value and nest; three levels are more than a credential needs.
_BRACKETED = r"\[(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*\]?"
_BRACED = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}?"
# JSON inside a text of JSON or of Python has a backslash before each quote.
_ESCAPED = r"\\+[\"'](?:(?!\\+[\"']).)*\\+[\"']"
# A user name may come alone, and a password may hold a slash; digits after the host's colon are a port.
_USER = re.compile(
    r"(?P<slashes>:/{2,})(?![^\s@/:]{0,255}:\d+(?:[/?#,\]]|$))"
    r"(?:[^\s/?#,\]\"'<>]{1,999}@|[^\s/@:,#?\[\]]{0,99}:[^\s@]{0,999}@|@)"
)
_QUERY = re.compile(r"(?P<address>://[^\s?#,\"'<>\]]{0,999})\?[^\s#,\"'<>\]]*")
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|\b(?:set-)?cookie)(?P<between>[\"']?\s*:\s*)" rf"(?:{_QUOTED}|[^\r\n]+)",
    re.IGNORECASE,
)
# `key=value` is how messages name an option.
_OPTION = re.compile(
    rf"(?P<name>{_NAME})(?P<between>[\"']?\s*=\s*)(?!value\b)(?:{_BRACKETED}|{_QUOTED}|[^,\]\[\s&;\"']+)", re.IGNORECASE
)
_SPEC_OPTION = re.compile(rf"(?P<name>{_NAME})(?P<between>\s*=)(?:{_BRACKETED}|[^,\]]+)", re.IGNORECASE)
_COMPOUND = r"\b[\w-]*(?:(?:api|access|secret|private|auth)[_-]?(?:key|token)|password|passphrase|secret)"
_FIELD = re.compile(
    rf"(?P<name>[\"']{_WORDS}\\*[\"']|{_COMPOUND})(?P<between>\s*:\s*)"
    rf"(?:{_QUOTED}|{_ESCAPED}|{_BRACKETED}|{_BRACED}|[^,}}\s]+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<name>\b[Bb][Ee][Aa][Rr][Ee][Rr])(?P<between>\s+)[^\s,\"'\]]+")
_BASIC = re.compile(r"(?P<name>\b[Bb]asic)(?P<between>\s+)(?=\S*(?:[\d=+/]|[a-z][A-Z]))[A-Za-z0-9+/=]{8,}")
# Forms of keys that are recognized wherever they occur.
_KNOWN = re.compile(
    r"\bsk-[\w*.-]{3,}|\bhf_[A-Za-z0-9]{8,}|\bgh[pousr]_\w{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\bxox[a-z]-[\w-]{8,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
)


def redact(text: str, *known: str) -> str:
    """`text` without credentials; what is not one stays as it is.

    Removed are user names, passwords and queries of addresses; values of options, fields and headers whose name is that
    of a credential; bearer tokens; keys of well-known forms; and the `known` credentials themselves.
    """
    for secret in sorted(filter(None, known), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _USER.sub(lambda found: found["slashes"], text)
    text = _QUERY.sub(lambda found: found["address"], text)
    for pattern in (_HEADER, _OPTION, _FIELD, _BEARER, _BASIC):
        text = pattern.sub(_hidden, text)
    return _KNOWN.sub(HIDDEN, text)


def redact_spec(text: str) -> str:
    """`redact` for a model spec, in which the value of an option ends at a comma or bracket, not at a space."""
    return redact(_SPEC_OPTION.sub(_hidden, text))


def _hidden(found: re.Match[str]) -> str:
    quote = found.groupdict().get("quote") or ""
    return f"{found['name']}{found['between']}{quote}{HIDDEN}{quote}"


def redacted(value: Any) -> Any:
    """Plain data with `redact` applied to every text in it, and without the values of credentials in mappings."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: HIDDEN if names_credential(key) and value_ else redacted(value_) for key, value_ in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value


def credentials_in(value: Any) -> list[str]:
    """Every text and number that stands below the name of a credential in plain data, or in texts of JSON within."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    if isinstance(value, Mapping):
        return [
            text
            for name, item in value.items()
            for text in (_texts_in(item) if names_credential(name) else credentials_in(item))
        ]
    return [text for item in value for text in credentials_in(item)] if isinstance(value, list | tuple) else []


def _texts_in(value: Any) -> list[str]:
    if isinstance(value, Mapping | list | tuple):
        return [text for item in (value.values() if isinstance(value, Mapping) else value) for text in _texts_in(item)]
    return [] if value in (None, "") or isinstance(value, bool) else [str(value)]


def names_credential(name: object) -> bool:
    """Whether an option or field of this name holds a credential."""
    return re.fullmatch(_NAME, str(name), re.IGNORECASE) is not None
