"""Thinker and Talker: a text LLM that is never trained, and a small transformer that speaks what it writes."""
