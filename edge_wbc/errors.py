"""Errors a user can cause or meet.

    EdgeWbcError                 exit code 1
    ├── UsageError               2   the command line or a URI is wrong
    ├── InputRefused             3   what was given can't be used
    │   ├── SourceError              a folder, file or stream
    │   ├── SessionError             a recorded session
    │   └── ModelError               a graph, manifest or weights file
    ├── EnvironmentMissing       4   a package, a device or a port is not there
    │   ├── CameraError              no camera, or it went away
    │   └── GpuError                 the GPU, its driver, its memory or TensorRT failed
    └── OutputFailed             5   an output failed; everything else is complete

Every message is one line: what happened, then what to do. None is shown with a traceback.
"""

from __future__ import annotations


class EdgeWbcError(Exception):
    """Base of every error with a message for the user."""

    exit_code = 1


class UsageError(EdgeWbcError):
    """The command line, a URI or a setting is wrong."""

    exit_code = 2


class InputRefused(EdgeWbcError):
    """What was given can't be used."""

    exit_code = 3


class SourceError(InputRefused):
    """A folder, file or stream can't be read."""


class SessionError(InputRefused):
    """A recorded session is not there, or can't be read."""


class ModelError(InputRefused):
    """A graph, its manifest or a weights file can't be used."""


class EnvironmentMissing(EdgeWbcError):
    """A package, device or port that is needed is not there."""

    exit_code = 4


class CameraError(EnvironmentMissing):
    """A camera is not there, or went away."""


class GpuError(EnvironmentMissing):
    """The GPU, its driver, its memory or TensorRT on it failed."""


class OutputFailed(EdgeWbcError):
    """A sink failed; what other sinks delivered is complete."""

    exit_code = 5


def first_line(error: BaseException) -> str:
    """Of what a library says, or its error's name where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def reason(error: OSError | ValueError) -> str:
    """What the system says went wrong, as part of a sentence."""
    return (getattr(error, "strerror", None) or str(error)).lower()
