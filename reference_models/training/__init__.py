"""What every stack's training shares: the loop, its configuration, checkpoints, state, logs and pictures."""
