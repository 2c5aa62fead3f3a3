"""A static site of run directories: boards with intervals, and a page a run with its outputs to read and hear."""
