"""The audio language models of transformers that share one idiom, and how each differs in asking and reading."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from speech_eval.adapters.chat import granite_features, speech_processor
from speech_eval.adapters.checkpoints import SPEECH_LORA
from speech_eval.adapters.codec.higgs import need_torchaudio
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, require
from speech_eval.text import primary_language

Inputs = Mapping[str, Any]
Conversation = list[dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """Speech to transcribe: audio at the processor's rate, its language tag, and the user's own prompt."""

    audio: Audio
    language: str
    prompt: str | None


@dataclass(frozen=True)
class Family:
    """One `model_type`. `model_class` is its class in transformers.

    `transcription` writes the request for a transcript and `read` reads the answer; `converse` writes a conversation.
    `seconds` is the longest audio that the processor takes whole, `recordings` how many one conversation may hold.
    `prepare` loads the processor, `check` raises `BadInput` for a checkpoint that would run badly, and `finish` adds to
    the loaded model what it hears with.
    """

    model_class: str
    transcription: Callable[[Any, Question], Inputs]
    read: Callable[[Any, Any], str] | None = None
    converse: Callable[[Any, Conversation], Inputs] | None = None
    seconds: Callable[[Any], float] = lambda processor: inf
    recordings: float = inf
    prepare: Callable[[Path], Any] | None = None
    check: Callable[[Path, Mapping[str, Any]], None] = lambda directory, config: None
    finish: Callable[[Any, Path], None] = lambda model, directory: None


# ---------------------------------------------------------------------------------------------- asking


def converse(processor: Any, conversation: Conversation) -> Inputs:
    """The conversation through the checkpoint's own chat template, with the audio as samples."""
    messages = [
        {
            "role": message["role"],
            "content": [
                {"type": "audio", "audio": part["audio"].samples} if part["type"] == "audio" else part
                for part in message["content"]
            ],
        }
        for message in conversation
    ]
    return dict(
        processor.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
    )


def instruct(
    instruction: str, write: Callable[[Any, Conversation], Inputs] = converse
) -> Callable[[Any, Question], Inputs]:
    """A user turn of the audio and then an instruction."""

    def ask(processor: Any, question: Question) -> Inputs:
        said = {"type": "text", "text": question.prompt or instruction}
        turn = {"role": "user", "content": [{"type": "audio", "audio": question.audio}, said]}
        return write(processor, [turn])

    return ask


def request(language: str = "", **fixed: Any) -> Callable[[Any, Question], Inputs]:
    """The processor's own transcription request, told the language by the keyword `language` where it has one. The
    user's prompt goes in its place: an instruction to some families, context to others."""

    def ask(processor: Any, question: Question) -> Inputs:
        told = dict(fixed)
        code = primary_language(question.language)
        if language and code != "und":
            told[language] = code
        if question.prompt is not None:
            told["prompt"] = question.prompt
        return dict(processor.apply_transcription_request(question.audio.samples, return_tensors="pt", **told))

    return ask


# ---------------------------------------------------------------------------------------------- reading


def stripped(processor: Any, ids: Any) -> str:
    """Without the sentence that frames a transcript."""
    return str(processor.decode(ids[None], skip_special_tokens=True, strip_prefix=True)[0])


def transcript(processor: Any, ids: Any) -> str:
    """The words of an answer that carries more than words."""
    return str(processor.decode(ids, return_format="transcription_only"))


# ---------------------------------------------------------------------------------------------- Voxtral


def _mistral(processor: Any, conversation: Conversation) -> Inputs:
    """Through mistral-common, which takes audio as encoded bytes and no system message beside audio: its text leads
    the first turn of the user."""
    system = [part for message in conversation if message["role"] == "system" for part in message["content"]]
    turns = [message for message in conversation if message["role"] != "system"]
    messages = [
        {"role": turn["role"], "content": [_chunk(part) for part in ([*system] if i == 0 else []) + turn["content"]]}
        for i, turn in enumerate(turns)
    ]
    return dict(processor.apply_chat_template([messages]))


def _chunk(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "audio", "base64": _wav(part["audio"])} if part["type"] == "audio" else dict(part)


def _wav(audio: Audio) -> str:
    buffer = io.BytesIO()
    require("soundfile", "audio-chat").write(buffer, audio.samples, audio.rate, format="WAV", subtype="FLOAT")
    return base64.b64encode(buffer.getvalue()).decode()


