"""A small client of Chromium's DevTools protocol: open a page, run a script, press keys, see what it asked for."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--mute-audio"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--remote-debugging-port=0",
        "--hide-scrollbars",
    ),
    *("--autoplay-policy=no-user-gesture-required", "--disable-dev-shm-usage"),
)
_NUMBERS = {" ": 32, "Enter": 13, "Tab": 9, "Escape": 27, "PageUp": 33, "Home": 36, "ArrowRight": 39}
_CODES = {name: name for name in _NUMBERS} | {" ": "Space"} | {str(digit): f"Digit{digit}" for digit in range(10)}


class Browser:
    """A headless Chromium with one page. `requests`: addresses it requested; `problems`: errors in its console."""

    def __init__(self, profile: Path) -> None:
        self.profile = profile
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._number = 0

    def __enter__(self) -> Browser:
        from websockets.sync.client import connect

        command = [CHROMIUM, *_FLAGS, f"--user-data-dir={self.profile}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = self._wait_for_port()
            with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            self._socket = connect(pages[0]["webSocketDebuggerUrl"], max_size=None, open_timeout=30)
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _wait_for_port(self) -> str:
        file = self.profile / "DevToolsActivePort"
        for _ in range(600):
            if file.is_file() and (text := file.read_text()):
                return text.splitlines()[0]
            time.sleep(0.05)
        raise TimeoutError("Chromium did not say its port within 30 s")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result; events received meanwhile are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result
            self._keep(message)

    def _keep(self, event: dict[str, Any]) -> None:
        given = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(given["exceptionDetails"])[:2000])
        elif event.get("method") == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.problems.append(given["entry"]["text"])

    def open(self, address: str, ready: str = "document.readyState === 'complete'") -> None:
        """Load a page afresh and wait until `ready` holds in it."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        self.wait(f"location.href !== 'about:blank' && {ready}")

    def run(self, script: str) -> Any:
        """The value of an expression in the page, promises awaited. Raises `RuntimeError` where it throws."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{script}: {json.dumps(done['exceptionDetails'])[:1000]}")
        return done["result"].get("value")

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        """Wait until an expression holds. Raises `TimeoutError` naming it and the errors in the console."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {condition}; console: {self.problems}")
            time.sleep(0.03)

    def press(self, key: str) -> None:
        """Press and release a key, as a keyboard would."""
        given: dict[str, Any] = {"key": key, "code": _CODES.get(key, f"Key{key.upper()}")}
        given["windowsVirtualKeyCode"] = _NUMBERS.get(key, ord(key.upper()[0]))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", **given, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def drag(self, selector: str, start: float, end: float) -> None:
        """Drag over an element, from one share of its width to another."""
        place = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y, width, height = (self.run(f"{place}.{name}") for name in ("x", "y", "width", "height"))
        for kind, share in (("mousePressed", start), ("mouseMoved", (start + end) / 2), ("mouseReleased", end)):
            at = {"x": x + share * width, "y": y + height / 2}
            self.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **at)

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Set the size and the color scheme of the screen."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def picture(self, path: Path) -> None:
        """Write what is on the screen as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
