"""Reference stacks (codec, TTS, audio LLM, conversation) that are trained and evaluated by the same harness."""

from pathlib import Path

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"  # trained by this project, shipped with it
