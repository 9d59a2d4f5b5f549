#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""beside - how long others wait: requests one after the other, while garbage is collected or not.

    beside.py STATE SECONDS [gc]

Prints how many there were, their median, 99th percentile and longest time, in milliseconds; with gc, that
of the collections that ran meanwhile too.
"""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "integration"))
from bus import Actor  # noqa: E402


def collect(state, runs, stop):
    content = Actor(state, "content")
    while not stop.is_set():
        runs.append(content.call("gc_run").get("took_ns", 0) / 1e6)


def main():
    state, seconds, gc = sys.argv[1], float(sys.argv[2]), len(sys.argv) > 3
    content, times, runs, stop = Actor(state, "content"), [], [], threading.Event()
    collector = threading.Thread(target=collect, args=(state, runs, stop))
    if gc:
        collector.start()
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        begin = time.monotonic()
        if n % 2 == 0:
            content.call("image_get", {"ref": f"registry.example.com/team-{n % 100}/image-{n % 1000}:v1"})
        else:
            content.call("lease_create", {"id": f"b{os.getpid()}-{n}"})
        times.append((time.monotonic() - begin) * 1000)
        n += 1
    stop.set()
    if gc:
        collector.join()
    times.sort()
    line = f"{n} requests: median {times[n // 2]:.2f}, p99 {times[n * 99 // 100]:.2f}, most {times[-1]:.2f} ms"
    if runs:
        runs.sort()
        line += f"; {len(runs)} collections: median {runs[len(runs) // 2]:.0f}, most {runs[-1]:.0f} ms"
    print(line)


main()
