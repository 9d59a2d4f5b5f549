#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""evil_layers - layers that are wrong or strange in one way each, as OCI layouts to import.

    evil_layers.py make FOLDER CANARY DISK   FOLDER/base, and FOLDER/STYLE for each style: base's layer and a bad one
    evil_layers.py list                      the styles
    evil_layers.py tree FOLDER               what there is of a tree, in the words of STYLE.want

CANARY: a folder of the host that nothing may touch, with a "file" in it; DISK: major:minor of a device that nobody may
open. Beside each layout there is FOLDER/STYLE.want: "refused REGEX", "any" (refused or taken, harmless in both), or
"taken" and the tree that base and the layer are to be together.
"""
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys

OCI = "application/vnd.oci.image."
STYLES = {}
CANARY, DISK, STYLE = "/canary", (7, 0), ""


def style(f):
    STYLES[f.__name__] = f
    return f


# --- tar, byte by byte ---------------------------------------------------------------------------------


def octal(n, size):
    if isinstance(n, bytes):
        return n
    if 0 <= n < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, n)
    return (n & (256 ** size - 1) | 0x80 << 8 * (size - 1)).to_bytes(size, "big") if n >= 0 else n.to_bytes(size, "big", signed=True)


def head(name, kind=b"0", size=0, link=b"", mode=0o644, uid=0, gid=0, mtime=1700000000, dev=(0, 0), gnu=False, tail=b"", add=0):
    h = name[:100].ljust(100, b"\0") + octal(mode, 8) + octal(uid, 8) + octal(gid, 8) + octal(size, 12) + octal(mtime, 12)
    h += b" " * 8 + kind + link[:100].ljust(100, b"\0") + (b"ustar  \0" if gnu else b"ustar\x0000") + bytes(64)
    h += octal(dev[0], 8) + octal(dev[1], 8) + tail
    h = h.ljust(512, b"\0")
    return h[:148] + b"%06o\0 " % (sum(h) + add) + h[156:]


def pad(data):
    return data + bytes(-len(data) % 512)


def entry(name, kind=b"0", data=b"", **k):
    k.setdefault("size", len(data))
    return head(name, kind, **k) + pad(data)


def folder(name, mode=0o755, **k):
    return entry(name, b"5", mode=mode, **k)


def file(name, data=b"evil\n", **k):
    return entry(name, data=data, **k)


def symlink(name, to, **k):
    return entry(name, b"2", link=to, mode=k.pop("mode", 0o777), **k)


def hardlink(name, to, **k):
    return entry(name, b"1", link=to, **k)


def record(key, value):
    body = b" " + key + b"=" + value + b"\n"
    n = len(body)
    while len(str(n)) + len(body) != n:
        n = len(str(n)) + len(body)
    return str(n).encode() + body


def pax(*records, kind=b"x", raw=b""):
    return entry(b"PaxHeaders/x", kind, b"".join(record(k, v) for k, v in records) + raw)


def xattr(name, value):
    return (b"SCHILY.xattr." + name, value)


END = bytes(1024)
INSIDE = lambda: CANARY.encode().lstrip(b"/")


def refused(regex, *parts, **k):
    return dict(want="refused " + regex, tar=b"".join(parts) + END, **k)


BASE = """d 755 etc
f 644 etc/passwd 22
d 755 dir
f 644 dir/file 6
f 644 dir/twin 6
l 777 link -> /etc"""


def tree_wanted(tree):
    return "\n".join(["taken"] + sorted((BASE + "\n" + tree).strip().split("\n")))


def taken(tree, *parts, **k):
    return dict(want=tree_wanted(tree), tar=b"".join(parts) + END, **k)


def harmless(*parts, **k):
    return dict(want="any", tar=b"".join(parts) + END, **k)


def parents(path):
    """What find says of the folders above a path that are made on the way."""
    parts = path.split("/")[:-1]
    return "\n".join("d 755 %s" % "/".join(parts[:i + 1]) for i in range(len(parts)))


# --- names and links -----------------------------------------------------------------------------------


@style
def dotdot():
    return taken("f 644 evil 5", file(b"../../../../../../../../evil"))


@style
def dotdot_canary():
    p = CANARY[1:] + "/file"
    return taken(parents(p) + "\nf 644 %s 5" % p, file(b"../" * 20 + p.encode()))


@style
def absolute():
    return taken("f 644 etc/evil 5", file(b"/etc/evil"))


@style
def absolute_canary():
    p = CANARY[1:] + "/file"
    return taken(parents(p) + "\nf 644 %s 5" % p, file(b"/" + p.encode()))


@style
def symlink_write():
    p = CANARY[1:] + "/file"
    return taken("l 777 out -> %s\n" % CANARY + parents(p) + "\nf 644 %s 5" % p, symlink(b"out", CANARY.encode()), file(b"out/file"))


@style
def symlink_write_relative():
    p = CANARY[1:] + "/file"
    to = "../" * 12 + CANARY[1:]
    return taken("l 777 out -> %s\n" % to + parents(p) + "\nf 644 %s 5" % p, symlink(b"out", to.encode()), file(b"out/file"))


@style
def symlink_up():
    return taken("l 777 up -> ../..\nf 644 evil 5", symlink(b"up", b"../.."), file(b"up/../../evil"))


@style
def symlink_over():
    return taken("f 644 out 5", symlink(b"out", CANARY.encode() + b"/file"), file(b"out"))


@style
def symlink_folder_over():
    return taken("d 777 out", symlink(b"out", CANARY.encode()), folder(b"out", 0o777))


@style
def symlink_loop():
    return harmless(symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/file"))


@style
def symlink_proc():
    return harmless(symlink(b"p", b"/proc/self/root"), file(b"p/" + INSIDE() + b"/file"), symlink(b"q", b"/proc/1/cwd"), file(b"q/evil"))


@style
def symlink_below():
    """A link of the layer below leads out: "link" in base goes to /etc."""
    return taken("f 644 etc/evil 5", file(b"link/evil"))


@style
def symlink_swapped():
    """A folder becomes a link between two uses of it."""
    p = CANARY[1:] + "/b"
    return taken("l 777 d -> %s\n" % CANARY + parents(p) + "\nf 644 %s 5" % p, folder(b"d"), file(b"d/a"), symlink(b"d", CANARY.encode()),
                 file(b"d/b"))


@style
def symlink_empty():
    return refused("nothing|empty", symlink(b"l", b""))


@style
def symlink_root():
    return refused("root folder", symlink(b"./", b"/etc"))


@style
def file_root():
    return refused("root folder", file(b"."))


@style
def hardlink_symlink():
    """CVE-2021-32760: the mode of a hard link to a link went to where the link leads."""
    to = CANARY + "/file"
    return taken("l 777 h -> %s\nl 777 s -> %s" % (to, to), symlink(b"s", to.encode(), mode=0o6777), hardlink(b"h", b"s", mode=0o6777))


@style
def hardlink_symlink_written():
    to = CANARY + "/file"
    return taken("f 4755 h 5\nl 777 s -> %s" % to, symlink(b"s", to.encode()), hardlink(b"h", b"s"), file(b"h", mode=0o4755))


@style
def hardlink_nowhere():
    return refused("not in this layer|in no layer", hardlink(b"h", b"/etc/shadow"))


@style
def hardlink_canary():
    return refused("not in this layer|in no layer", hardlink(b"h", CANARY.encode() + b"/file"))


@style
def hardlink_up():
    return refused("root folder", hardlink(b"h", b".."))


@style
def hardlink_root():
    return refused("root folder", hardlink(b"h", b"/"))


@style
def hardlink_from_root():
    return refused("root folder", file(b"a"), hardlink(b"..", b"a"))


@style
def hardlink_itself():
    return refused("not in this layer|in no layer", hardlink(b"h", b"h"))


@style
def hardlink_folder():
    return refused("folder", folder(b"d"), hardlink(b"h", b"d"))


@style
def hardlink_through_link():
    return refused("not in this layer|in no layer", symlink(b"d", CANARY.encode()), hardlink(b"h", b"d/file"))


@style
def hardlink_whiteout():
    return refused("not in this layer|in no layer", file(b".wh.gone"), hardlink(b"h", b"gone"))


@style
def names_empty():
    return refused("empty name|not a sound tar", entry(b"", data=b"evil"))


@style
def names_lines():
    return taken("f 644 a\\nb\\033[31m 5", file(b"a\nb\x1b[31m"))


@style
def names_lines_told():
    return refused(r"archive entry .a.{1,12}b.{1,20}\[31m", hardlink(b"a\nb\x1b[31m", b"nothing"))


@style
def names_256():
    return refused("longer than 255", pax((b"path", b"x" * 256)), file(b"x"))


@style
def names_5000():
    return refused("longer than 4095", pax((b"path", b"d/" * 2500 + b"x")), file(b"x"))


@style
def names_deep():
    """Deeper than any path can say."""
    out, level = [], b"/".join([b"a"] * 1900)
    for i in range(4):
        out += [folder((b"s%d/" % (i - 1) if i else b"") + b"a")]
        out += [pax((b"path", (b"s%d/" % (i - 1) if i else b"") + level)), folder(b"x")]
        out += [pax((b"linkpath", (b"s%d/" % (i - 1) if i else b"") + level)), symlink(b"s%d" % i, b"x")]
    return harmless(*out)


# --- whiteouts -----------------------------------------------------------------------------------------


@style
def whiteout_nothing():
    return refused("would remove nothing", file(b".wh."))


@style
def whiteout_dot():
    return refused("would remove its own folder", file(b"etc/.wh.."))


@style
def whiteout_dotdot():
    return refused("would remove its own folder", file(b"etc/.wh..."))


@style
def whiteout_root():
    return refused("would remove its own folder", file(b".wh.."))


@style
def whiteout_up():
    return taken("", file(b"../../../.wh." + b"nothing"))


@style
def whiteout_through_link():
    return harmless(symlink(b"out", CANARY.encode()), file(b"out/.wh.file"))


@style
def whiteout_twice():
    return taken("f 644 a 5", file(b".wh.a"), file(b".wh.a"), file(b"a"), file(b".wh.a"))


@style
def opaque_through_link():
    return harmless(symlink(b"out", CANARY.encode()), file(b"out/.wh..wh..opq"))


@style
def opaque_file():
    return harmless(file(b"a"), file(b"a/.wh..wh..opq"))


@style
def whiteout_folder():
    return harmless(folder(b".wh.x"), file(b".wh.x/evil"))


@style
def aufs():
    return taken("", file(b".wh..wh.aufs"), folder(b".wh..wh.orph"), file(b".wh..wh.plnk/5.6"))


# --- nodes, modes, owners ------------------------------------------------------------------------------


@style
def device_disk():
    return taken("b 666 disk %d:%d\nf 644 written 5" % DISK, entry(b"disk", b"4", dev=DISK, mode=0o666), entry(b"written", b"4", dev=DISK),
                 file(b"written"))


@style
def device_linked():
    return harmless(entry(b"disk", b"4", dev=DISK, mode=0o666), hardlink(b"again", b"disk"), symlink(b"l", b"disk"), file(b"l/evil"))


@style
def device_mark():
    return refused("mark for a removed file", entry(b"x", b"3", dev=(0, 0)))


@style
def device_numbers():
    return refused("no such numbers", entry(b"x", b"3", dev=(70000, 1)))


@style
def device_negative():
    return refused("no such numbers", entry(b"x", b"4", dev=(-1, -1)))


@style
def setuid():
    return taken("f 6755 s 5\nd 3777 d", file(b"s", mode=0o6755, uid=1000, gid=1000), folder(b"d", 0o3777))


@style
def mode_all_bits():
    return harmless(file(b"s", mode=0o7777777), folder(b"d", 0o7777777))


@style
def owner_huge():
    return refused("owner", file(b"x", uid=2 ** 40))


@style
def owner_negative():
    return refused("owner", file(b"x", uid=-1))


@style
def owner_pax():
    return refused("owner", pax((b"uid", b"4294967295")), file(b"x"))


# --- pax headers ---------------------------------------------------------------------------------------


@style
def pax_100mb():
    return refused("not a sound tar", pax((b"comment", b"x" * 100_000_000)), file(b"a"))


@style
def pax_path_100mb():
    return refused("not a sound tar|longer than", pax((b"path", b"x/" * 50_000_000)), file(b"a"))


@style
def pax_million_keys():
    return harmless(pax(*((b"SCHILY.xattr.user.k%d" % i, b"v") for i in range(1_000_000))), file(b"a"))


@style
def pax_xattrs_2000():
    return refused("more than .* extended attributes|not a sound tar", pax(*((b"SCHILY.xattr.user.k%d" % i, b"v") for i in range(2000))),
                   file(b"a"))


@style
def pax_xattr_200kb():
    return refused("attribute", pax(xattr(b"user.big", b"x" * 200_000)), file(b"a"))


@style
def pax_nul():
    return harmless(pax((b"path", b"a\0/../../etc/evil")), file(b"x"))


@style
def pax_nul_key():
    return harmless(pax((b"SCHILY.xattr.user.a\0b", b"v"), (b"pa\0th", b"q")), file(b"x"))


@style
def pax_nul_link():
    return harmless(pax((b"linkpath", b"a\0b")), hardlink(b"x", b"y"))


@style
def pax_length_zero():
    return harmless(pax(raw=b"0 path=evil\n"), file(b"a"))


@style
def pax_length_huge():
    return harmless(pax(raw=b"99999999999999999999 path=evil\n"), file(b"a"))


@style
def pax_length_negative():
    return harmless(pax(raw=b"-5 path=evil\n"), file(b"a"))


@style
def pax_length_short():
    return harmless(pax(raw=b"3 path=evil\n"), file(b"a"))


@style
def pax_size_negative():
    return harmless(pax((b"size", b"-1")), file(b"a"))


@style
def pax_size_huge():
    return refused("more than|not a sound tar|truncated", pax((b"size", b"9223372036854775807")), file(b"a"))


@style
def pax_size_lies():
    return harmless(pax((b"size", b"100000")), file(b"a"))


@style
def pax_times():
    return harmless(pax((b"mtime", b"99999999999999999999.5")), file(b"a"), pax((b"mtime", b"nan")), file(b"b"), pax((b"mtime", b"-1e99")),
                    file(b"c"))


@style
def pax_alone():
    return harmless(pax((b"path", b"evil")))


@style
def pax_thousands():
    return harmless(*[pax((b"path", b"evil"))] * 2000, file(b"a"))


@style
def pax_global():
    return harmless(pax((b"path", b"../../evil"), (b"linkpath", b"/etc/passwd"), kind=b"g"), file(b"a"), symlink(b"b", b"c"))


# --- attributes ----------------------------------------------------------------------------------------


@style
def xattrs_overlay():
    return taken("d 755 d\nf 644 f 5", pax(xattr(b"trusted.overlay.opaque", b"y"), xattr(b"trusted.overlay.redirect", b"/etc"),
                                         xattr(b"user.overlay.opaque", b"y"), xattr(b"trusted.overlay.origin", b"x"),
                                         xattr(b"trusted.evil", b"x"), xattr(b"security.selinux", b"x"), xattr(b"security.evil", b"x")), folder(b"d"),
                 pax(xattr(b"trusted.overlay.metacopy", b""), xattr(b"trusted.overlay.redirect", b"/etc/passwd"),
                     xattr(b"user.overlay.metacopy", b""), xattr(b"user.overlay.redirect", b"/etc/passwd")), file(b"f"))


@style
def xattrs_overlay_over():
    """On folders that base has too: its files stay to be seen."""
    return taken("", pax(xattr(b"trusted.overlay.opaque", b"y"), xattr(b"user.overlay.opaque", b"y")), folder(b"etc"),
                 pax(xattr(b"trusted.overlay.opaque", b"x"), xattr(b"user.overlay.whiteouts", b"y")), folder(b"./"))


@style
def xattrs_libarchive():
    """The same by the other key that libarchive reads: the value is base64."""
    return taken("d 755 d", pax((b"LIBARCHIVE.xattr.trusted.overlay.opaque", b"eQ=="), (b"LIBARCHIVE.xattr.user.overlay.opaque", b"eQ=="),
                                (b"LIBARCHIVE.xattr.trusted%2eoverlay.redirect", b"L2V0Yw==")), folder(b"d"))


@style
def xattrs_names():
    return harmless(pax(xattr(b"", b"x"), xattr(b"user.", b"x"), xattr(b"user." + b"n" * 300, b"x"), xattr(b"evil", b"x")), file(b"a"))


@style
def xattrs_values():
    return harmless(pax(xattr(b"security.capability", b"nonsense"), xattr(b"system.posix_acl_access", b"\xff" * 7)), file(b"a"))


@style
def xattrs_acl():
    return harmless(pax((b"SCHILY.acl.access", b"user::rwx,group::r-x,other::r--,user:evil:rwx:x\0,,,:::"), (b"SCHILY.acl.default", b"\xff,:")),
                    folder(b"a"))


# --- sizes ---------------------------------------------------------------------------------------------


@style
def size_negative():
    return refused("not a sound tar|more than", entry(b"a", size=-512) + bytes(512))


@style
def size_huge():
    return refused("more than", entry(b"a", size=2 ** 62))


@style
def size_octal_huge():
    return refused("more than|truncated", entry(b"a", size=b"77777777777\0"))


@style
def size_max():
    return refused("more than|not a sound tar", entry(b"a", size=b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7))


@style
def size_lies():
    return refused("truncated|not a sound tar", head(b"a", size=1 << 20) + bytes(512))


@style
def size_no_number():
    return harmless(head(b"a", size=b"evil  evil  "))


@style
def size_of_folder():
    return harmless(head(b"d", b"5", size=1000, mode=0o755) + file(b"in") + bytes(512), file(b"b"))


@style
def size_of_link():
    return harmless(file(b"a"), head(b"h", b"1", link=b"a", size=1 << 40), file(b"b"))


@style
def checksum():
    return refused("not a sound tar", file(b"a"), head(b"b", add=1))


# --- sparse --------------------------------------------------------------------------------------------


def sparse_old(pieces, size, data):
    """GNU's own, of at most four pieces."""
    tail = bytes(41) + b"".join(octal(at, 12) + octal(n, 12) for at, n in pieces)
    tail = tail.ljust(41 + 96, b"\0") + b"\0" + octal(size, 12)
    return entry(b"s", b"S", data, gnu=True, tail=tail[:167])


