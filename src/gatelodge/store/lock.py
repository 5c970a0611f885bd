"""One SQLite file is one process: a lock on the data folder says whose. It ends with the process, however that ends."""

import fcntl
import os
from pathlib import Path


class Locked(Exception):
    """Another process has the data folder; ``pid`` says which, 0 when it can't be told."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"{path.parent} is in use by process {pid or '(unknown)'}; stop it, or choose another --data")
        self.pid = pid


def make_folder(path: Path) -> None:
    """A folder that nobody else may look into: it holds password hashes and keys."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


class FolderLock:
    """Held from ``take`` to ``release``."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def take(cls, data: Path) -> "FolderLock":
        """Take the folder. Raises ``Locked``."""
        make_folder(data)
        path = data / "lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 20).decode("ascii", "replace").strip()
            os.close(handle)
            raise Locked(path, int(owner) if owner.isdigit() else 0) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        return cls(handle)

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._handle)
