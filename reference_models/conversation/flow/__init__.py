"""A detokenizer by flow matching: codes → mel spectrogram → waveform, whole or block by block."""
