"""The catalog entries of this project's own models: what its recipes train, what it ships, and published speech LMs.

The harness finds them through the entry point group `speech_eval.models`, as those of any other package. Imports no
adapter.
"""

from __future__ import annotations

from speech_eval.adapters.entry import AGENT, CHAT, CODEC, RECOGNIZER, SYNTHESIZER, Entry
from speech_eval.reference_models import CHECKPOINTS

_CODEC, _TTS = "speech_eval.reference_models.codec.adapter", "speech_eval.reference_models.tts.adapter"
_WITH_CODEC = "hf:ORG/REPO or DIR, then ,codec=[CODEC,path=DIR] for another codec than the published one"

ENTRIES = (
    Entry(
        "reference-codec",
        f"{_CODEC}:ReferenceCodec",
        CODEC,
        "A codec that a recipe of this project trained",
        "this project",
        extra="codec",
        usage="DIR",
        reference_kind="codec",
    ),
    Entry(
        "dac-16k-2k",
        f"{_CODEC}:ReferenceCodec",
        CODEC,
        "16 kHz, 4 codebooks of 1024 at 50 Hz, 2 kbit/s",
        "this project, bundled",
        extra="codec",
        arguments={"path": str(CHECKPOINTS / "dac-16k-2k")},
    ),
    Entry(
        "reference-tts",
        f"{_TTS}:ReferenceTTS",
        SYNTHESIZER,
        "A speech LM that a recipe of this project trained",
        "this project",
        extra="tts",
        usage="DIR",
        reference_kind="tts",
    ),
    Entry(
        "llasa-3m-en",
        f"{_TTS}:ReferenceTTS",
        SYNTHESIZER,
        "A Llama of 3.5 M parameters, one English voice, 16 kHz",
        "this project, bundled",
        extra="tts",
        arguments={"path": str(CHECKPOINTS / "llasa-3m-en"), "temperature": 0.7, "top_p": 0.9},
    ),
    Entry(
        "reference-duplex",
        "speech_eval.reference_models.conversation.adapter:ReferenceDuplex",
        AGENT,
        "A duplex model that a recipe of this project trained",
        "this project",
        extra="tts",
        usage="DIR",
        reference_kind="duplex",
    ),
    Entry(
        "reference-audio-llm",
        "speech_eval.reference_models.audio_llm.adapter:ReferenceAudioLLM",
        (*RECOGNIZER, *CHAT),
        "An audio LLM that a recipe of this project trained",
        "this project",
        extra="audio-chat",
        usage="DIR",
        reference_kind="audio-llm",
    ),
    Entry(
        "listen-135m",
        "speech_eval.reference_models.audio_llm.adapter:ReferenceAudioLLM",
        (*RECOGNIZER, *CHAT),
        "Whisper base and SmolLM2-135M, joined by 2.7 M parameters, English",
        "this project, bundled",
        extra="audio-chat",
        arguments={"path": str(CHECKPOINTS / "listen-135m")},
    ),
    Entry(
        "llasa",
        f"{_TTS}:Llasa",
        SYNTHESIZER,
        "LLaSA with XCodec2",
        "HKUST",
        extra="tts",
        usage=_WITH_CODEC,
        refines="causal-lm",
        speech_token="<|s_0|>",
    ),
    Entry(
        "orpheus",
        f"{_TTS}:Orpheus",
        SYNTHESIZER,
        "Orpheus with SNAC at 24 kHz",
        "Canopy Labs",
        extra="tts",
        usage=_WITH_CODEC,
        refines="causal-lm",
        speech_token="<custom_token_0>",
        vocabulary=range(156_938, 157_000),
    ),
    Entry(
        "neutts",
        f"{_TTS}:NeuTTS",
        SYNTHESIZER,
        "NeuTTS with NeuCodec",
        "Neuphonic",
        extra="tts",
        usage=_WITH_CODEC,
        refines="causal-lm",
        speech_token="<|speech_0|>",
    ),
    Entry(
        "outetts",
        f"{_TTS}:OuteTTS",
        SYNTHESIZER,
        "OuteTTS 1.0 with the Descript Audio Codec",
        "OuteAI",
        extra="tts",
        usage="hf:ORG/REPO,codec=[dac,path=DIR,n_codebooks=2] or DIR,codec=…",
        refines="causal-lm",
        speech_token="<|c1_0|>",
    ),
)
