"""Codec metrics: what a decoded waveform lost against the recording it was made from, and what its codes cost."""