def sparse_pax(pieces, size, data=b"", count=None, raw=None):
    """Version 1.0: the map before the data."""
    m = raw if raw is not None else b"%d\n" % (len(pieces) if count is None else count) + b"".join(b"%d\n%d\n" % p for p in pieces)
    return pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"s"), (b"GNU.sparse.realsize", b"%d" % size)) + \
        entry(b"GNUSparseFile.0/s", data=pad(m) + data)


@style
def sparse_sound():
    return taken("f 644 s 100000", sparse_pax([(4096, 512), (99000, 1000)], 100000, b"x" * 1512))


@style
def sparse_overlaps():
    return refused("on top of|sparse|outside", sparse_pax([(0, 512), (256, 512)], 4096, b"x" * 1024))


@style
def sparse_backwards():
    return refused("on top of|sparse|outside", sparse_pax([(2048, 512), (0, 512)], 4096, b"x" * 1024))


@style
def sparse_outside():
    return refused("outside|sparse", sparse_pax([(0, 512), (1 << 40, 512)], 4096, b"x" * 1024))


@style
def sparse_numbers():
    return harmless(sparse_pax([], 4096, b"x" * 512, raw=b"1\n9223372036854775807\n9223372036854775807\n"))


@style
def sparse_negative():
    return harmless(sparse_pax([], 4096, b"x" * 512, raw=b"2\n-5\n-5\n-1\n512\n"))


