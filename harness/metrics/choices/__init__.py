"""Questions with options: which option an answer chooses, by one strict rule and by the rule of each benchmark.

`strict` reads the answer by `options.chosen`, and counts an unreadable or missing answer as wrong. `compat` is the
number of the benchmark's own code with its quirks.
"""
