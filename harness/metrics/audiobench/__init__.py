"""AudioBench's own metrics: its judge, spoken problems, instructions about recordings."""
