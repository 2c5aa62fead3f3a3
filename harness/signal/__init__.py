"""Signal processing shared by metrics and agents: acoustic features, voice activity, the timeout rule."""
