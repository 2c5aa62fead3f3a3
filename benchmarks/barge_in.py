"""What a duplex model does when the user speaks over it: it should stop for an interruption and not for a backchannel.

    python benchmarks/barge_in.py CHECKPOINT INTERRUPTIONS/held-out-speaker.jsonl BACKCHANNELS/held-out-speaker.jsonl

The lists are those of `speech-eval data prepare --sources interruptions-en` and `backchannels-en`, whose user turns
are the same. Each turn is heard with the event and with silence in its place. The agent is deterministic, so its
answers are the same until the user speaks again, and the second tells when it would have ended by itself. Only turns
in which the agent speaks as the user begins count. One line per event:

speaking   turns that count, of `turns`
stopped    share of them in which the agent ends 0.2 s or more before it would have ended
stop       mean seconds from the user's beginning to the agent's end, of these
left       mean seconds that it would have gone on, of all that count
answered   share in which the agent speaks after the user's end
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from duplex_turns import Batch, channels, encoded, say, users_of

from speech_eval.audio import Audio
from speech_eval.metrics.dialogue.overlap import AGENT_GAP, merged, response_intervals
from speech_eval.reference_models.conversation.duplex import checkpoint
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.signal import vad

_EARLIER = 0.2  # seconds: less is the tolerance of two segments' edges


@dataclass(frozen=True)
class Heard:
    """The agent's speech [(start, end)] with the event and without, and when the event is, in seconds."""

    with_event: list[tuple[float, float]]
    without: list[tuple[float, float]]
    event: tuple[float, float]

    def ends(self) -> tuple[float, float] | None:
        """When the agent ends with the event and without; None where it is not speaking at the event's beginning."""
        at = self.event[0]
        found = [[end for start, end in spans if start < at < end] for spans in (self.with_event, self.without)]
        return (found[0][0], found[1][0]) if all(found) else None


def figures(turns: list[Heard]) -> dict[str, float]:
    both = [(turn, ends) for turn in turns if (ends := turn.ends()) is not None]
    stops = [ended - turn.event[0] for turn, (ended, alone) in both if ended <= alone - _EARLIER]
    left = [alone - turn.event[0] for turn, (_, alone) in both]
    answered = [bool(response_intervals([turn.event], turn.with_event)) for turn, _ in both]
    mean = {"stopped": len(stops) / len(both) if both else np.nan}
    mean |= {name: float(np.mean(each)) if each else np.nan for name, each in
             (("stop", stops), ("left", left), ("answered", answered))}  # fmt: skip
    return {"turns": len(turns), "speaking": len(both)} | {name: round(value, 3) for name, value in mean.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("interruptions", type=Path)
    parser.add_argument("backchannels", type=Path)
    parser.add_argument("--turns", type=int, default=48)
    parser.add_argument("--eagerness", type=float, default=0.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, _, _ = checkpoint.load(given.checkpoint)
    codec = SpeechCodec(load_codec(model.config.codec.seen_from(given.checkpoint)))

    def spans(users: list[Audio]) -> list[list[tuple[float, float]]]:
        rows = Batch(model, encoded(codec, users), (0.0, 0.0), given.eagerness, 0).run()
        said = channels(model, codec, rows, users)
        return [merged(vad.segments_of(one), AGENT_GAP) for one in said]

    for name, turns_list in (("interruption", given.interruptions), ("backchannel", given.backchannels)):
        samples, users = users_of(turns_list, given.turns, codec)
        events = [(float(start), float(end)) for start, end in (sample.metadata["event"] for sample in samples)]
        silenced = [
            Audio(np.where(np.arange(len(user.samples)) < start * user.rate, user.samples, np.float32(0)), user.rate)
            for user, (start, _) in zip(users, events, strict=True)
        ]
        turns = [Heard(*each) for each in zip(spans(users), spans(silenced), events, strict=True)]
        say(name, {"eagerness": given.eagerness} | figures(turns))


if __name__ == "__main__":
    main()
