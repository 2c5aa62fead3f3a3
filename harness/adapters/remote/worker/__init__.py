"""`worker:DIR`: a model in an environment of its own, asked over two pipes (docs/workers.md)."""
