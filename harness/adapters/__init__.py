"""Adapters: one module a model family, each behind the interfaces of `speech_eval.adapters.base`."""
