"""Stands between the gateway and one command, as a process of its own: holds it to limits, and leaves nothing behind.

Run by path, without this package: ``supervisor.py PARENT GRACE MEMORY CPU FILES PROCESSES WORD...``. The command is in a
process group of its own and speaks over the standard streams that it inherits. When it ends, when we are told to end it
(SIGTERM), or when the gateway dies, its group is ended, and then whatever else came of it, also what left the group.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
NOT_STARTED = 127
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
ADDRESSES = 16 * 1024**3
"""Bytes of address space: much more than of memory, since runtimes reserve what they never touch."""


def main() -> int:
    """Run the command until it ends; its exit status, as a shell would tell it."""
    parent, grace, memory, cpu, files, processes = (int(each) for each in sys.argv[1:7])
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return 0  # the gateway is gone already
    command = os.fork()
    if command == 0:
        _become(sys.argv[7:], memory=memory, cpu=cpu, files=files, processes=processes)
    with contextlib.suppress(OSError):
        os.setpgid(command, command)
    for stream in (0, 1):
        os.close(stream)  # its ends are the command's alone
    status = _wait(command, grace)
    _signal_group(command, signal.SIGKILL)
    _end_the_rest()
    return status


def _become(words: list[str], *, memory: int, cpu: int, files: int, processes: int) -> None:
    """In the forked process: take on the limits, and become the command."""
    os.setpgid(0, 0)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_NOFILE: files,
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_AS: ADDRESSES,
        resource.RLIMIT_NPROC: _tasks_of_this_user() + processes,
    }
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        lowest = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # a kernel that doesn't know this one
            resource.setrlimit(limit, (lowest, lowest))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    try:
        os.execvp(words[0], words)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"{words[0]} can't be started: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(NOT_STARTED)


def _wait(command: int, grace: int) -> int:
    """Until the command has ended, by itself or because it was told to and then made to."""
    deadline = 0.0
    while True:
        left = max(0.0, deadline - time.monotonic()) if deadline else 3600.0
        heard = signal.sigtimedwait(HEARD, left)
        status = _reaped(command)
        if status is not None:
            return status
        if heard is not None and heard.si_signo != signal.SIGCHLD and not deadline:
            _signal_group(command, signal.SIGTERM)
            deadline = time.monotonic() + grace
        elif deadline and time.monotonic() >= deadline:
            return 128 + signal.SIGKILL


def _reaped(command: int) -> int | None:
    """Take note of every process that has ended; the command's status if it is among them."""
    found: int | None = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == command:
                code = os.waitstatus_to_exitcode(ended[1])
                found = code if code >= 0 else 128 - code
    return found


def _signal_group(command: int, which: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command, which)


def _end_the_rest() -> None:
    """Whatever the command began comes to us when its own parent ends, so that it is found here in the end."""
    while children := _children():
        for child in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _children() -> list[int]:
    own, found = os.getpid(), list[int]()
    for name in _processes():
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - few imports
            state, parent = file.read().rpartition(b")")[2].split()[:2]
            if int(parent) == own and state != b"Z":
                found.append(int(name))
    return found


def _tasks_of_this_user() -> int:
    """The kernel counts processes and threads of the user altogether, not those of one command."""
    count = 0
    for name in _processes():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == os.getuid():  # noqa: PTH116 - few imports
                count += len(os.listdir(f"/proc/{name}/task"))  # noqa: PTH208 - few imports
    return count


def _processes() -> list[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - few imports
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    """Linux alone has it; elsewhere the process group has to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
