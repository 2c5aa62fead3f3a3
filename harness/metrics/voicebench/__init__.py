"""VoiceBench (MatthewCYM/VoiceBench at 5338154): how each of its subsets is scored, and its overall number.

`compat` is what the original's code computes, its quirks included; where it draws at random, the exact expectation of
the draw. `strict` reads the answer without the quirks and counts what it cannot read as wrong.
"""
