"""Shared test set-up: one thread per numeric library, for two busy threads are slower than one."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
    os.environ.setdefault(_name, "false" if _name.startswith("TOKEN") else "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