@style
def sparse_endless_map():
    return harmless(sparse_pax([], 4096, b"x" * 512, raw=b"99999999\n" + b"1" * 5000))


@style
def sparse_many():
    return harmless(sparse_pax([(i * 2, 1) for i in range(300_000)], 600_000, b"x" * 300_000))


@style
def sparse_huge():
    return refused("more than", sparse_pax([(0, 512)], 1 << 60, b"x" * 512))


@style
def sparse_old_overlaps():
    return refused("on top of|sparse|outside", sparse_old([(0, 512), (256, 512)], 4096, b"x" * 1024))


@style
def sparse_old_backwards():
    return refused("on top of|sparse|outside", sparse_old([(2048, 512), (0, 512)], 4096, b"x" * 1024))


@style
def sparse_map_text():
    return harmless(pax((b"GNU.sparse.map", b"0,512,100,512,-1,5,evil"), (b"GNU.sparse.size", b"4096"), (b"GNU.sparse.numblocks", b"-7")),
                    file(b"s", b"x" * 1024))


# --- GNU's long names ----------------------------------------------------------------------------------


@style
def long_name_endless():
    return refused("not a sound tar", entry(b"././@LongLink", b"L", b"x" * 4096, size=8 << 30, gnu=True), file(b"a"))


@style
def long_name_100mb():
    return refused("not a sound tar|longer than", entry(b"././@LongLink", b"L", b"x" * 100_000_000, gnu=True), file(b"a"))


