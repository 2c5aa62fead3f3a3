"""Text models and cascades: the shipped SmolLM2, tiny real architectures, and the real chain of three."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioLanguageModel, ChatRequest, SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.chat.cascade import CascadeError, resolve_parts
from speech_eval.assets import store as assets
from speech_eval.audio import Audio, load
from speech_eval.errors import BadInput
from speech_eval.records import ModelInfo

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)


def build(spec: str) -> AudioLanguageModel:
    adapter = modelspec.resolve(spec).build()
    assert isinstance(adapter, AudioLanguageModel)
    return adapter


def say(text: str, seed: int = 0, tokens: int = 16) -> ChatRequest:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return ChatRequest(id=f"{text[:8]}-{seed}", messages=[message], seed=seed, max_new_tokens=tokens)


def speak(audio: Audio) -> ChatRequest:
    return ChatRequest(id="spoken", messages=[{"role": "user", "content": [{"type": "audio", "audio": audio}]}])


@pytest.fixture(scope="module")
def smollm2() -> AudioLanguageModel:
    return build("smollm2")


@pytest.fixture(scope="module")
def clip() -> Audio:
    """'He was not an ill disposed young man', from a LibriVox reading."""
    return load(assets.ensure("librivox-pocketsphinx") / "sense_and_sensibility_01_austen_64kb-0880.wav")


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of the real class with a tokenizer of words and no chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    directory = tmp_path_factory.mktemp("models") / "tiny-llama"
    vocabulary = {"<unk>": 0, "</s>": 1, **{f"w{i}": i for i in range(2, 64)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(directory)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        eos_token_id=1,
        bos_token_id=None,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(directory)
    return directory


# --------------------------------------------------------------------------------------- language models


def test_the_shipped_model_answers_a_question(smollm2: AudioLanguageModel) -> None:
    assert "Paris" in (smollm2.reply([say("What is the capital of France?")])[0].text or "")


def test_answers_do_not_depend_on_the_batch(smollm2: AudioLanguageModel) -> None:
    questions = [say("Say hello.", tokens=8), say("Name three colors, and explain why you like them.", tokens=8)]
    assert smollm2.reply(questions) == [smollm2.reply([question])[0] for question in questions]


def test_earlier_turns_are_heard(smollm2: AudioLanguageModel) -> None:
    def turn(role: str, text: str) -> dict[str, object]:
        return {"role": role, "content": [{"type": "text", "text": text}]}

    messages = [
        turn("user", "My cat is called Tom."),
        turn("assistant", "Tom is a nice name."),
        turn("user", "What is my cat called?"),
    ]
    whole, last = smollm2.reply(
        [ChatRequest(id="chat", messages=part, max_new_tokens=16) for part in (messages, messages[2:])]
    )
    assert "Tom" in (whole.text or "") and "Tom" not in (last.text or "")


def test_a_text_model_refuses_audio(smollm2: AudioLanguageModel, clip: Audio) -> None:
    with pytest.raises(BadInput, match=r"part of type 'audio'.*cascade:"):
        smollm2.reply([speak(clip)])


def test_info_identifies_the_dequantized_weights(smollm2: AudioLanguageModel) -> None:
    info = smollm2.info()
    assert (info.name, info.license, info.parameters) == ("smollm2", "Apache-2.0", 134_515_008)
    assert re.fullmatch("[0-9a-f]{64}", info.weights_sha256)


def test_sampling_depends_on_the_seed_alone(tiny_llama: Path) -> None:
    model = build(f"{tiny_llama},temperature=1.0")
    first, second = (model.reply([say("w3 w4", seed)])[0] for seed in (1, 2))
    torch.manual_seed(99)
    assert [model.reply([say("w3 w4", seed)])[0] for seed in (2, 1)] == [second, first]
    assert first != second


def test_greedy_decoding_ignores_the_seed_and_leaves_other_generators_alone(tiny_llama: Path) -> None:
    model = build(str(tiny_llama))
    state = torch.random.get_rng_state()
    assert model.reply([say("w3 w4", 1)]) == model.reply([say("w3 w4", 2)])
    assert torch.equal(state, torch.random.get_rng_state())


def test_greedy_decoding_is_the_argmax(tiny_llama: Path) -> None:
    reply = build(str(tiny_llama)).reply([say("w3 w4", tokens=4)])[0]
    model = transformers.LlamaForCausalLM.from_pretrained(tiny_llama).eval()
    tokens = [3, 4]
    with torch.inference_mode():
        for _ in range(4):
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    assert reply.text == " ".join(f"w{token}" for token in tokens[2:])


def test_a_conversation_beyond_the_context_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(BadInput, match="120 tokens leave no room for an answer in the 128"):
        build(str(tiny_llama)).reply([say("w5 " * 120)])


@pytest.mark.parametrize("options", ["temperature=-1", "top_p=0", "top_k=-1", "dtype=int4", "heat=1"])
def test_options_that_cannot_be_are_refused(tiny_llama: Path, options: str) -> None:
    with pytest.raises(BadInput):
        build(f"{tiny_llama},{options}")


# ----------------------------------------------------------------------------------------------- cascade


@pytest.mark.slow
def test_a_cascade_answers_speech_with_speech(clip: Audio) -> None:
    spec = "cascade:[faster-whisper-tiny.en,beam_size=2,cpu_threads=1]+smollm2+hibari,max_new_tokens=12"
    model = modelspec.resolve(spec).build()
    assert isinstance(model, AudioLanguageModel)
    reply = model.reply([speak(clip)])[0]
    assert reply.text and reply.audio is not None and reply.audio.seconds > 0.5
    listener = modelspec.resolve("faster-whisper-tiny.en").build()
    assert isinstance(listener, SpeechRecognizer)
    audio = reply.audio.resampled(listener.sample_rate)
    heard = set(re.findall("[a-z]+", listener.transcribe([TranscriptionRequest("reply", lambda: audio)])[0].lower()))
    said = set(re.findall("[a-z]+", reply.text.lower()))
    assert len(heard & said) >= len(said) / 2


@pytest.mark.slow
def test_a_cascade_without_a_synthesizer_hears_and_writes(smollm2: AudioLanguageModel, clip: Audio) -> None:
    cascade = build("cascade:faster-whisper-tiny.en+smollm2,max_new_tokens=12")
    recognizer = modelspec.resolve("faster-whisper-tiny.en").build()
    assert isinstance(recognizer, SpeechRecognizer)
    heard = recognizer.transcribe([TranscriptionRequest("clip", lambda: clip.resampled(16_000))])[0]
    assert cascade.reply([speak(clip)]) == smollm2.reply([say(heard, tokens=12)])


def test_a_cascade_streams_its_text_and_then_its_speech(tiny_llama: Path) -> None:
    cascade = build(f"cascade:faster-whisper-tiny.en+{tiny_llama}+espeak-ng,max_new_tokens=4")
    pieces, (whole,) = list(cascade.reply_stream(say("w5"))), cascade.reply([say("w5")])
    texts = [piece.text for piece in pieces if piece.audio is None]
    assert whole.audio is not None and "".join(map(str, texts)) == whole.text
    sounds = [piece.audio.samples for piece in pieces[len(texts) :] if piece.audio is not None]
    assert len(sounds) == len(pieces) - len(texts) > 0
    assert np.allclose(np.concatenate(sounds), whole.audio.samples, atol=1e-3)


def test_a_cascades_info_names_its_parts(tiny_llama: Path) -> None:
    spec = f"cascade:faster-whisper-tiny.en+[{tiny_llama},dtype=bfloat16],system=[Be brief, please.]"
    resolved = modelspec.resolve(spec)
    info = resolved.describe(resolved.build())
    assert info.name == "whisper-tiny.en+tiny-llama" and info.interfaces == ["AudioLanguageModel"]
    assert info.metadata["system"] == "Be brief, please."
    llm = ModelInfo.model_validate(info.metadata["llm"])
    assert llm.options == {"dtype": "bfloat16"} and llm.weights_sha256
    other = modelspec.resolve(f"cascade:faster-whisper-tiny.en+{tiny_llama}").build().info()
    assert info.weights_sha256 == other.weights_sha256 and info.revision != other.revision


@pytest.mark.slow
def test_a_system_prompt_reaches_the_model(smollm2: AudioLanguageModel) -> None:
    cascade = build("cascade:faster-whisper-tiny.en+smollm2,system=You are Captain Nemo of the Nautilus.")
    question = say("Who are you?")
    assert "Nemo" in (cascade.reply([question])[0].text or "")
    assert "Nemo" not in (smollm2.reply([question])[0].text or "")


def test_a_part_that_fails_is_named(tiny_llama: Path, clip: Audio) -> None:
    cascade = build(f"cascade:faster-whisper-tiny.en+{tiny_llama}")
    with pytest.raises(CascadeError, match=r"The LLM '.*tiny-llama' of the cascade failed: .*leave no room"):
        cascade.reply([say("w5 " * 120)])
    with pytest.raises(CascadeError, match=r"The ASR 'faster-whisper-tiny\.en' of the cascade failed"):
        build(f"cascade:faster-whisper-tiny.en+{tiny_llama},language=fr").reply([speak(clip)])


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ("whisper-base", "does not name two or three models"),
        ("a+b+c+d", "does not name two or three models"),
        ("a++b", "does not name two or three models"),
        ("[a+b", "do not match"),
        ("a]+b", "do not match"),
        ("[whisper-base,x]+b", "is not key=value"),
    ],
)
def test_parts_out_of_shape_are_refused(parts: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        resolve_parts(parts)


def test_options_of_a_part_stand_in_brackets() -> None:
    parts = resolve_parts("[whisper-base,num_beams=5,dtype=float16]+openai:http://h/v1#m+[kokoro,voice=a+b]")
    assert parts["asr"].spec.options == {"num_beams": 5, "dtype": "float16"}
    assert parts["llm"].keywords == {"url": "http://h/v1", "model": "m"}
    assert parts["tts"].keywords == {"voice": "a+b"}


def test_parts_in_the_wrong_order_are_named(tiny_llama: Path) -> None:
    with pytest.raises(BadInput, match=r"The ASR '.*tiny-llama' of the cascade is not a SpeechRecognizer"):
        build(f"cascade:{tiny_llama}+faster-whisper-tiny.en")


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(BadInput, match=r"The ASR 'wisper-base' of the cascade: No model is named 'wisper-base'"):
        build("cascade:wisper-base+smollm2")
