"""Workers for published systems: one folder each, to be copied and given an environment (docs/workers.md)."""
