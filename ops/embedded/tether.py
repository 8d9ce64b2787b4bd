"""Becomes another program, tied to the life of the process that asked for it.

Run by path with nothing but the standard library, so that it costs one bare interpreter start:
``python -I -S tether.py PARENT_PID SIGNAL UID:GID PROGRAM ARGUMENT…`` (``-`` for UID:GID keeps the user).

On Linux the kernel sends SIGNAL to the program when its parent ends, however it ended. The order matters:
changing the user clears that request, and a parent that died before it was made must be noticed by hand.
Elsewhere nothing is tied; the pid file that `ops.embedded.children` keeps lets the next start clear up.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, death_signal, owner, *program = arguments
    if owner != "-":
        uid, gid = (int(part) for part in owner.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != int(parent):
            os._exit(1)
    try:
        os.execv(program[0], program)  # noqa: S606 - becoming that program is the point
    except OSError as error:
        print(f"cannot start {program[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