def _voxtral(processor: Any, question: Question) -> Inputs:
    if question.prompt is not None:
        return instruct(question.prompt, _mistral)(processor, question)
    told = request("language", model_id="voxtral", format="wav", sampling_rate=question.audio.rate)
    return told(processor, question)


def _voxtral_processor(directory: Path) -> Any:
    require("mistral_common", "audio-chat", "mistral-common")
    return load_part("AutoProcessor", directory)


# ---------------------------------------------------------------------------------------------- Granite


def _granite_adapter(directory: Path, config: Mapping[str, Any]) -> None:
    """transformers only warns where the adapter that hears is not loaded, and the model then transcribes badly."""
    if not config.get("has_lora_adapter"):
        return
    require("peft", "audio-chat")
    if not (directory / "adapter_config.json").is_file():
        raise BadInput(
            f"{directory}: the config names a LoRA adapter, and adapter_config.json is missing.",
            "Copy the checkpoint again, complete.",
        )


# ---------------------------------------------------------------------------------------------- others


def _funasr_processor(directory: Path) -> Any:
    need_torchaudio("funasr")
    return load_part("AutoProcessor", directory)


def _phi4_adapter(model: Any, directory: Path) -> None:
    """The LoRA adapter for speech, which is published in a folder of its own."""
    adapter = directory / SPEECH_LORA
    if adapter.is_dir():
        require("peft", "audio-chat")
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if not (adapter / name).is_file():
                raise BadInput(f"{adapter / name}: this file is missing.", "Copy the checkpoint again, complete.")
        model.load_adapter(str(adapter), adapter_name="speech")
        model.set_adapter("speech")


# ---------------------------------------------------------------------------------------------- the table


def _chunk_seconds(processor: Any) -> float:
    return float(processor.feature_extractor.chunk_length)


def _whole_chunks(processor: Any) -> float:
    chunk = _chunk_seconds(processor)
    return chunk * (processor.max_audio_len // chunk)


_QWEN3_OMNI = Family(  # its thinker, which writes; a whole checkpoint holds a talker too
    "Qwen3OmniMoeThinkerForConditionalGeneration",
    instruct("Transcribe the audio into text."),
    prepare=speech_processor.qwen3_omni,
)

FAMILIES: Mapping[str, Family] = {
    "qwen2_audio": Family(
        "Qwen2AudioForConditionalGeneration",
        instruct("Transcribe the speech word by word. Answer with nothing but the transcript."),
        seconds=_chunk_seconds,
    ),
    "audioflamingo3": Family(
        "AudioFlamingo3ForConditionalGeneration",
        request(),
        stripped,
        seconds=_whole_chunks,
        recordings=1,
    ),
    "musicflamingo": Family(
        "MusicFlamingoForConditionalGeneration",
        instruct("Transcribe the input speech."),
        seconds=_whole_chunks,
        recordings=1,
    ),
    "granite_speech": Family(
        "GraniteSpeechForConditionalGeneration",
        instruct("can you transcribe the speech into a written format?"),
        prepare=granite_features.load_processor,
        check=_granite_adapter,
    ),
    "voxtral": Family(
        "VoxtralForConditionalGeneration",
        _voxtral,
        converse=_mistral,
        prepare=_voxtral_processor,
    ),
    "vibevoice_asr": Family("VibeVoiceAsrForConditionalGeneration", request(), transcript),
    "qwen3_asr": Family("Qwen3ASRForConditionalGeneration", request("language"), transcript, recordings=1),
    "glmasr": Family("GlmAsrForConditionalGeneration", request(), stripped, seconds=_whole_chunks, recordings=1),
    "fun_asr_nano": Family(
        "FunAsrNanoForConditionalGeneration", request("language"), stripped, recordings=1, prepare=_funasr_processor
    ),
    "phi4_multimodal": Family(
        "Phi4MultimodalForCausalLM",
        instruct("Transcribe the audio clip into text."),
        prepare=speech_processor.phi4_multimodal,
        finish=_phi4_adapter,
    ),
    "qwen3_omni_moe": _QWEN3_OMNI,
    "qwen3_omni_moe_thinker": _QWEN3_OMNI,
}


def collapsed(ids: Sequence[int], audio: int) -> list[int]:
    """Ids with every run of audio tokens written once."""
    return [token for i, token in enumerate(ids) if not (token == audio and i and ids[i - 1] == audio)]
