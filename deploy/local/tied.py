"""Runs a command that dies with its parent: `python tied.py PARENT_PID COMMAND...` becomes COMMAND, under the same process id.

The kernel sends SIGKILL when the parent ends, however it ends, so that nothing is left behind where it could not clean up. It is a
launcher of its own because code between fork and exec may not be run safely in a process with threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ties this process to its parent and becomes the command; gives up where the parent is gone already."""
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
