"""Metrics. Each id names its protocol, such as `wer[seed-tts-eval@2024-06]`."""
