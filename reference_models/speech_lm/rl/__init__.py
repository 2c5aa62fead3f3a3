"""Reinforcement learning of speech language models from rewards on what they say: GRPO and DPO."""
