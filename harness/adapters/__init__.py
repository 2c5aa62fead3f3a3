"""Adapters: one module a model family, each behind the interfaces of `harness.adapters.base`."""
