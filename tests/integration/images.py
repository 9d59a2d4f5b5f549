#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""images - images that no registry would give: parts taken away, odd documents, odd names, very many.

    images.py STATE SCENARIO [ARGUMENT...]

Prints "ok" and exits 0. b-image-verbs.bats runs the scenarios.
"""
import hashlib
import json

from bus import Actor, main

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def stored(content, data):
    d = "sha256:" + hashlib.sha256(data).hexdigest()
    content.call("ingest_write", {"ref": d, "data": data})
    content.call("ingest_commit", {"ref": d, "labels": {"containerd.io/gc.root": "yes"}})
    return {"digest": d, "size": len(data)}


def document(content, value, media_type):
    return dict(stored(content, json.dumps(value).encode()), media_type=media_type)


def descriptor(d, **more):
    return dict(mediaType=d["media_type"], digest=d["digest"], size=d["size"], **more)


def name(content, text, target, labels=None):
    content.call("image_create", {"name": text, "target": target, "labels": labels or {}})


def drop(state, digest):
    """A blob goes, whatever needs it."""
    Actor(state, "content").call("blob_remove", {"digest": digest})


def odd(state):
    """Deep, damaged, not an image at all, absent; names and labels with control characters."""
    content = Actor(state, "content")
    leaf = document(content, {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}, INDEX)
    at = leaf
    for _ in range(8):
        at = document(content, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(at)]}, INDEX)
    name(content, "odd/deep", at)
    name(content, "odd/json", dict(stored(content, b"{]"), media_type=MANIFEST))
    name(content, "odd/absent", {"digest": "sha256:" + "0" * 64, "size": 5, "media_type": MANIFEST})
    artifact = {"mediaType": "application/x\x1b[31mred", "digest": leaf["digest"], "size": leaf["size"]}
    name(content, "odd/artifact", document(
        content, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            artifact, descriptor(leaf, platform={"os": "unknown", "architecture": "unknown"})]}, INDEX))
    config = document(content, {"os": "linux", "architecture": "amd64\x1b[31m", "rootfs": {"diff_ids": []}}, CONFIG)
    name(content, "odd/config", document(
        content, {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(config), "layers": []}, MANIFEST))
    name(content, "odd/\x1b[31mred\nname", leaf, {"a\x1b]0;title\x07": "b\x9b\r"})


def named(state, text):
    """An image of this name."""
    content = Actor(state, "content")
    name(content, text, document(content, {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}, INDEX))


def many(state, number):
    """So many names, of a few images."""
    content = Actor(state, "content")
    targets = [document(content, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "n": i}, INDEX)
               for i in range(100)]
    waiting = 0
    for i in range(int(number)):
        content.send("image_create", {"name": f"registry.example.com/team/image-{i:06}:v1",
                                      "target": targets[i % 100], "labels": {"n": str(i)}})
        waiting += 1
        while waiting == 100 or (waiting > 0 and i + 1 == int(number)):
            envelope, body = content.receive()
            assert envelope["kind"] == "reply", body
            waiting -= 1


if __name__ == "__main__":
    main(drop, odd, named, many)
