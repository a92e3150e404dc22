"""A headless Chromium that is asked over a pipe, in its DevTools protocol: no package is needed.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

NAMES = ("chromium", "google-chrome-stable", "google-chrome")
SECONDS = 60  # for anything that is asked; a busy machine may need a few
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


def find() -> str | None:
    """The browser's program, or None where there is none.

    One of a snap does not count: it may not read the files of a test.
    """
    found = filter(None, map(shutil.which, NAMES))
    return next((program for program in found if not program.startswith("/snap/")), None)


class Page:
    """One page of a browser, and what it has said since it was opened."""

    def __init__(self, browser: Browser) -> None:
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._browser, self._session = browser, attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **params)

    def show(self, file: Path, width: int, height: int, *, dark: bool = False) -> None:
        """Load a file in a window of so many CSS pixels, and wait until it is there."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        assert "errorText" not in self._ask("Page.navigate", url=file.as_uri())
        self._browser.wait("Page.loadEventFired", self._session)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, as plain data."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page, also what is below the window, as PNG."""
        found = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(found["data"])

    def complaints(self) -> list[str]:
        """What the page has written to its console as a warning or an error, one line each."""
        lines = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                lines.append(json.dumps(params["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] != "info":
                lines.append(json.dumps(params["entry"]))
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] != "log":
                lines.append(json.dumps(params["args"]))
        return lines


class Browser:
    """A running browser: questions and answers, one at a time, each ended by a zero byte."""

    def __init__(self, into: IO[bytes], out: IO[bytes], log: Path) -> None:
        self._into, self._out, self._log = into, out, log
        self._number, self._rest = 0, b""
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Ask one thing; returns the answer."""
        self._number += 1
        question = {"id": self._number, "method": method, "params": params}
        question |= {"sessionId": session} if session else {}
        with contextlib.suppress(BrokenPipeError):  # what is read will tell
            self._into.write(json.dumps(question).encode() + b"\0")
            self._into.flush()
        answer = self._read(lambda message: message.get("id") == question["id"])
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def wait(self, method: str, session: str) -> None:
        """Wait for an event, unless it has come since the last wait for it."""

        def wanted(message: dict[str, Any]) -> bool:
            return message.get("method") == method and message.get("sessionId") == session

        if not any(map(wanted, self.events)):
            self._read(wanted)
        self.events = [event for event in self.events if not wanted(event)]

    def _read(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while True:
            while b"\0" not in self._rest:
                ready, _, _ = select.select([self._out], [], [], max(end - time.monotonic(), 0))
                assert ready, f"Chromium has not answered for {SECONDS} s"
                piece = os.read(self._out.fileno(), 2**20)
                assert piece, f"Chromium has ended: {self._log.read_text()[-2000:]}"
                self._rest += piece
            text, _, self._rest = self._rest.partition(b"\0")
            message = json.loads(text)
            if "method" in message:
                self.events.append(message)
            if wanted(message):
                return message


@contextlib.contextmanager
def running(program: str, profile: Path) -> Iterator[Browser]:
    """A browser with a profile folder of its own, for the block."""
    # It reads questions from descriptor 3 and writes answers to descriptor 4.
    pipes = 'exec "$@" 3<&0 4>&1 0</dev/null 1>&2'
    flags = [*FLAGS, f"--user-data-dir={profile}"]
    if os.getuid() == 0:  # its sandbox needs a user
        flags.append("--no-sandbox")
    log = profile / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            ["sh", "-c", pipes, "sh", program, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"HOME": str(profile)},
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        try:
            browser = Browser(process.stdin, process.stdout, log)
            yield browser
            browser.ask("Browser.close")
            process.wait(SECONDS)
        finally:
            process.kill()
