"""Bundled weights and recordings: where they come from, fetching, checking and converting them."""
