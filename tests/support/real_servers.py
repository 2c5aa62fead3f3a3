"""Servers of the package index, each as a process of its own on the loopback interface."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTS_WITHIN = 120.0  # seconds, on a busy machine


@contextmanager
def served(command: Sequence[str], ready: str, **variables: str) -> Iterator[str]:
    """The base URL of a server that `command` starts; `{port}` in it is a free port. `ready` is a path that answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    filled = [word.replace("{port}", str(port)) for word in command]
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **variables}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(filled, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **offline})
        try:
            _wait(process, f"http://127.0.0.1:{port}{ready}", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Any) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"{process.args}: did not start\n{log.read()[-3000:].decode('utf-8', 'replace')}")


def transformers_serve(python: str = sys.executable) -> Any:
    """`transformers serve`, which loads the model that a request names, a directory for example."""
    words = [
        "-m",
        "transformers.cli.transformers",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "--device",
        "cpu",
    ]
    return served([python, *words], "/health")


def faster_whisper_server(model: Path, python: str = sys.executable) -> Any:
    """faster-whisper-server with one model."""
    return served(
        [python, "-m", "faster_whisper_server", str(model), "--host", "127.0.0.1", "--port", "{port}"], "/health"
    )


@contextmanager
def litellm_proxy(routes: Mapping[str, Mapping[str, str]], program: str, key: str) -> Iterator[str]:
    """A LiteLLM proxy: name of a model to `model`, `api_base` and `mode` of the server behind it. It wants `key`."""
    listed = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{route['model']}", "api_base": route["api_base"], "api_key": "none"},
            "model_info": {"mode": route["mode"]},
        }
        for name, route in routes.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(json.dumps({"model_list": listed}), "utf-8")
        command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", "{port}"]
        variables = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with served(command, "/health/liveliness", **variables) as url:
            yield url
