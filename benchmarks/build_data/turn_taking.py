"""The bundled dialogues of the turn-taking task: two sentences of one reader with a pause between, then silence."""

from __future__ import annotations

from speech_eval.assets import store as assets
from speech_eval.audio import load
from speech_eval.records import DatasetInfo, Sample
from speech_eval.signal import vad

PAUSES = (0.3, 0.6, 0.9, 1.2)
TAIL = 3.5
_VAD_PAD = 0.03


def dialogues(clips: list[Sample]) -> tuple[DatasetInfo, list[Sample]]:
    """Every ordered pair of clips once; the pauses between their speech alternate through `PAUSES` (seconds).

    `metadata` holds `parts` and `seconds` of the user's channel, `turn_end` and `pauses`, all in seconds, measured by
    Silero VAD without its padding.
    """
    samples = []
    speech = {clip.id: _speech(clip) for clip in clips}
    for number, first in enumerate(clips):
        for offset in range(1, len(clips)):
            second = clips[(number + offset) % len(clips)]
            pause = PAUSES[(number + offset) % len(PAUSES)]
            (_, first_end), (second_start, second_end) = speech[first.id], speech[second.id]
            start = round(first_end + pause - second_start, 3)
            turn_end = round(start + second_end, 3)
            samples.append(
                Sample(
                    id=f"turn-{first.id.rsplit('-', 1)[-1]}-{second.id.rsplit('-', 1)[-1]}",
                    text=f"{first.text} {second.text}",
                    audio=first.audio,
                    audio_sha256=first.audio_sha256,
                    speaker=first.speaker,
                    cluster=first.id,
                    metadata={
                        "parts": [[first.audio, 0.0], [second.audio, start]],
                        "seconds": round(turn_end + TAIL, 3),
                        "pauses": [[round(first_end, 3), round(start + second_start, 3)]],
                        "turn_end": turn_end,
                    },
                )
            )
    info = DatasetInfo(
        name="turn-taking-en",
        version="1",
        description=(
            "User turns of two English sentences by one reader, with a pause of 0.3, 0.6, 0.9 or 1.2 s between "
            "them and 3.5 s of silence after: read speech, so the pauses lack the cues of a real conversation."
        ),
        languages=["en"],
        license="public domain",
        source="LibriVox, Sense and Sensibility by Jane Austen, chapter 1; test data of PocketSphinx 5.1.1",
        attribution="LibriVox volunteers.",
        assets=["librivox-pocketsphinx"],
    )
    return info, samples


def _speech(clip: Sample) -> tuple[float, float]:
    """Start and end of the clip's speech in seconds."""
    asset, _, name = (clip.audio or "").partition("/")
    found = vad.segments_of(load(assets.ensure(asset) / name))
    return found[0][0] + _VAD_PAD, found[-1][1] - _VAD_PAD
