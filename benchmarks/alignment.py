"""What aligning a voice by rewards changes, on sentences it was not aligned on, by other models than the rewards'.

    speech-eval data prepare voice --sources hibari-generated --limit 1000
    speech-eval train tts/grpo-cer --size cpu --data voice -o cer
    python benchmarks/alignment.py llasa-3m-en cer composite --data voice --output out

Every voice runs `seed-tts` on the held-out sentences, each with another recording of the speaker as its prompt: word
and character errors by Whisper base, similarity by GE2E, naturalness by DNSMOS, differences from the first voice
paired by `speech-eval compare`'s test; and the spread of pitch within a sentence (semitones) and its seconds, by a
paired permutation test of their means.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import permutation_test

from speech_eval import audio, datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.compare import compare
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.reference_models.speech_lm.rl.guards import pitch_spread

METRICS = (
    "wer[whisper-normalizer@20250625]",
    "cer[whisper-normalizer@20250625]",
    "sim[ge2e@resemblyzer]",
    "mos[dnsmos-p835]",
)


def manifest(data: Path, limit: int) -> Path:
    """The held-out sentences, each with the recording two places further on as its prompt, written into `data`."""
    samples = list(datasets.load_dataset(data / "held-out.jsonl").samples)[: limit + 2]
    lines = []
    for sample, other in zip(samples, samples[2:], strict=False):
        prompt = {"prompt_audio": str(other.audio), "prompt_text": other.text}
        lines.append(json.dumps({"id": sample.id, "text": sample.text, "language": "en", **prompt}))
    file = data / "held-out-prompted.jsonl"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def prosody(folder: Path) -> dict[str, tuple[float, float]]:
    """Spread of pitch and seconds of every answer in which a pitch was found."""
    run = RunDirectory(folder)
    found = {}
    for name, output in run.outputs("seed-tts").items():
        assert output.audio is not None
        sound = audio.load(run.audio_path(output.audio))
        spread = pitch_spread(sound)
        if spread is not None:
            found[name] = (spread, sound.seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", nargs="+", help="model specs; the first is what the others started from")
    parser.add_argument("--data", type=Path, required=True, help="an AudioFolder, as `speech-eval data prepare` writes")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--options", default="temperature=0.7,top_p=0.9", help="how all of them draw")
    parser.add_argument("--limit", type=int, default=100)
    given = parser.parse_args()
    sentences = manifest(given.data, given.limit)
    settings = runner.Settings(data=str(sentences), metrics=METRICS)
    folders = []
    for place, voice in enumerate(given.voices):
        folders.append(given.output / f"{place}-{Path(voice).name}")
        runner.run(modelspec.parse(f"{voice},{given.options}"), ["seed-tts"], folders[-1], settings, say=print)
    start = prosody(folders[0])
    for folder in folders[1:]:
        rows: list[dict[str, Any]] = [
            {"metric": f"{row.metric}/{row.name}", "before": row.a.value, "after": row.b.value, "p": row.adjusted}
            for row in compare(RunDirectory(folders[0]), RunDirectory(folder)).differences
            if row.headline
        ]
        after = prosody(folder)
        both = sorted(start.keys() & after.keys())
        for column, name in enumerate(("pitch_semitones", "seconds")):
            a, b = (np.array([side[key][column] for key in both]) for side in (start, after))
            test = permutation_test(
                (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=9999, rng=0
            )
            rows.append({"metric": name, "before": a.mean(), "after": b.mean(), "p": test.pvalue, "n": len(both)})
        for row in rows:
            print(json.dumps({"voice": folder.name, **row}), flush=True)


if __name__ == "__main__":
    main()