@style
def long_name_no_nul():
    return harmless(entry(b"././@LongLink", b"L", b"y" * 512, gnu=True), file(b"a"))


@style
def long_name_alone():
    return harmless(entry(b"././@LongLink", b"L", b"evil\0", gnu=True))


@style
def long_name_thousands():
    return harmless(*[entry(b"././@LongLink", b"L", b"evil\0", gnu=True)] * 2000, file(b"a"))


@style
def long_link_endless():
    return refused("not a sound tar", entry(b"././@LongLink", b"K", b"x" * 4096, size=-1, gnu=True), symlink(b"a", b"b"))


@style
def types_unknown():
    return harmless(entry(b"z", b"Z", b"evil"), entry(b"v", b"V"), entry(b"m", b"M", b"evil"), entry(b"d", b"D", b"Yevil\0"), entry(b"n", b"N"),
                    entry(b"c", b"7", b"evil"))


# --- streams -------------------------------------------------------------------------------------------


def sound():
    """Another one for each style: what is unpacked already is not looked at again."""
    own = hashlib.sha256(STYLE.encode()).hexdigest()[:5].encode()
    return b"".join([folder(b"d"), file(b"d/a", b"x" * 5000), file(b"b", own)]) + END


SOUND = "d 755 d\nf 644 d/a 5000\nf 644 b 5"


