"""Reference stacks (codec, TTS, audio LLM, conversation) that are trained and evaluated by the same harness."""
