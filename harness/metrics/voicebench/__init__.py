"""VoiceBench (MatthewCYM/VoiceBench at 5338154): the metrics of its subsets.

`compat` is the number of the original's code with its quirks; where it draws at random, the expectation of the draw.
`strict` reads the answer without the quirks and counts unreadable answers as wrong.
"""
