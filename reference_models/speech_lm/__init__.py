"""Language models over codec codes: layouts, tokenizer, sampling, codec streams, reinforcement learning. No stack."""
