"""MMAU-Pro's numbers beside its questions with options: instructions that a program checks, and open answers."""
