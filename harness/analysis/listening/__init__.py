"""Listening tests: what is asked, in which order, and what the answers say."""
