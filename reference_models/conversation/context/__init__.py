"""Contextual text-to-speech (CSM): the next turn, given the text and the sound of the turns before it."""
