#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""debian - lists of files that are like a Debian root: 10,000 of this machine's /usr, 200 MB together.

    debian.py FOLDER [FILES [MEGABYTES [LAYERS]]]

Writes FOLDER/1.list to FOLDER/4.list for `tar --no-recursion -T`: the files of each layer and the folders
that they are in. Which files: folder by folder, in the order of a hash of their paths, each file that keeps
the average size near what is asked for; the same machine gives the same lists.
"""
import hashlib
import os
import stat
import sys


def candidates():
    for top in ("/usr/bin", "/usr/lib", "/usr/share", "/usr/sbin", "/usr/include"):
        for folder, folders, files in os.walk(top):
            folders.sort()
            for name in files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                if "\n" not in path and (stat.S_ISREG(st.st_mode) or stat.S_ISLNK(st.st_mode)):
                    yield hashlib.sha256(folder.encode(errors="surrogateescape")).digest(), path, st.st_size


def chosen(count, total):
    """The first of them by hash; then larger ones in place of the smallest, until they are so many bytes."""
    found, size = [], 0
    rest = iter(sorted(candidates()))
    for _, path, n in rest:
        if size + n <= (len(found) + 1) * total // count + total // 50:
            found.append((n, path))
            size += n
        if len(found) == count:
            break
    found.sort()
    for i in range(len(found)):
        if size >= total:
            break
        for _, path, n in rest:
            if found[i][0] < n <= total - size + 20000:
                size += n - found[i][0]
                found[i] = (n, path)
                break
    return sorted(path for _, path in found), size


def main():
    folder = sys.argv[1]
    count, megabytes, layers = [int(a) for a in sys.argv[2:5]] + [10000, 200, 4][len(sys.argv) - 2:]
    files, size = chosen(count, megabytes * 1000000)
    for i in range(layers):
        part = files[i * len(files) // layers:(i + 1) * len(files) // layers]
        folders = {os.path.dirname(p)[:n] for p in part for n in range(1, len(os.path.dirname(p)) + 1)
                   if (os.path.dirname(p) + "/")[n] == "/"}
        with open(os.path.join(folder, f"{i + 1}.list"), "w", errors="surrogateescape") as f:
            f.writelines(p[1:] + "\n" for p in sorted(folders | set(part)))
    print(f"{len(files)} files, {size} bytes")


main()
