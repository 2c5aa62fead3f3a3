"""Text to speech with a language model over codec codes."""
