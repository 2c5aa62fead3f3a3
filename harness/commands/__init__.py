"""The commands of `speech-eval`, one module a group; each reads its words and holds no logic."""
