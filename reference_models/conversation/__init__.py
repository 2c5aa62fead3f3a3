"""The conversation stack: a duplex model over two channels, and the models that speak for a text LLM."""