@style
def empty():
    return dict(want=tree_wanted(""), tar=b"")


@style
def no_end():
    return dict(taken(SOUND), tar=sound()[:-1024])


@style
def garbage():
    return dict(want="refused not a sound tar", tar=random.Random(1).randbytes(10000))


@style
def garbage_behind():
    return dict(taken(SOUND), tar=sound() + b"evil" * 1000)


@style
def truncated_head():
    return dict(want="refused not a sound tar", tar=sound()[:700])


@style
def truncated_body():
    return dict(want="refused not a sound tar", tar=sound()[:3000])


@style
def gzip_truncated():
    return dict(want="refused gzip", tar=sound(), blob=gzip.compress(sound())[:-20], kind="+gzip")


@style
def gzip_half():
    tar = sound() + random.Random(2).randbytes(100000)
    return dict(want="refused gzip", tar=tar, blob=gzip.compress(tar)[:50000], kind="+gzip")


@style
def gzip_no_trailer():
    return dict(want="refused gzip", tar=sound(), blob=gzip.compress(sound())[:-8], kind="+gzip")


@style
def gzip_bad_crc():
    z = bytearray(gzip.compress(sound()))
    z[-6] ^= 1
    return dict(want="refused gzip", tar=sound(), blob=bytes(z), kind="+gzip")


