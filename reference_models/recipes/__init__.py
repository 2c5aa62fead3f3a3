"""Recipes: what is trained on what, in which sizes, and what came out. Each belongs to a stack."""
