"""The audio-LLM stack: a speech encoder and a text language model, joined by a small network that is trained."""
