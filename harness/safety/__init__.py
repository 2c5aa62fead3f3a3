"""Protection from what strangers hand over: credentials in texts, and code of models that the harness does not know."""
