"""Is the codec that reconstructs better also the one that a language model learns better?

    python benchmarks/modelability.py --output out

Each codec goes through codec-modelability and, with STOI, through codec-reconstruction. One JSON line per codec, then
one with the pairs of codecs that the two numbers order differently. Runs in `--output` are continued.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import combinations
from pathlib import Path

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner

SHIPPED = Path(__file__).parents[1] / "reference_models" / "checkpoints"
CODECS = {
    "dac-16k-2k, 1 of 4": "dac-16k-2k,n_codebooks=1",
    "codec of llasa-3m-en": f"reference-codec,path={SHIPPED / 'llasa-3m-en' / 'codec'}",
    "dac-16k-2k, 2 of 4": "dac-16k-2k,n_codebooks=2",
    "dac-16k-2k, 3 of 4": "dac-16k-2k,n_codebooks=3",
    "dac-16k-2k, 4 of 4": "dac-16k-2k",
}
TASKS = {
    "codec-reconstruction": ("stoi[pystoi]", "bitrate[measured@1]"),
    "codec-modelability": ("modelability[flattened@smoke-2]",),
}


def measured(name: str, spec: str, output: Path) -> dict[str, float]:
    """Every number of the two runs of a codec, and the seconds of CPU that they took."""
    begun, found = time.process_time(), {}
    for task, metrics in TASKS.items():
        folder = output / f"{task}-{list(CODECS).index(name)}"
        settings = runner.Settings(metrics=metrics, data="asterisk-en@held-out", workers=1)
        (result,) = runner.run(modelspec.parse(spec), [task], folder, settings).tasks
        for number in result.metrics:
            if number.strict.value is not None:
                found[number.name] = float(f"{number.strict.value:.5g}")
    return found | {"cpu_seconds": round(time.process_time() - begun)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    rows = {}
    for name, spec in CODECS.items():
        rows[name] = measured(name, spec, given.output)
        print(json.dumps({"codec": name, **rows[name]}), flush=True)
    for number in ("bits-per-second", "bits-per-token"):
        inverted = [
            [one, other]
            for one, other in combinations(rows, 2)
            if (rows[one]["stoi"] - rows[other]["stoi"]) * (rows[one][number] - rows[other][number]) > 0
        ]
        pairs = len(rows) * (len(rows) - 1) // 2
        print(json.dumps({"better_by_stoi_worse_by": number, "of_pairs": pairs, "inverted": inverted}), flush=True)


if __name__ == "__main__":
    main()
