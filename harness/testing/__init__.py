"""For tests and plug-in authors: fake models whose right scores are known, and a simulated clock."""
