"""The catalog entries of this project's own models: what its recipes train, what it ships, and published speech LMs.

The harness finds them through the entry point group `speech_eval.models`, as those of any other package. Imports no
adapter.
"""

from __future__ import annotations

from speech_eval.adapters.entry import AGENT, CHAT, CODEC, RECOGNIZER, SYNTHESIZER, Entry
from speech_eval.reference_models import CHECKPOINTS

_CODEC, _TTS = "speech_eval.reference_models.codec.adapter", "speech_eval.reference_models.tts.adapter"
_CONVERSATION = "speech_eval.reference_models.conversation"
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
        "voice-16k",
        f"{_CODEC}:ReferenceCodec",
        CODEC,
        "16 kHz, 1 codebook of 1000 at 50 Hz, 0.5 kbit/s, of one English voice",
        "this project, bundled",
        extra="codec",
        arguments={"path": str(CHECKPOINTS / "llasa-3m-en" / "codec")},
    ),
    Entry(
        "reference-flow",
        f"{_CONVERSATION}.flow.adapter:FlowCodec",
        CODEC,
        "A detokenizer by flow matching that a recipe of this project trained",
        "this project",
        extra="codec",
        usage="DIR",
        reference_kind="flow",
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
        "reference-talker",
        f"{_CONVERSATION}.talker.adapter:TalkerVoice",
        SYNTHESIZER,
        "A Talker that a recipe of this project trained, speaking texts",
        "this project",
        extra="tts",
        usage="DIR",
        reference_kind="talker",
    ),
    Entry(
        "thinker-talker",
        f"{_CONVERSATION}.talker.adapter:ThinkerTalker",
        CHAT,
        "A text LLM and a Talker of this project, which speaks while the LLM writes",
        "this project",
        extra="tts",
        usage="{name},path=DIR",
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
        "speech_eval.reference_models.conversation.duplex.adapter:ReferenceDuplex",
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