@style
def gzip_garbage_behind():
    return dict(want="refused gzip", tar=sound(), blob=gzip.compress(sound()) + b"evil" * 100, kind="+gzip")


@style
def gzip_members():
    s = sound()
    return dict(taken(SOUND), tar=s, blob=b"".join(gzip.compress(s[i:i + 700]) for i in range(0, len(s), 700)), kind="+gzip")


@style
def gzip_members_empty():
    return dict(taken(SOUND), tar=sound(), blob=gzip.compress(b"") * 5000 + gzip.compress(sound()) + gzip.compress(b"") * 5000, kind="+gzip")


@style
def gzip_second_damaged():
    s = sound()
    z = bytearray(gzip.compress(s[3000:]))
    z[20] ^= 0xff
    return dict(want="refused gzip", tar=s, blob=gzip.compress(s[:3000]) + bytes(z), kind="+gzip")


@style
def gzip_name_endless():
    return dict(want="refused gzip", tar=sound(), blob=b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 2_000_000, kind="+gzip")


def zstd(data, *args):
    return subprocess.run(["zstd", "-q", "-c", *args, "-"], input=data, check=True, stdout=subprocess.PIPE).stdout


@style
def zstd_truncated():
    return dict(want="refused zstd", tar=sound(), blob=zstd(sound())[:-5], kind="+zstd")


