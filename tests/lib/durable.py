#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""durable - was each blob on disk before a row said that it is there?

    durable.py TRACE HEX...

TRACE is what strace -f -y -s 65536 wrote of the content worker. For each blob, in this order: its last
byte is written; its file is synced; it is renamed into blobs/; that folder is synced; only then a page of
the store that names it is written, and that is synced too. Prints what is otherwise; status 1.
"""
import re
import sys

CALL = re.compile(r"^(\d+)\s+(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")


class Call:
    """One system call: lines of the trace where it began and where it ended."""

    def __init__(self, name, text, begin, end):
        self.name, self.text, self.begin, self.end = name, text, begin, end


def calls(path):
    waiting = {}
    with open(path, errors="replace") as f:
        for n, line in enumerate(f):
            m = CALL.match(line)
            if not m:
                continue
            tid, name, rest = m.groups()
            if "resumed>" in line[:40 + len(name)]:
                name, text, begin = waiting.pop(tid, (name, "", n))
                yield Call(name, text + rest, begin, n)
            elif rest.rstrip().endswith("<unfinished ...>"):
                waiting[tid] = (name, rest, n)
            else:
                yield Call(name, rest, n, n)


def first(found, what, hexname):
    found = list(found)
    if not found:
        print(f"{hexname[:12]}: {what}: never")
        return None
    return found[0]


def check(trace, hexname):
    renames = [c for c in trace if c.name.startswith("rename") and f'"{hexname}"' in c.text
               and "/blobs/" in c.text]
    rename = first(renames, "renamed into blobs", hexname)
    if rename is None:
        return False
    # What it was called before: ingest/<hex>, or blobs/sha256/<hex>.<random>.tmp
    folder, old = re.match(r'\d+<([^>]*)>, "([^"]*)"', rename.text).groups()
    file = f"<{folder}/{old}>"
    blobs = re.search(r'", \d+<([^>]*)>, "', rename.text).group(1)
    writes = [c for c in trace if c.name in ("write", "pwrite64", "ftruncate") and file in c.text]
    last = max((c.end for c in writes), default=-1)
    synced = first((c for c in trace if c.name == "fsync" and file in c.text and c.begin > last),
                   "synced after its last byte", hexname)
    folder = first((c for c in trace if c.name == "fsync" and f"<{blobs}>" in c.text
                    and c.begin > rename.end), "folder synced after the rename", hexname)
    pages = [c for c in trace if c.name in ("pwrite64", "pwritev", "write", "writev")
             and "data.mdb>" in c.text and hexname in c.text]
    row = first(pages, "named by a row", hexname)
    if None in (synced, folder, row) or not writes:
        return False
    commit = first((c for c in trace if c.name in ("fdatasync", "fsync") and "data.mdb>" in c.text
                    and c.begin > row.end), "that row synced", hexname)
    good = commit is not None
    for what, before, after in (("synced before its rename", synced, rename),
                                ("folder synced before a row names it", folder, row)):
        if before.end >= after.begin:
            print(f"{hexname[:12]}: not {what}: lines {before.end + 1}, {after.begin + 1}")
            good = False
    return good


def main():
    trace = list(calls(sys.argv[1]))
    bad = [h for h in sys.argv[2:] if not check(trace, h)]
    sys.exit(1 if bad or len(sys.argv) < 3 else 0)


main()
