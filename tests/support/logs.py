"""What the server has logged since a test began."""

import json
import time
from pathlib import Path
from typing import Any


class ServerLog:
    """The running server's log, from this moment on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    def text(self) -> str:
        with self._path.open("rb") as file:
            file.seek(self._start)
            return file.read().decode()

    def events(self) -> list[dict[str, Any]]:
        """Every line; each must be a JSON object."""
        return [json.loads(line) for line in self.text().splitlines()]

    def wait_for(self, event: str, request_id: str) -> dict[str, Any]:
        """The one line of this event of this request: it is written when the answer is already on its way."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            complete = self.text().rpartition("\n")[0]
            found = [line for line in map(json.loads, complete.splitlines()) if line.get("request_id") == request_id]
            found = [line for line in found if line["event"] == event]
            if found:
                assert len(found) == 1, found
                return found[0]
            time.sleep(0.01)  # between two looks at a file
        raise AssertionError(f"no line {event!r} with the request id {request_id}:\n{self.text()}")
