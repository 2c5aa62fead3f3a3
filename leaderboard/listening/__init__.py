"""Listening tests as folders: sounds, page, and a local server that takes answers."""
