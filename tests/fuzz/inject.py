"""Makes the nth open, write, fsync, rename, mkdir or unlink below a folder fail.

:class:`PythonFaults` replaces Python's functions, and needs nothing else. :class:`NativeFaults`
replaces libc's, so it also reaches what orbax, tensorstore and LanceDB do in native code. It needs
a process started with :func:`preloaded`.
"""

import builtins
import contextlib
import ctypes
import errno
import io
import os
import subprocess
from pathlib import Path
from unittest import mock

SOURCE = Path(__file__).with_name("faults.c")
VARIABLE = "HASHNET_FAULTS_LIBRARY"


class PythonFaults:
    """Injects faults into the functions of ``os`` and into files opened by ``open``.

    Attributes:
      calls: number of calls below the folder since :meth:`armed` was entered.
      failed: number of calls that failed.
    """

    PATHS = ("mkdir", "unlink", "remove", "rmdir", "open", "truncate")

    @contextlib.contextmanager
    def armed(self, folder, nth, number=errno.EIO, lasting=False):
        """Within the block, the ``nth`` call fails; if ``lasting``, later writes fail as well."""
        self._folder, self._nth, self._number, self._lasting = str(folder), nth, number, lasting
        self.calls = self.failed = 0
        with contextlib.ExitStack() as stack:
            for name in self.PATHS:
                stack.enter_context(mock.patch.object(os, name, self._by_path(getattr(os, name))))
            for name in ("rename", "replace"):
                stack.enter_context(mock.patch.object(os, name, self._by_target(getattr(os, name))))
            stack.enter_context(mock.patch.object(os, "fsync", self._by_descriptor(os.fsync)))
            opened = self._opened(io.open)
            stack.enter_context(mock.patch.object(builtins, "open", opened))
            stack.enter_context(mock.patch.object(io, "open", opened))
            yield self

    def check(self, path, needs_space, *, is_named=True):
        """Counts a call, and raises an OSError if it is to fail, with the path as Python does."""
        if not str(path).startswith(self._folder):
            return
        self.calls += 1
        lasts = self._lasting and needs_space and self.calls > self._nth
        if self.calls == self._nth or lasts:
            self.failed += 1
            reason = os.strerror(self._number)
            raise OSError(self._number, reason, *([path] if is_named else []))

    def _by_path(self, function):
        def call(path, *args, dir_fd=None, **kwargs):
            whole = path
            if dir_fd is not None:
                whole = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fspath(path))
                kwargs["dir_fd"] = dir_fd
            if not isinstance(path, int):
                self.check(os.fsdecode(whole), function.__name__ == "mkdir")
            return function(path, *args, **kwargs)

        return call

    def _by_target(self, function):
        def call(source, target, **kwargs):
            self.check(os.fsdecode(target), False)
            return function(source, target, **kwargs)

        return call

    def _by_descriptor(self, function):
        def call(descriptor):
            self.check(os.readlink(f"/proc/self/fd/{descriptor}"), True, is_named=False)
            return function(descriptor)

        return call

    def _opened(self, function):
        def call(file, mode="r", *args, **kwargs):
            if isinstance(file, int):
                return function(file, mode, *args, **kwargs)
            writes = mode.strip("bt") != "r"
            self.check(os.fsdecode(file), writes)
            opened = function(file, mode, *args, **kwargs)
            return _File(opened, self, os.fsdecode(file)) if writes else opened

        return call


class _File:
    """An open file whose writes may fail."""

    def __init__(self, file, faults, path):
        self._file, self._faults, self._path = file, faults, path

    def write(self, data):
        self._faults.check(self._path, True, is_named=False)
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __iter__(self):
        return iter(self._file)


class NativeFaults:
    """Injects faults into libc; see :class:`PythonFaults`."""

    def __init__(self):
        self._library = ctypes.CDLL(os.environ[VARIABLE])
        for name in ("fault_calls", "fault_failed"):
            getattr(self._library, name).restype = ctypes.c_long

    @contextlib.contextmanager
    def armed(self, folder, nth, number=errno.EIO, lasting=False):
        self._library.fault_arm(str(folder).encode(), ctypes.c_long(nth), number, int(lasting))
        try:
            yield self
        finally:
            self._library.fault_disarm()

    @property
    def calls(self):
        return self._library.fault_calls()

    @property
    def failed(self):
        return self._library.fault_failed()


def preloaded(folder):
    """Compiles the library into ``folder``, and returns the environment of a process to start."""
    library = Path(folder, "faults.so")
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return os.environ | {"LD_PRELOAD": str(library), VARIABLE: str(library)}
