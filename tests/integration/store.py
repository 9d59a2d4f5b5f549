#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""store - the content store as a client of the bus sees it: ingests, blobs, images, leases.

    store.py STATE SCENARIO [ARGUMENT...]

Prints "ok" and exits 0, or says what was wrong. b-content.bats runs the scenarios.
"""
import datetime
import hashlib
import os
import signal
import time

from bus import Actor, main

MIB = 1 << 20


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def stored(content, ref, data, labels=None, **more):
    content.call("ingest_write", {"ref": ref, "data": data}, **more)
    return content.call("ingest_commit", {"ref": ref, "labels": labels or {}}, **more)


def ingest(state):
    """Written in pieces, resumed, started over, refused, committed, read back."""
    content = Actor(state, "content")
    data = os.urandom(3 * MIB + 17)
    at = 0
    while at < len(data):
        now = content.call("ingest_write", {"ref": "a", "offset": at, "data": data[at:at + MIB], "total": len(data)})
        at += len(data[at:at + MIB])
        assert now["offset"] == at and now["total"] == len(data), now
    assert content.call("ingest_stat", {"ref": "a"})["offset"] == len(data)
    assert [i["ref"] for i in content.call("ingest_list")["ingests"]] == ["a"]
    said = content.fails("out_of_range", "ingest_write", {"ref": "a", "offset": 5, "data": b"x"})
    assert str(len(data)) in said, said
    content.fails("out_of_range", "ingest_write", {"ref": "a", "offset": len(data) + 1, "data": b"x"})
    content.fails("failed_precondition", "ingest_write", {"ref": "a", "offset": 0, "data": b"", "total": 1})
    content.fails("failed_precondition", "ingest_commit", {"ref": "a", "size": 5})
    content.fails("failed_precondition", "ingest_commit", {"ref": "a", "expected": sha(b"other")})
    blob = content.call("ingest_commit", {"ref": "a", "size": len(data), "expected": sha(data), "labels": {"k": "v"}})
    assert blob["digest"] == sha(data) and blob["size"] == len(data) and blob["labels"] == {"k": "v"}, blob
    content.fails("not_found", "ingest_stat", {"ref": "a"})
    content.fails("not_found", "ingest_commit", {"ref": "a"})
    content.fails("already_exists", "ingest_write", {"ref": "b", "expected": sha(data), "data": b"x"})
    assert content.call("ingest_list").get("ingests", []) == []

    got = b""
    while True:
        rep = content.call("blob_read", {"digest": sha(data), "offset": len(got)})
        assert rep["total"] == len(data)
        if not rep.get("data"):
            break
        got += rep["data"]
    assert got == data
    assert content.call("blob_read", {"digest": sha(data), "offset": 9, "size": 5})["data"] == data[9:14]
    content.fails("out_of_range", "blob_read", {"digest": sha(data), "offset": len(data) + 1})

    content.call("ingest_write", {"ref": "over", "data": b"first"})
    content.call("ingest_write", {"ref": "over", "data": b"2nd"})
    assert content.call("ingest_commit", {"ref": "over"})["digest"] == sha(b"2nd")
    content.call("ingest_write", {"ref": "same", "data": b"2nd"})
    assert content.call("ingest_commit", {"ref": "same"})["digest"] == sha(b"2nd")
    content.call("ingest_write", {"ref": "gone", "data": b"x"})
    content.call("ingest_abort", {"ref": "gone"})
    content.fails("not_found", "ingest_abort", {"ref": "gone"})
    blob = content.call("ingest_write", {"ref": "none"}) and content.call("ingest_commit", {"ref": "none"})
    assert blob["size"] == 0 and blob["digest"] == sha(b"")
    for body in ({"ref": ""}, {"ref": "x", "expected": "sha256:zz"}, {"ref": "x" * 1025}):
        content.fails("invalid_argument", "ingest_write", body)
    five = "sha512:" + hashlib.sha512(b"five").hexdigest()
    content.call("ingest_write", {"ref": "five", "data": b"five", "expected": five})
    assert content.call("ingest_commit", {"ref": "five", "expected": five})["digest"] == five
    content.call("ingest_write", {"ref": "late", "data": b"five!"})
    late = "sha512:" + hashlib.sha512(b"five!").hexdigest()
    assert content.call("ingest_commit", {"ref": "late", "expected": late})["digest"] == late


def resume(state):
    """The worker dies between two writes: the ingest goes on where it was."""
    content = Actor(state, "content")
    data = os.urandom(2 * MIB)
    content.call("ingest_write", {"ref": "r", "data": data[:MIB]})
    os.kill(content.call("version")["pid"], signal.SIGKILL)
    content = Actor(state, "content")
    assert content.call("ingest_write", {"ref": "r"})["offset"] == MIB
    # sent again: it had arrived
    assert content.call("ingest_write", {"ref": "r", "offset": 1, "data": data[1:MIB]})["offset"] == MIB
    content.fails("out_of_range", "ingest_write", {"ref": "r", "offset": 1, "data": b"z" * (MIB - 1)})
    content.call("ingest_write", {"ref": "r", "offset": MIB, "data": data[MIB:]})
    os.kill(content.call("version")["pid"], signal.SIGKILL)
    content = Actor(state, "content")
    assert content.call("ingest_commit", {"ref": "r", "expected": sha(data)})["size"] == 2 * MIB


def blobs(state):
    """Labels of a blob, field by field; what one namespace has the other does not see."""
    content = Actor(state, "content")
    d = stored(content, "b", b"blobs", {"a": "1", "b": "2"})["digest"]
    blob = content.call("blob_update", {"digest": d, "labels": {"b": "3", "c": "4"}, "fields": ["labels.b", "labels.a"]})
    assert blob["labels"] == {"b": "3"}, blob
    blob = content.call("blob_update", {"digest": d, "labels": {"x": "y", "gone": ""}})
    assert blob["labels"] == {"x": "y"}, blob
    content.fails("invalid_argument", "blob_update", {"digest": d, "fields": ["size"]})
    content.fails("invalid_argument", "blob_update", {"digest": d, "labels": {"k": "v" * 4096}})
    assert content.call("blob_stat", {"digest": d})["labels"] == {"x": "y"}
    for method in ("blob_stat", "blob_update", "blob_remove", "blob_read"):
        content.fails("not_found", method, {"digest": d}, ns="elsewhere")
        content.fails("invalid_argument", method, {"digest": "../etc/passwd"})
    many = {f"containerd.io/gc.ref.content.l.{i}": sha(b"%d" % i) for i in range(600)}
    assert content.call("blob_update", {"digest": d, "labels": many})["labels"] == many
    assert [b for b in content.call("blob_list")["blobs"] if b["digest"] == d][0]["labels"] == many
    content.call("blob_remove", {"digest": d})
    content.fails("not_found", "blob_remove", {"digest": d})


def images(state):
    """Created, replaced, changed, removed under guard."""
    content = Actor(state, "content")
    one = {"media_type": "application/vnd.oci.image.manifest.v1+json", "digest": sha(b"1"), "size": 1}
    two = dict(one, digest=sha(b"2"))
    im = content.call("image_create", {"name": "any name: at all", "target": one, "labels": {"a": "1"}})
    assert im["target"]["digest"] == one["digest"] and im["labels"] == {"a": "1"}, im
    content.fails("already_exists", "image_create", {"name": "any name: at all", "target": two})
    again = content.call("image_create", {"name": "any name: at all", "target": two, "replace": True})
    assert again["created_at"] == im["created_at"] and not again.get("labels"), again
    got = content.call("image_update", {"name": "any name: at all", "labels": {"k": "v", "l": "w"}, "fields": ["labels.k"]})
    assert got["labels"] == {"k": "v"} and got["target"]["digest"] == two["digest"], got
    got = content.call("image_update", {"name": "any name: at all", "target": one, "fields": ["target"]})
    assert got["labels"] == {"k": "v"} and got["target"]["digest"] == one["digest"], got
    content.fails("invalid_argument", "image_update", {"name": "any name: at all", "fields": ["target"]})
    content.fails("invalid_argument", "image_update", {"name": "any name: at all", "fields": ["name"]})
    content.fails("not_found", "image_update", {"name": "no such"})
    content.fails("invalid_argument", "image_create", {"name": "", "target": one})
    content.fails("invalid_argument", "image_create", {"name": "x", "target": dict(one, size=0)})
    content.fails("invalid_argument", "image_create", {"name": "x", "target": dict(one, digest="sha256:..")})
    content.fails("not_found", "image_remove", {"ref": "any name: at all", "target": two["digest"]})
    content.call("image_remove", {"ref": "any name: at all", "target": one["digest"], "sync": True})
    assert "any name: at all" not in [i["name"] for i in content.call("image_list").get("images", [])]


def leases(state):
    """Made, listed, filled by what requests make, emptied, ended."""
    content = Actor(state, "content")
    lease = content.call("lease_create", {"id": "mine", "labels": {"k": "v"}})
    assert lease["id"] == "mine" and lease["labels"] == {"k": "v"}
    made = content.call("lease_create")["id"]
    content.fails("already_exists", "lease_create", {"id": "mine"})
    content.fails("invalid_argument", "lease_create", {"id": "no/slash"})
    assert sorted(x["id"] for x in content.call("lease_list")["leases"]) == sorted(["mine", made])
    d = stored(content, "leased", b"leased", lease="mine")["digest"]
    content.fails("not_found", "ingest_write", {"ref": "x", "data": b"x"}, lease="nobody")
    content.call("lease_add", {"id": "mine", "resource": {"type": "snapshots/overlay", "id": "some"}})
    for bad in ({"type": "content", "id": "x"}, {"type": "cats", "id": "x"}, {"type": "images", "id": ""}):
        content.fails("invalid_argument", "lease_add", {"id": "mine", "resource": bad})
    held = content.call("lease_resources", {"id": "mine"})["resources"]
    assert {"type": "content", "id": d} in held and {"type": "snapshots/overlay", "id": "some"} in held, held
    content.call("lease_remove", {"id": "mine", "resource": {"type": "snapshots/overlay", "id": "some"}})
    content.fails("not_found", "lease_resources", {"id": "other"})
    content.call("lease_delete", {"id": "mine"})
    content.call("lease_delete", {"id": made, "sync": True})
    content.fails("not_found", "lease_delete", {"id": "mine"})
    assert content.call("lease_list").get("leases", []) == []


REF = "containerd.io/gc.ref.content"


def later(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def digests(content, **more):
    return {b["digest"] for b in content.call("blob_list", **more).get("blobs", [])}


def collect(state):
    """Every rule, one blob for each: what is held stays, the rest goes, counted."""
    content = Actor(state, "content")
    content.call("gc_run")

    def blob(text, labels=None, lease=None):
        d = stored(content, text, text.encode(), labels, ns="rules", lease="all")["digest"]
        if lease:
            call("lease_add", {"id": lease, "resource": {"type": "content", "id": d}})
        return d

    def call(method, body=None, **more):
        return content.call(method, body, ns="rules", **more)

    ended = time.monotonic() + 3
    for lease, labels in (("all", {}), ("kept", {}), ("flat", {"containerd.io/gc.flat": "1"}),
                          ("ended", {"containerd.io/gc.expire": later(3)}),
                          ("odd", {"containerd.io/gc.expire": "tomorrow"}),
                          ("lasting", {"containerd.io/gc.expire": later(3600)})):
        call("lease_create", {"id": lease, "labels": labels})
    below = {w: blob(f"below {w}") for w in ("image", "kept", "flat", "root", "slash")}
    stay = {below["image"], below["kept"], below["root"], below["slash"]}
    go = {below["flat"]}
    image = blob("image", {REF + ".l.0": below["image"], REF + ".config/x": below["slash"]})
    stay |= {image, blob("held", {REF: below["kept"]}, lease="kept"), blob("flat", {REF: below["flat"]}, lease="flat"),
             blob("root", {"containerd.io/gc.root": "now", REF + ".0": below["root"]}),
             blob("odd", lease="odd"), blob("lasting", lease="lasting"),
             blob("back", {"containerd.io/gc.bref.content": image}),
             blob("by image", {"containerd.io/gc.bref.image.x": "rules:1"})}
    go |= {blob("loose"), blob("ended", lease="ended"), blob("not a reference", {REF + "s": image}),
           blob("of expired"), blob("to image of none", {"containerd.io/gc.bref.image": "none"})}
    target = {"media_type": "application/octet-stream", "digest": image, "size": 5}
    expired = dict(target, digest=sha(b"of expired"))
    call("image_create", {"name": "rules:1", "target": target})
    call("image_create", {"name": "rules:2", "target": expired, "labels": {"containerd.io/gc.expire": later(-1)}})
    call("image_create", {"name": "rules:3", "target": target, "labels": {"containerd.io/gc.expire": later(3600)}})
    call("ingest_write", {"ref": "young", "data": b"x"})
    call("lease_delete", {"id": "all"})
    time.sleep(max(0, ended + 0.1 - time.monotonic()))  # until its lease has ended
    call("gc_run")
    have = digests(content, ns="rules")
    assert have == stay, f"missing: {stay - have} too many: {have - stay}"
    assert [x["name"] for x in call("image_list")["images"]] == ["rules:1", "rules:3"]
    assert sorted(x["id"] for x in call("lease_list")["leases"]) == ["flat", "kept", "lasting", "odd"]
    assert [x["ref"] for x in call("ingest_list")["ingests"]] == ["young"]

    call("lease_delete", {"id": "kept", "sync": True})
    assert sha(b"held") not in digests(content, ns="rules") and below["kept"] not in digests(content, ns="rules")
    call("blob_update", {"digest": image, "fields": [f"labels.{REF}.l.0"]})
    call("gc_run")
    assert below["image"] not in digests(content, ns="rules") and below["slash"] in digests(content, ns="rules")
    rep = content.call("gc_run")
    assert not any(rep.get(k) for k in ("blobs", "images", "snapshots", "leases", "ingests")), rep

    # Kept by its lease, an image that has expired; then on its own.
    call("lease_add", {"id": "odd", "resource": {"type": "images", "id": "rules:3"}})
    call("image_update", {"name": "rules:3", "labels": {"containerd.io/gc.expire": later(-1)}})
    call("image_remove", {"ref": "rules:1", "sync": True})
    assert image in digests(content, ns="rules")
    call("lease_remove", {"id": "odd", "resource": {"type": "images", "id": "rules:3"}})
    call("gc_run")
    assert image not in digests(content, ns="rules")


def expire(state):
    """A daemon at rest collects what ends by itself."""
    content = Actor(state, "content")
    content.call("lease_create", {"id": "short", "labels": {"containerd.io/gc.expire": later(1.5)}})
    d = stored(content, "short", b"short", lease="short")["digest"]
    content.call("gc_run")
    assert d in digests(content)
    end = time.monotonic() + 20
    while d in digests(content):
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.1)
    assert "short" not in [x["id"] for x in content.call("lease_list").get("leases", [])]


def beside(state, seconds="5"):
    """Collections without end beside clients who make images: none of these loses a blob."""
    content, other = Actor(state, "content"), Actor(state, "content")
    end, n, runs = time.monotonic() + float(seconds), 0, 0
    running = other.send("gc_run")
    while time.monotonic() < end:
        lease = content.call("lease_create", {"labels": {"containerd.io/gc.expire": later(600)}}, ns="beside")["id"]
        layer = stored(content, f"l{n % 7}", b"layer %d" % (n % 7), ns="beside", lease=lease)["digest"]
        top = stored(content, f"t{n}", b"top %d" % n, {REF + ".l.0": layer}, ns="beside", lease=lease)["digest"]
        target = {"media_type": "application/octet-stream", "digest": top, "size": 5}
        content.call("image_create", {"name": "beside", "target": target, "replace": True}, ns="beside")
        content.call("lease_delete", {"id": lease}, ns="beside")
        have = digests(content, ns="beside")
        assert {layer, top} <= have, f"round {n}: {have}"
        content.call("blob_read", {"digest": layer}, ns="beside")
        n += 1
        if other.sock.poll(0):
            other.wait(running)
            running = other.send("gc_run")
            runs += 1
    other.wait(running)
    content.call("gc_run")
    assert digests(content, ns="beside") == {layer, top}
    assert runs > 5, runs


if __name__ == "__main__":
    main(ingest, resume, blobs, images, leases, collect, expire, beside)
