"""What is installed, what each extra would add, and which offline weights and recordings are present and verified."""

from __future__ import annotations

import re
from importlib.metadata import requires
from typing import Any

from speech_eval import __version__
from speech_eval.assets import store as assets
from speech_eval.environment import environment, installed

DISTRIBUTION = "speech-eval-harness"


def doctor(*, verify: bool = True) -> dict[str, Any]:
    """The version, the environment, the extras and the assets as plain data.

    `verify` checks the sha256 of every fetched file; without it no asset is reported as verified.
    """
    return {
        "version": __version__,
        "environment": environment().model_dump(),
        "extras": extras(),
        "cache": str(assets.cache_dir()),
        "assets": [_asset(name, verify) for name in sorted(assets.ASSETS)],
    }


def extras() -> dict[str, dict[str, Any]]:
    """Every extra of the distribution with the installed version of each of its requirements (None: missing)."""
    found: dict[str, dict[str, Any]] = {}
    for line in requires(DISTRIBUTION) or []:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
        if extra and name and name[0] != DISTRIBUTION:
            found.setdefault(extra[1], {})[name[0]] = installed(name[0])
    return {
        extra: {"complete": all(packages.values()), "packages": packages} for extra, packages in sorted(found.items())
    }


def _asset(name: str, verify: bool) -> dict[str, Any]:
    asset = assets.ASSETS[name]
    present = assets.is_present(name)
    problems = assets.verify(name) if present and verify else []
    return {
        "name": name,
        "role": asset.role,
        "license": asset.license,
        "description": asset.description,
        "packages": [f"{archive.package} {archive.version}" for archive in asset.packages],
        "present": present,
        "verified": present and verify and not problems,
        "problems": problems,
    }
