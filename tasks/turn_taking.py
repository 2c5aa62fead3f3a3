"""Turn taking of duplex agents: wait through the pauses, take the turn when it ends."""

from __future__ import annotations

from speech_eval import SpeechProbability, Task, register_task


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


@register_task
def turn_taking_policy() -> Task:
    """What an agent with a speech probability would do with any threshold and delay. Its own choice, measured by
    `turn-taking`, is one point of this curve."""
    return Task(
        name="turn-taking-policy",
        version=1,
        interface="DuplexAgent",
        dataset="turn-taking-en",
        metrics=("turn-policy[timeout-rule@1]",),
        primary="turn-policy[timeout-rule@1]/latency-at-5%",
        protocol="turn-policy[timeout-rule@1]: threshold × delay over the agent's speech probabilities",
        description="False cut-offs against latency of every threshold and action delay, from one pass of the agent",
        generate=SpeechProbability(),
    )
