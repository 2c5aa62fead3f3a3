"""A duplex model: it listens to the user and speaks at once, frame by frame (Moshi)."""