@style
def zstd_garbage_behind():
    return dict(want="refused zstd", tar=sound(), blob=zstd(sound()) + b"evil" * 10, kind="+zstd")


@style
def zstd_frames():
    s = sound()
    return dict(taken(SOUND), tar=s, blob=zstd(s[:2000]) + b"\x50\x2a\x4d\x18\4\0\0\0evil" + zstd(s[2000:]), kind="+zstd")


def zstd_frame(first, zeros=0, head=b"\0\x58"):
    """By hand: what comes first as it is, then so many blocks of 128 KiB zeros, four bytes each."""
    block = lambda kind, size, data, last=0: (last | kind << 1 | size << 3).to_bytes(3, "little") + data
    return b"\x28\xb5\x2f\xfd" + head + block(0, len(first), first) + block(1, 131072, b"\0") * zeros + block(0, 0, b"", 1)


@style
def zstd_window():
    """Of 2 GiB."""
    return dict(want="refused zstd: .*memory", tar=sound(), blob=zstd_frame(sound(), head=b"\0\xa8"), kind="+zstd")


@style
def zstd_dictionary():
    return dict(want="refused zstd: .*[Dd]ictionary", tar=sound(), blob=zstd_frame(sound(), head=b"\3\x58evil"), kind="+zstd")


@style
def bomb():
    return dict(want="refused more than 500000000 bytes", tar=b"", blob=zstd_frame(b"", 100 * 10**9 >> 17), kind="+zstd")


