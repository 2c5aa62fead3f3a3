"""Metrics: pure functions of one sample and its output, each with its protocol in its id."""
