#!/usr/bin/env bash
# What the training stacks do on the accelerator at hand, in three minutes: bash benchmarks/gpu.sh [--tiny]
# Needs torch, transformers and pydantic, and builds nothing. `--tiny` runs the same on a CPU in a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="src:${PYTHONPATH:-}" HF_HUB_OFFLINE=1
exec "${PYTHON:-python}" benchmarks/gpu.py "$@"
