"""Turn taking of duplex agents: wait through the pauses, take the turn when it ends."""

from __future__ import annotations

from harness import Task, register_task


@register_task
def turn_taking() -> Task:
    return Task(
        name="turn-taking",
        version=1,
        interface="DuplexAgent",
        dataset="turn-taking-en",
        metrics=("turn-taking[vad-segments@1]",),
        primary="turn-taking[vad-segments@1]/clean-turns",
        protocol="turn-taking[vad-segments@1]: causal chunks, what is said for a chunk is heard during the next",
        description="Turns taken without cutting the user off in a pause, and how soon, from the agent's sound",
    )
