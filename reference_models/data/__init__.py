"""Training data of the reference stacks."""