@style
def bomb_file():
    return dict(want="refused more than 500000000 bytes", tar=b"", blob=zstd_frame(head(b"a", size=100 * 10**9), 8000), kind="+zstd")


@style
def bomb_files():
    """None is too large; together they are."""
    return refused("more than 500000000 bytes", *(sparse_pax([(0, 1)], 90_000_000, b"x") for _ in range(6)))


@style
def bomb_entries():
    return refused("more than 2000 entries", *(file(b"e/%d" % i, b"") for i in range(2001)))


@style
def bomb_same_name():
    return refused("more than 2000 entries", *(file(b"e", b"") for i in range(2001)))


@style
def diff_wrong():
    return dict(want="refused digest", tar=sound(), diff="0" * 64)


# --- layouts -------------------------------------------------------------------------------------------


def base():
    return b"".join([folder(b"./"), folder(b"etc"), file(b"etc/passwd", b"root:x:0:0::/:/bin/sh\n"), folder(b"dir"), file(b"dir/file", b"below\n"),
                     symlink(b"link", b"/etc"), hardlink(b"dir/twin", b"dir/file")]) + END


def put(layout, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(layout + "/blobs/sha256/" + digest, "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def layout(where, name, layers):
    """layers: tar, blob, kind, diff id of each."""
    os.makedirs(where + "/blobs/sha256")
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {"os": "linux", "architecture": arch, "config": {"Cmd": ["sh"]},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + x[3] for x in layers]}}
    cdesc = dict(put(where, json.dumps(config).encode()), mediaType=OCI + "config.v1+json")
    descs = [dict(put(where, x[1]), mediaType=OCI + "layer.v1.tar" + x[2]) for x in layers]
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "config": cdesc, "layers": descs}
    mdesc = dict(put(where, json.dumps(manifest).encode()), mediaType=OCI + "manifest.v1+json",
                 annotations={"org.opencontainers.image.ref.name": name})
    with open(where + "/oci-layout", "w") as f:
        json.dump({"imageLayoutVersion": "1.0.0"}, f)
    with open(where + "/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [mdesc]}, f)


def layer(tar, blob=None, kind="", diff=None):
    blob = tar if blob is None else blob
    if len(tar) > 1 << 20 and blob is tar:
        blob, kind = gzip.compress(tar, 1, mtime=0), "+gzip"
    return (tar, blob, kind, diff or hashlib.sha256(tar).hexdigest())


def tree(root):
    for at, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(at, name)
            st = os.lstat(path)
            kind = {0o04: "d", 0o10: "f", 0o12: "l", 0o06: "b", 0o02: "c", 0o01: "p"}[st.st_mode >> 12]
            line = "%s %o %s" % (kind, st.st_mode & 0o7777, os.path.relpath(path, root).encode("unicode_escape").decode().replace("\\x1b", "\\033"))
            if kind == "f":
                line += " %d" % st.st_size
            if kind == "l":
                line += " -> " + os.readlink(path)
            if kind in "bc":
                line += " %d:%d" % (os.major(st.st_rdev), os.minor(st.st_rdev))
            yield line


def main():
    global CANARY, DISK, STYLE
    if sys.argv[1] == "tree":
        print("\n".join(["taken"] + sorted(tree(sys.argv[2]))))
        return
    if sys.argv[1:] == ["list"]:
        print("\n".join(STYLES))
        return
    where, CANARY = sys.argv[2:4]
    DISK = tuple(int(n) for n in sys.argv[4].split(":"))
    below = layer(base())
    layout(where + "/base", "base:1", [below])
    for name, make in STYLES.items():
        STYLE = name
        s = make()
        with open("%s/%s.want" % (where, name), "w") as f:
            f.write(s.pop("want") + "\n")
        layout("%s/%s" % (where, name), name + ":1", [below, layer(**s)])


if __name__ == "__main__":
    main()
