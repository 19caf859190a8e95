"""usage: on_terminal.py PROGRAM WORD...: runs it on a terminal of its own, prints what that showed, and
exits as it did.
"""

import os
import pty
import sys


def main():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.argv[1], sys.argv[1:])
    while True:
        try:
            shown = os.read(terminal, 65536)
        except OSError:  # Linux's word for the end
            break
        if not shown:
            break
        sys.stdout.buffer.write(shown)
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
