"""What the kernel says of a process: CPU seconds, resident memory; and starting one until it answers."""

import contextlib
import os
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 30


def cpu_seconds(pid: int) -> float:
    """User and system time of a whole process, every thread of it."""
    return sum(map(int, _stat(pid)[11:13])) / TICKS


def cpu_seconds_of_all(pid: int) -> float:
    """The same of a process and its children, those that are gone too: a PostgreSQL has one for each connection."""
    total = sum(map(int, _stat(pid)[11:15]))
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it went away meanwhile
            said = _stat(int(each.name))
            if int(said[1]) == pid:
                total += sum(map(int, said[11:15]))
    return total / TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: the state, the parent, ... (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def resident_megabytes(pid: int) -> float:
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def median(values: list[float]) -> float:
    return statistics.median(values)


def answers(port: int, path: str) -> bool:
    """Whether GET of this path is answered with 200 now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@contextlib.contextmanager
def started(
    command: list[str], port: int, path: str, environment: dict[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The process, and the seconds from exec to its first 200. It is stopped at the end."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    try:
        while not answers(port, path):
            if process.poll() is not None or time.perf_counter() - begun > READY_SECONDS:
                raise RuntimeError(f"it did not start: {' '.join(command)}")
            time.sleep(0.002)
        yield process, time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=40)
