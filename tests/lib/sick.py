# SPDX-License-Identifier: Apache-2.0
"""sick - documents that are wrong on purpose, for evil_registry.py. MODES: what each is.

A document is made from the true manifest's bytes; a pair of bytes and media type, the type None when
it is the true one's.
"""
import hashlib
import json

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def changed(data, change):
    doc = json.loads(data)
    change(doc)
    return json.dumps(doc).encode(), None


def both(data):
    return changed(data, lambda d: d.update(manifests=[dict(d["config"], mediaType=MANIFEST)]))


def wrong_size(step):
    def change(doc):
        for d in doc["layers"]:
            d["size"] += step
    return lambda data: changed(data, change)


def urls(data):
    def change(doc):
        for d in doc["layers"]:
            d["digest"] = "sha256:" + hashlib.sha256(d["digest"].encode()).hexdigest()
            d["urls"] = ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:TRAP/trap",
                         "file:///etc/passwd"]
    return changed(data, change)


def text(old, new):
    return lambda data: (data.replace(old, new, 1), None)


def entry(digest, size, kind):
    return {"mediaType": kind, "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": "amd64"}}


def index_of(digest, size, kind):
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                       "manifests": [entry(digest, size, kind)]}).encode()


def chain(depth, data):
    """Indexes in indexes, from the innermost; all of them by their digests."""
    docs = {}
    kind = MANIFEST
    for _ in range(depth):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        docs[digest] = (data, kind)
        data, kind = index_of(digest, len(data), INDEX if docs[digest][1] == INDEX else MANIFEST), INDEX
    return docs, data


MODES = {
    "both": both,                                   # an index and a manifest at once
    "wrongtype": lambda data: (data, "application/vnd.docker.distribution.manifest.v2+json"),
    "toosmall": wrong_size(-1),                     # the descriptor's size is one short
    "toolarge": wrong_size(1),
    "urls": urls,                                   # layers are nowhere, but for urls
    "million": lambda data: (data[:-1] + b',"extra":[' + b"{}," * 1000000 + b"{}]}", None),
    "millionlayers": lambda data: (b'{"schemaVersion":2,"layers":[' + b"{}," * 999999 + b"{}]}", None),
    "dupkeys": text(b'"schemaVersion"', b'"schemaVersion": 2, "schemaVersion"'),
    "nul": text(b'"schemaVersion"', b'"a\\u0000b": "c\\u0000d", "schemaVersion"'),
    "rawnul": text(b'"schemaVersion"', b'"a\0b": 1, "schemaVersion"'),
    "hugenumber": text(b'"schemaVersion"', b'"n": 1' + b"0" * 1000000 + b', "schemaVersion"'),
    "hugesize": text(b'"size": ', b'"size": 9999999999999999999'),
    "exponent": text(b'"size": ', b'"size": 1e99999'),
    "trailing": lambda data: (data + b"{}", None),
    "bom": lambda data: (b"\xef\xbb\xbf" + data, None),
    "escapetype": lambda data: changed(data, lambda d: d.update(mediaType="\x1b[31mred\x07\n"))[:1] + (None,),
    "selfindex": lambda data: (index_of("sha256:" + "5" * 64, 500, INDEX), INDEX),
}
