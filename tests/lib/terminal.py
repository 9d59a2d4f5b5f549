#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""terminal - run a command on a terminal and talk to it.

    terminal.py [--size COLSxROWS] [--limit SECONDS] STEP... -- COMMAND...

    expect:REGEX    wait until what came since the last expect matches
    send:TEXT       type it; \\n, \\r, \\x03 and the like are understood
    size:COLSxROWS  change the window's size (the command gets SIGWINCH)
    kill:SIGNAL     send the command a signal: kill:TERM
    close           close the terminal

Prints everything that came, then exits as the command did (128 + signal when one ended it); 99 when
a step was in vain.
"""
import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time


def set_size(fd, text):
    cols, rows = (int(x) for x in text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Session:
    def __init__(self, argv, size, limit):
        self.end = time.monotonic() + limit
        self.seen = b""
        self.mark = 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            set_size(0, size)
            try:
                os.execvp(argv[0], argv)
            finally:
                os._exit(98)

    def read(self):
        """Take what is there, waiting a little. False at the end."""
        if self.fd < 0:
            return False
        if not select.select([self.fd], [], [], 0.05)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.seen += data
        return bool(data)

    def expect(self, regex):
        while True:
            m = re.compile(regex.encode(), re.M | re.S).search(self.seen, self.mark)
            if m:
                self.mark = m.end()
                return True
            more = self.read()
            if not more or time.monotonic() > self.end:
                return bool(re.compile(regex.encode(), re.M | re.S).search(self.seen, self.mark))

    def step(self, text):
        what, _, rest = text.partition(":")
        if what == "expect":
            return self.expect(rest)
        if what == "send":
            os.write(self.fd, rest.encode().decode("unicode_escape").encode("latin-1"))
        elif what == "size":
            set_size(self.fd, rest)
        elif what == "kill":
            os.kill(self.pid, getattr(signal, "SIG" + rest))
        elif what == "close":
            os.close(self.fd)
            self.fd = -1
        else:
            sys.exit(f"terminal: no such step: {text}")
        return True

    def finish(self):
        while time.monotonic() < self.end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read() and select.select([self.fd], [], [], 0)[0]:
                    pass
                return os.waitstatus_to_exitcode(status)
            if not self.read():
                time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--size", default="80x24")
    p.add_argument("--limit", type=float, default=30)
    at = sys.argv.index("--")
    p.add_argument("steps", nargs="*")
    a = p.parse_args(sys.argv[1:at])
    s = Session(sys.argv[at + 1:], a.size, a.limit)
    bad = next((t for t in a.steps if not s.step(t)), None)
    code = None if bad else s.finish()
    sys.stdout.buffer.write(s.seen)
    sys.stdout.flush()
    if bad or code is None:
        if bad:
            os.kill(s.pid, signal.SIGKILL)
        print(f"\nterminal: in vain: {bad or 'the end of the command'}", file=sys.stderr)
        sys.exit(99)
    sys.exit(code if code >= 0 else 128 - code)


main()
