"""An explorer that answers: in this process, or as a command."""

import json
import socket
import threading
import time
import urllib.request
from contextlib import contextmanager


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(true, seconds: float = 20.0, step: float = 0.05):
    """Wait for something to be true; its value."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(step)
    return value


def status(port: int) -> dict:
    """What the server says of itself; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return {}


@contextmanager
def served(state):
    """The port of a server, in a thread of its own, for a page that looks at `state`."""
    import uvicorn

    from rtf.explorer.app import make_app

    port = free_port()
    settings = uvicorn.Config(
        make_app(state), host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield port
    finally:
        state.stopped.set()
        server.should_exit = True
        thread.join(10)
