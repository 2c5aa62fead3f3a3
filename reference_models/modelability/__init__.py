"""How well a small language model learns a codec's codes: the model that the task `codec-modelability` trains."""
