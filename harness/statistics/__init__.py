"""Statistics of per-sample numbers: summaries, bootstrap intervals, paired tests, ranks, multiple tests, power."""
