"""A static site from run directories: boards with intervals, and one page per run with its outputs to read and hear."""
