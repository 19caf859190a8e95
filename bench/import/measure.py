"""What a command takes: for the scripts in this folder."""

import os
import time


def measure(command, out=os.devnull, err=None):
    """(exit code, wall s, CPU s, peak MB) of `command`, whose stdout goes to the file `out` and its stderr to `err`,
    or where this program's goes. The peak is of the process alone, but not less than this program's own size."""
    child = os.fork()
    if child == 0:
        for path, stream in ((out, 1), (err, 2)):
            if path is not None:
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        os.execv(command[0], command)
    start = time.monotonic()
    _, status, used = os.wait4(child, 0)
    wall = time.monotonic() - start
    return os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
