"""No credential passes the redactor, wherever it is written, and what is not one passes unchanged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_eval.adapters.spec import parse
from speech_eval.adapters.spec import redact as redact_spec
from speech_eval.safety.redaction import credentials_in, names_credential, redact, redacted

# What a credential may be made of; long enough not to occur in a template by chance.
SECRET = st.text("abcdefXYZ0123456789-_.~+/", min_size=8, max_size=40).map(lambda text: f"Zq{text}9")
NAMES = [
    "key", "api_key", "api-key", "apiKey", "token", "access_token", "authToken", "password", "db_password", "passwd",
    "secret", "client_secret", "credential", "credentials", "cookie", "signature", "sig", "auth", "authorization",
    "passphrase", "X-Amz-Signature", "X-Amz-Credential", "jwt", "pwd",
]  # fmt: skip
EVERYWHERE = [
    "http://user:{}@host:8000/v1?x=1",
    "https://bucket.example/a.wav?X-Amz-Signature={}&X-Amz-Date=1",
    "https://account.blob.example/a?sv=2024&{}",
    "Client error '401' for url 'https://host/v1?sig={}'",
    "Authorization: Bearer {}",
    "Authorization: Basic {}",
    "authorization: Digest username=u, response={}",
    "sent Bearer {} to the server",
    "Cookie: session={}; other=1",
    "Set-Cookie: session={}; Path=/",
    "curl -H 'Authorization: Bearer {}' https://host",
    'Headers({{"authorization": "Bearer {}", "accept": "*/*"}})',
    "{{'cookie': 'session={}', 'host': 'x'}}",
    "proxy http://me:{}@proxy.example:3128 refused",
]


@pytest.mark.parametrize("template", EVERYWHERE)
@given(secret=SECRET)
def test_a_credential_is_removed_wherever_it_is_written(template: str, secret: str) -> None:
    assert secret not in redact(template.format(secret))


@given(SECRET)
def test_a_user_name_alone_may_be_a_credential(secret: str) -> None:
    name = secret.replace("/", "")  # of `a/b@c`, `a` is a host
    assert name not in redact(f"openai:http://{name}@host/v1#model")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "template", ["m,{}={}", "cascade:[a,{}={}]+b", "m,{}=[{}],voice=x", "called with {}='{}'", "https://h/x?{}={}&b=1"]
)
@given(secret=SECRET)
def test_the_value_of_an_option_that_names_a_credential_is_removed(template: str, name: str, secret: str) -> None:
    assert secret not in redact(template.format(name, secret))


@pytest.mark.parametrize("name", NAMES)
@given(secret=st.text(min_size=8).map(lambda text: f"Zq{text}9"))
def test_the_value_of_a_field_is_removed_from_json(name: str, secret: str) -> None:
    text = json.dumps({"a": 1, name: secret, "b": "kept"})
    assert json.dumps(secret)[1:-1] not in redact(text) and '"b": "kept"' in redact(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_credential_of_several_words_is_removed_from_a_spec(name: str) -> None:
    if name.isidentifier():
        spec = parse(f"openai:http://h/v1#m,{name}=two words here,voice=alloy")
        assert spec.redacted == f"openai:http://h/v1#m,{name}=***,voice=alloy" and "words" not in spec.slug
        assert spec.secrets == ("two words here",)


@given(SECRET)
def test_a_known_credential_is_removed_from_any_text(secret: str) -> None:
    assert secret not in redact(f"the server said {secret}{secret}!", secret)


@pytest.mark.parametrize(
    "key",
    ["sk-proj-abcdef0123456789", "hf_abcdefghijklmnop", "ghp_0123456789abcdefghij", "AKIAIOSFODNN7EXAMPLE"],
)
def test_keys_of_known_forms_are_removed(key: str) -> None:
    assert key not in redact(f"Incorrect API key provided: {key}.")


HARMLESS = [
    "openai:http://127.0.0.1:8000/v1#model@2,voice=alloy,api_key_env=MY_KEY",
    "openai:http://[::1]:8000/v1#m@2",
    "hf:openai/whisper-large-v3@main,max_new_tokens=256",
    "cascade:[whisper-base,num_beams=5]+smollm2+kokoro,system=[How are you? Fine, thanks.]",
    "KeyError: 'text'",
    "RuntimeError: missing key: encoder.weight",
    "/home/me/data/a.wav: the audio holds NaN or infinity.",
    "someone@example.com",
    "Basic information about 3 samples",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_credential_stays(text: str) -> None:
    assert redact(text) == text == redact_spec(text)


def test_the_placeholder_of_messages_stays() -> None:
    assert redact("Model option 'x' is not key=value.") == "Model option 'x' is not key=value."


@pytest.mark.parametrize("template", [*EVERYWHERE, *HARMLESS])
def test_redacting_twice_changes_nothing(template: str) -> None:
    once = redact(template.replace("{}", "Zq12345678"))
    assert redact(once) == once


@given(st.text(st.sampled_from(":/@?#=[]{}'\",; \nakeytokenbearer"), max_size=200))
def test_every_text_is_redacted_in_time(text: str) -> None:
    assert isinstance(redact(text * 20), str)


def test_plain_data_is_redacted_at_every_depth() -> None:
    data = {"url": "http://u:p@h/x", "deep": [{"api_key": "abc", "token": None, "n": 1}], "voice": "alloy"}
    assert redacted(data) == {
        "url": "http://h/x",
        "deep": [{"api_key": "***", "token": None, "n": 1}],
        "voice": "alloy",
    }


def test_the_name_of_a_variable_is_no_credential() -> None:
    assert names_credential("api_key") and not names_credential("api_key_env") and not names_credential("max_tokens")


@pytest.mark.parametrize("value", [{"user": "{}", "n": 1}, ["x", "{}"], {"a": {"b": ["{}", 2]}}, [{"a": "{}"}]])
@pytest.mark.parametrize("name", ["credentials", "auth", "api_keys", "access_tokens", "passwords", "oauth"])
@given(secret=SECRET)
def test_a_credential_of_several_values_is_removed_from_json(value: object, name: str, secret: str) -> None:
    text = json.dumps({"a": 1, name: value, "b": "kept"}).replace("{}", secret)
    for written in (text, json.dumps(text), repr(json.dumps(text))):
        assert secret not in redact(written) and "kept" in redact(written)


def test_credentials_are_found_at_every_depth() -> None:
    data = {
        "extra": '{"a": {"token": "t1", "n": 5}, "api_keys": ["k1", "k2"]}',
        "auth": {"x": [7, None, True]},
        "v": "v",
    }
    assert credentials_in(data) == ["t1", "k1", "k2", "7"]
