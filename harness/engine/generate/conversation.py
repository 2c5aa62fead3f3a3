"""A conversation with a duplex agent: the user's channel goes in chunk by chunk, the agent's channel comes out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from speech_eval.adapters.base import DuplexAgent
from speech_eval.audio import Audio, check_length, check_waveform
from speech_eval.records import Sample


def user_channel(sample: Sample, load: Callable[[str], Audio]) -> Audio:
    """What the agent hears of a sample: its recording, or its metadata's `parts` laid into silence.

    `parts` is a list of `[path, start in seconds]`, `seconds` the length of the channel. All parts have one rate.
    """
    if sample.audio is None:
        raise ValueError("the dataset has no recording for this sample")
    parts = sample.metadata.get("parts")
    if parts is None:
        return load(sample.audio)
    check_length(float(sample.metadata["seconds"]), f"sample {sample.id}")
    pieces = [(load(path), float(start)) for path, start in parts]
    rate = pieces[0][0].rate
    samples = np.zeros(round(float(sample.metadata["seconds"]) * rate), dtype=np.float32)
    for piece, start in pieces:
        first = round(start * rate)
        if piece.rate != rate or first + len(piece.samples) > len(samples):
            raise ValueError("a part of the user's channel has another rate or ends after the channel")
        samples[first : first + len(piece.samples)] += piece.samples
    return Audio(samples, rate)


def converse(agent: DuplexAgent, user: Audio) -> Audio:
    """The agent's channel, as long as the user's and at the agent's own rate.

    The agent is given each chunk once the user has said it, so what it returns is heard while the next chunk is being
    said: its channel begins with one chunk of silence, and nothing in it depends on sound of the same moment or later.
    Raises `ValueError` where the agent returns another duration than it was given, or changes its rate.
    """
    user = user.resampled(agent.sample_rate)
    size = round(agent.chunk_seconds * user.rate)
    padded = np.pad(user.samples, (0, -len(user.samples) % size))
    agent.reset()
    said: list[Audio] = []
    for at in range(0, len(padded), size):
        chunk = agent.step(Audio(padded[at : at + size].copy(), user.rate))
        if not isinstance(chunk, Audio) or len(chunk.samples) != round(agent.chunk_seconds * chunk.rate):
            raise ValueError(f"the agent did not return {agent.chunk_seconds} s of audio for a chunk of that length")
        chunk = check_waveform(chunk.samples, chunk.rate, "the agent's chunk")
        if said and chunk.rate != said[0].rate:
            raise ValueError(f"the agent changed its sample rate from {said[0].rate} to {chunk.rate} Hz")
        said.append(chunk)
    rate = said[0].rate
    heard = np.concatenate([np.zeros(len(said[0].samples), dtype=np.float32), *(chunk.samples for chunk in said)])
    return check_waveform(heard[: round(user.seconds * rate)], rate, "the agent's channel")
