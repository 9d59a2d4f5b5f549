#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tree_entries - all that a tree is, an entry a line, to compare trees: tree_entries.py FOLDER

Type, mode, owner, time to the nanosecond, attributes, size or device or link, which names are one file, and a digest of the
bytes (of files over 64 MiB: of the first, the middle and the last MiB, and that they are mostly holes).
"""
import hashlib
import os
import stat
import sys

root = os.fsencode(sys.argv[1])
os.chdir(root)
first = {}
LARGE, PIECE = 64 << 20, 1 << 20


def content(path, st):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        if st.st_size <= LARGE:
            h.update(f.read())
            return h.hexdigest()[:16]
        for at in (0, st.st_size // 2, st.st_size - PIECE):
            f.seek(at)
            h.update(f.read(PIECE))
    return h.hexdigest()[:16] + (" holes" if st.st_blocks * 512 < LARGE else " no holes")


def attributes(path):
    return [(n, os.getxattr(path, n, follow_symlinks=False)) for n in sorted(os.listxattr(path, follow_symlinks=False))
            if not n.startswith("trusted.overlay.")]


def walk(fd, name):
    """By descriptors: paths may be longer than the kernel takes at once."""
    st = os.lstat(name, dir_fd=fd)
    os.fchdir(fd)
    kind = stat.S_IFMT(st.st_mode)
    what = [stat.filemode(st.st_mode), "%d:%d" % (st.st_uid, st.st_gid), "%d" % st.st_mtime_ns, attributes(name)]
    if kind == stat.S_IFREG:
        what += [st.st_size, content(name, st)]
    elif kind == stat.S_IFLNK:
        what += [os.readlink(name)]
    elif kind in (stat.S_IFBLK, stat.S_IFCHR):
        what += ["%d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev))]
    yield [b""], st, what
    if kind == stat.S_IFDIR:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        for n in sorted(os.listdir(inner)):
            n = os.fsencode(n)
            for path, s, w in walk(inner, n):
                yield [n] + path, s, w
        os.close(inner)


sys.setrecursionlimit(20000)
for path, st, what in walk(os.open(".", os.O_RDONLY), b"."):
    path = b"/".join(path)
    if not stat.S_ISDIR(st.st_mode):
        what += ["is", first.setdefault((st.st_dev, st.st_ino), path)]
    print(path, *what)
