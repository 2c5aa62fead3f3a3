"""The versions, hardware and source tree of this process, for the manifest. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from speech_eval.records import Environment, GitState, Hardware

DISTRIBUTION = "speech-eval-harness"


def environment() -> Environment:
    """The machine and software of this process."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages=packages(),
        hardware=hardware(),
        git=git_state(Path(__file__).resolve().parent),
    )


def packages() -> dict[str, str]:
    """Every distribution of which this process has imported a module, name to version."""
    modules = frozenset(name.partition(".")[0] for name in sys.modules)
    names = {DISTRIBUTION} | {name for module in modules for name in _distributions().get(module, ())}
    return {name: found for name in sorted(names) if (found := installed(name))}


@cache
def _distributions() -> dict[str, list[str]]:
    """Top-level module to the distributions that have it; read once, since it takes 0.3 s."""
    return dict(packages_distributions())


def installed(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def hardware() -> Hardware:
    """Processor, cores, memory and accelerators."""
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    return Hardware(
        machine=platform.machine(), processor=_processor(), cores=os.cpu_count(), memory_gib=memory, gpus=_gpus()
    )


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


def git_state(folder: Path) -> GitState | None:
    """The state of the source tree that the harness runs from; None for an installed package."""
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return None
    status = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])
    return GitState(commit=commit, dirty=bool(status))


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
