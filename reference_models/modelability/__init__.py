"""How well a small language model can learn a codec's codes: what the task `codec-modelability` trains and asks."""
