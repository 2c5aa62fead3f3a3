"""What a run was made on: versions, hardware and the state of the source tree. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "speech-eval-harness",
    "numpy",
    "scipy",
    "soundfile",
    "soxr",
    "jiwer",
    "torch",
    "transformers",
    "tokenizers",
    "onnxruntime",
    "faster-whisper",
    "ctranslate2",
    "hibari-tts",
    "espeakng-loader",
)


def environment() -> dict[str, Any]:
    """The machine and software of this process, for the manifest."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "hardware": hardware(),
        "git": git_state(Path(__file__).resolve().parent),
    }


def installed(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and accelerators."""
    found: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count(), "processor": _processor()}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    found["gpus"] = _gpus()
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return (_output(command) or "").splitlines()


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and dirtiness of the source tree the harness runs from; None for an installed package."""
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return None
    status = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit, "dirty": bool(status)}


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
