#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""evil_archive - image archives that are wrong in one way each, on stdout.

    evil_archive.py STYLE     the archive of that style (a function style_* below)
    evil_archive.py list      all styles, one a line
    evil_archive.py good      the sound one that they are made from
    evil_archive.py attested  an index of the image and an attestation of it, as buildx makes it: sound
    evil_archive.py signed    the same with a signature beside the image, as cosign saves it: sound too
"""
import hashlib
import io
import json
import sys
import tarfile

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
NAME = "org.opencontainers.image.ref.name"
ZERO = "0" * 64


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dump(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def desc(kind, data, **more):
    return dict({"mediaType": kind, "digest": digest(data), "size": len(data)}, **more)


class Archive:
    """Files in order; what a style changes is a member or a document."""

    def __init__(self):
        self.files = []

    def file(self, path, data):
        info = tarfile.TarInfo(path)
        info.size = len(data)
        self.files.append((info, data))

    def link(self, path, to, kind=tarfile.SYMTYPE):
        info = tarfile.TarInfo(path)
        info.type = kind
        info.linkname = to
        self.files.append((info, b""))

    def blob(self, data):
        self.file("blobs/" + digest(data).replace(":", "/"), data)
        return data

    def bytes(self):
        out = io.BytesIO()
        for info, data in self.files:
            out.write(info.tobuf(tarfile.GNU_FORMAT))
            out.write(data + bytes(-len(data) % 512))
        out.write(bytes(1024))
        return out.getvalue()


def layer():
    """Another one for each style, so that what one test stored is of no use to the next."""
    out = io.BytesIO()
    text = sys.argv[1].encode()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo("hello")
        info.size = len(text)
        t.addfile(info, io.BytesIO(text))
    return out.getvalue()


def config(diff_ids):
    return {"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids}}


def image(edit_config=None, edit_manifest=None, edit_index=None, drop=(), index=None, first=()):
    """A whole image; edits change its documents, drop leaves blobs out."""
    a = Archive()
    data = layer()
    cfg = config([digest(data)])
    if edit_config:
        edit_config(cfg)
    cfg = dump(cfg)
    man = {"schemaVersion": 2, "mediaType": MANIFEST, "config": desc(CONFIG, cfg), "layers": [desc(LAYER, data)]}
    if edit_manifest:
        edit_manifest(man)
    man = dump(man)
    idx = {"schemaVersion": 2, "manifests": [desc(MANIFEST, man, annotations={NAME: "evil:1"})]}
    if edit_index:
        edit_index(idx)
    for path, body in first:
        a.file(path, body)
    a.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    for name, body in (("layer", data), ("config", cfg), ("manifest", man)):
        if name not in drop:
            a.blob(body)
    if "index" not in drop:
        a.file("index.json", dump(idx) if index is None else index)
    return a


def good():
    return image().bytes()


def signed():
    a = image(drop=["index"])
    man = [f for f in a.files if f[0].name.startswith("blobs/")][-1][1]
    a.blob(b"{}")
    sig = a.blob(dump({"schemaVersion": 2, "mediaType": MANIFEST,
                       "config": desc("application/vnd.dev.cosign.simplesigning.v1+json", b"{}"),
                       "layers": [desc("application/octet-stream", b"{}")]}))
    a.file("index.json", dump({"schemaVersion": 2, "manifests": [
        desc(MANIFEST, man, annotations={NAME: "evil:1"}),
        desc(MANIFEST, sig, annotations={"kind": "dev.cosignproject.cosign/sigs"})]}))
    return a.bytes()


def attested():
    a = image(drop=["index"])
    man = [f for f in a.files if f[0].name.startswith("blobs/")][-1][1]
    statement = a.blob(b"{}")
    att = a.blob(dump({"schemaVersion": 2, "mediaType": MANIFEST, "config": desc(CONFIG, statement),
                       "layers": [desc("application/vnd.in-toto+json", statement)]}))
    idx = a.blob(dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        desc(MANIFEST, man, platform={"os": "linux", "architecture": "amd64"}),
        desc(MANIFEST, att, platform={"os": "unknown", "architecture": "unknown"})]}))
    a.file("index.json", dump({"schemaVersion": 2, "manifests": [desc(INDEX, idx, annotations={NAME: "evil:1"})]}))
    return a.bytes()


def with_index(text):
    return image(index=text).bytes()


def with_manifest(edit):
    return image(edit_manifest=edit).bytes()


def set_in(path, value):
    def edit(doc):
        for key in path[:-1]:
            doc = doc[key]
        doc[path[-1]] = value
    return edit


# --- names and links -------------------------------------------------------------------------------

def style_absolute():
    return image(first=[("/etc/evil", b"x")]).bytes()


def style_dotdot():
    return image(first=[("../evil", b"x")]).bytes()


def style_dotdot_blob():
    return image(first=[("blobs/sha256/../../../evil", b"x")]).bytes()


def style_link_absolute():
    a = image()
    a.link("blobs/sha256/" + "1" * 64, "/etc/passwd")
    return a.bytes()


def style_link_out():
    a = image()
    a.link("blobs/sha256/" + "1" * 64, "../../../etc/passwd")
    return a.bytes()


def style_hardlink_out():
    a = image()
    a.link("x", "../etc/passwd", tarfile.LNKTYPE)
    return a.bytes()


def style_hardlink_absolute():
    a = image()
    a.link("x", "/etc/passwd", tarfile.LNKTYPE)
    return a.bytes()


def style_index_link():
    a = image(drop=["index"])
    a.link("index.json", "other.json")
    a.file("other.json", b"{}")
    return a.bytes()


def style_layout_link():
    a = Archive()
    a.link("oci-layout", "x")
    return a.bytes()


def style_two_index():
    a = image()
    a.file("index.json", b'{"schemaVersion":2,"manifests":[]}')
    return a.bytes()


def style_two_saved():
    a = Archive()
    a.file("manifest.json", b"[]")
    a.file("./manifest.json", b"[]")
    return a.bytes()


def style_long_name():
    return image(first=[("a/" * 600 + "x", b"x")]).bytes()


# --- docker save's form -----------------------------------------------------------------------------

def saved(manifest, first=()):
    a = Archive()
    data = layer()
    cfg = dump(config([digest(data)]))
    for path, to in first:
        a.link(path, to)
    a.file("l/layer.tar", data)
    a.file("config.json", cfg)
    a.file("manifest.json", dump(manifest))
    return a.bytes()


def style_saved_layer_missing():
    return saved([{"Config": "config.json", "RepoTags": ["evil:1"], "Layers": ["m/layer.tar"]}])


def style_saved_config_missing():
    return saved([{"Config": "other.json", "RepoTags": ["evil:1"], "Layers": ["l/layer.tar"]}])


def style_saved_link_loop():
    return saved([{"Config": "config.json", "RepoTags": ["evil:1"], "Layers": ["a"]}], [("a", "b"), ("b", "a")])


def style_saved_tag():
    return saved([{"Config": "config.json", "RepoTags": ["evil\x1b[2J\n:1"], "Layers": ["l/layer.tar"]}])


def style_saved_tags_many():
    """Few bytes for a name each: a million would be looked for among a million."""
    tags = [f"a:{i}" for i in range(1000)]
    return saved([{"Config": "config.json", "RepoTags": [f"a{n}/{t}" for t in tags], "Layers": ["l/layer.tar"]}
                  for n in range(10)])


def style_saved_layers_many():
    return saved([{"Config": "config.json", "Layers": ["l/layer.tar"] * 10000}])


def style_saved_two_layers_one_diff_id():
    return saved([{"Config": "config.json", "Layers": ["l/layer.tar"] * 2}])


def style_saved_no_list():
    return saved({"Config": "config.json"})


def style_saved_config_is_layer():
    return saved([{"Config": "l/layer.tar", "Layers": ["l/layer.tar"]}])


# --- what does not fit ------------------------------------------------------------------------------

def style_no_index():
    return image(drop=["index"]).bytes()


def style_no_layout():
    a = image()
    a.files = [f for f in a.files if f[0].name != "oci-layout"]
    return a.bytes()


def style_layout_version():
    a = Archive()
    a.file("oci-layout", b'{"imageLayoutVersion":"2.0.0"}')
    return a.bytes()


def style_manifest_missing():
    return image(drop=["manifest"]).bytes()


def style_config_missing():
    return image(drop=["config"]).bytes()


def style_layer_missing():
    return image(drop=["layer"]).bytes()


def style_digest_wrong():
    return image(first=[("blobs/sha256/" + ZERO, b"not what it says")]).bytes()


def style_layer_size():
    return with_manifest(lambda m: m["layers"][0].update(size=m["layers"][0]["size"] + 1))


def style_manifest_size():
    return image(edit_index=lambda i: i["manifests"][0].update(size=1)).bytes()


def style_diff_id():
    return image(edit_config=set_in(["rootfs", "diff_ids"], ["sha256:" + ZERO])).bytes()


def style_diff_ids_two():
    return image(edit_config=lambda c: c["rootfs"]["diff_ids"].append("sha256:" + ZERO)).bytes()


def style_nothing_named():
    return image(edit_index=lambda i: i["manifests"].clear()).bytes()


def style_name_escape():
    return image(edit_index=set_in(["manifests", 0, "annotations", NAME], "evil\x1b[2J\x07:1")).bytes()


def style_name_long():
    return image(edit_index=set_in(["manifests", 0, "annotations", NAME], "a/" * 5000 + "x:1")).bytes()


def style_uid():
    return image(edit_config=lambda c: c.update(rootfs=7)).bytes()


# --- JSON -------------------------------------------------------------------------------------------

def style_json_size_negative():
    return image(edit_index=lambda i: i["manifests"][0].update(size=-1)).bytes()


def style_json_size_huge():
    return with_manifest(lambda m: m["layers"][0].update(size=2**63))


def style_json_digest_path():
    return image(edit_index=lambda i: i["manifests"][0].update(digest="sha256:../../x")).bytes()


def style_json_digest_upper():
    return image(edit_index=lambda i: i["manifests"][0].update(digest="sha256:" + "A" * 64)).bytes()


def style_json_digest_md5():
    return image(edit_index=lambda i: i["manifests"][0].update(digest="md5:" + "0" * 32)).bytes()


def style_json_both():
    return with_manifest(lambda m: m.update(manifests=[]))


def style_json_type():
    return with_manifest(lambda m: m.update(mediaType=INDEX))


def style_json_twice():
    return with_index(b'{"schemaVersion":2,"manifests":[],"manifests":[]}')


def style_json_trailing():
    return with_index(b'{"schemaVersion":2,"manifests":[]}{}')


def style_json_bom():
    return with_index(b'\xef\xbb\xbf{"schemaVersion":2,"manifests":[]}')


def style_json_utf8():
    return with_index(b'{"schemaVersion":2,"manifests":[],"x":"\xff"}')


def style_json_nul():
    return with_index(b'{"schemaVersion":2,"manifests":[],"x":"\\u0000"}')


def style_json_deep():
    return with_index(b"[" * 1000000)


def style_json_number():
    return with_index(b'{"schemaVersion":2,"manifests":[],"x":1e999999}')


def style_json_digits():
    return with_index(b'{"schemaVersion":2,"manifests":[],"x":' + b"9" * 1000000 + b"}")


def style_json_large():
    return with_index(b'{"schemaVersion":2,"manifests":[]}' + b" " * (5 << 20))


def style_json_entries():
    one = desc(MANIFEST, b"x")
    return with_index(dump({"schemaVersion": 2, "manifests": [one] * 10000}))


def style_json_layers():
    return with_manifest(lambda m: m.update(layers=m["layers"] * 10000))


def style_json_empty():
    return with_index(b"")


def style_json_nested():
    """Fifty indexes, one in the other."""
    a = image(drop=["index"])
    inner = [f for f in a.files if f[0].name.startswith("blobs/")][-1][1]
    kind = MANIFEST
    for _ in range(50):
        inner = a.blob(dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": [desc(kind, inner)]}))
        kind = INDEX
    a.file("index.json", dump({"schemaVersion": 2, "manifests": [desc(kind, inner, annotations={NAME: "evil:1"})]}))
    return a.bytes()


def style_json_config_large():
    """A config of 5 MiB: documents are capped wherever they are."""
    return image(edit_config=lambda c: c.update(x=" " * (5 << 20))).bytes()


# --- the tar itself ---------------------------------------------------------------------------------

def style_tar_size_large():
    """The last file claims more bytes than there are."""
    info = tarfile.TarInfo("index.json")
    info.size = 3000000
    return image(drop=["index"]).bytes()[:-1024] + info.tobuf(tarfile.GNU_FORMAT) + b"{}"


def style_tar_size_small():
    """A file claims fewer bytes than follow: the rest is read as a header."""
    info = tarfile.TarInfo("index.json")
    info.size = 1
    return image(drop=["index"]).bytes()[:-1024] + info.tobuf(tarfile.GNU_FORMAT) + b"{" * 2048 + bytes(1024)


def header_with_size(field):
    info = tarfile.TarInfo("index.json")
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = field
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def style_tar_size_negative():
    return image(drop=["index"]).bytes()[:-1024] + header_with_size(b"\xff" * 12)


def style_tar_size_2_62():
    return image(drop=["index"]).bytes()[:-1024] + header_with_size(b"\x80\0\0\0\x40\0\0\0\0\0\0\0")


def style_tar_checksum():
    raw = bytearray(good())
    raw[20] ^= 1
    return bytes(raw)


def style_not_tar():
    return b"this is no archive at all\n" * 100


def style_empty():
    return b""


def style_rootfs():
    """What docker export writes: a tree of files."""
    a = Archive()
    a.link("bin", "usr/bin")
    a.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
    return a.bytes()


STYLES = {n[len("style_"):]: f for n, f in list(globals().items()) if n.startswith("style_")}
if __name__ == "__main__":
    if sys.argv[1] == "list":
        print("\n".join(STYLES))
    else:
        sys.stdout.buffer.write(dict(STYLES, good=good, signed=signed, attested=attested)[sys.argv[1]]())
