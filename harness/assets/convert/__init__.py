"""Conversions of bundled weights to plain transformers directories, made once and kept in the cache."""
