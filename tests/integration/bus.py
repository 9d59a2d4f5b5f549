#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bus - drive the daemon with only pyzmq and msgpack, as docs/bus.md says, well and badly.

    bus.py STATE SCENARIO [ARGUMENT...]

Nothing of ours is imported: this file was written from that page alone. Prints "ok" and exits 0, or
says what was wrong. c-bus.bats runs the scenarios.
"""
import os
import socket
import sys
import time

import msgpack
import zmq

CONTEXT = zmq.Context()
LIMIT_MS = 60000


class Failure(Exception):
    def __init__(self, body):
        super().__init__(f"{body['class']}: {body['message']}")
        self.code = body["code"]
        self.kind = body["class"]


class Actor:
    """One mailbox, spoken to by a DEALER."""

    def __init__(self, state, name):
        self.sock = CONTEXT.socket(zmq.DEALER)
        self.sock.linger = 0
        self.sock.connect(f"ipc://{state}/bus/{name}.sock")

    def send(self, method, body=None, ns="default", ident=None, **more):
        ident = ident or os.urandom(16)
        envelope = dict({"v": 1, "kind": "request", "id": ident, "method": method, "ns": ns}, **more)
        self.sock.send_multipart([msgpack.packb(envelope), msgpack.packb(body or {})])
        return ident

    def receive(self, limit_ms=LIMIT_MS):
        if not self.sock.poll(limit_ms):
            raise TimeoutError("no answer")
        envelope, body = [msgpack.unpackb(f, strict_map_key=False) for f in self.sock.recv_multipart()]
        return envelope, body

    def wait(self, ident, limit_ms=LIMIT_MS):
        """The reply to a request, and its progress messages."""
        progress = []
        while True:
            envelope, body = self.receive(limit_ms)
            if envelope["id"] != ident:
                continue
            assert envelope["v"] == 1, envelope
            if envelope["kind"] == "progress":
                progress.append(body)
            elif envelope["kind"] == "error":
                raise Failure(body)
            else:
                assert envelope["kind"] == "reply", envelope
                return body, progress

    def call(self, method, body=None, ns="default", **more):
        return self.wait(self.send(method, body, ns, **more))[0]

    def fails(self, kind, method, body=None, **more):
        try:
            got = self.call(method, body, **more)
        except Failure as e:
            assert e.kind == kind, f"{method}: {e}, not {kind}"
            return str(e)
        raise AssertionError(f"{method} {body}: answered {got}")


def life(state, ref):
    """A whole life: pull, create, start, wait, read events, delete."""
    content, task, events = (Actor(state, n) for n in ("content", "task", "events"))
    snapshot = Actor(state, "snapshot")

    first = events.call("event_read", {"wait_ms": 0})["next"]
    reply, progress = content.wait(content.send("image_pull", {"ref": ref}))
    assert reply["image"]["name"] == ref, reply
    assert progress and any(p.get("items") for p in progress), "no progress was told"
    assert any(i["name"] == ref for i in content.call("image_list")["images"])

    made = task.call("container_create", {"id": "bus-life", "image": ref,
                                          "args": ["sh", "-c", "echo from python; exit 23"]})
    assert made["container"]["image"] == ref, made
    got = task.call("container_get", {"id": "bus-life"})
    assert b"from python" in got["container"]["spec"]
    task.call("task_create", {"id": "bus-life"})
    wait = task.send("task_wait", {"id": "bus-life"})
    started = task.call("task_start", {"id": "bus-life"})["task"]
    assert started["pid"] > 0, started
    ended, _ = task.wait(wait)
    assert ended["task"]["exit_status"] == 23 and ended["task"]["status"] == "stopped", ended
    with open(ended["task"]["log"], "rb") as f:
        assert b" stdout F from python\n" in f.read()
    assert any(s["key"] for s in snapshot.call("snapshot_list")["snapshots"])
    task.call("task_delete", {"id": "bus-life"})
    task.call("container_delete", {"id": "bus-life"})

    want = ["/images/create", "/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit",
            "/tasks/delete", "/containers/delete"]
    seen, at, end = [], first, time.monotonic() + 10
    while time.monotonic() < end and not set(want) <= {e["topic"] for e in seen}:
        r = events.call("event_read", {"from": at, "wait_ms": 1000})
        assert not r.get("lost"), r
        seen += r.get("events", [])
        at = r["next"]
    assert [e["seq"] for e in seen] == list(range(first, first + len(seen))), "numbers with gaps"
    topics = [e["topic"] for e in seen]
    assert [t for t in topics if t in want] == want, topics
    ends = [msgpack.unpackb(e["body"]) for e in seen if e["topic"] == "/tasks/exit"]
    assert ends[0]["container_id"] == "bus-life" and ends[0]["exit_status"] == 23, ends


def attach(state, ref):
    """Output and input over the attach socket, as docs/attach.md says."""
    task = Actor(state, "task")
    task.call("container_create", {"id": "bus-attach", "image": ref, "args": ["cat"],
                                   "stdin_open": True})
    made = task.call("task_create", {"id": "bus-attach"})["task"]
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(made["attach"])
    s.send(b"\0")
    assert s.recv(65536) == b"\0\0", "no hello"
    task.call("task_start", {"id": "bus-attach"})
    s.send(b"\0typed\n")
    assert s.recv(65536) == b"\1typed\n"
    s.send(b"\1")
    assert s.recv(65536) == b"\3"
    assert task.call("task_wait", {"id": "bus-attach"})["task"].get("exit_status", 0) == 0
    task.call("task_delete", {"id": "bus-attach"})
    task.call("container_delete", {"id": "bus-attach"})


def again(state):
    """The same id twice: executed once, answered twice."""
    content = Actor(state, "content")
    ident = os.urandom(16)
    content.send("namespace_create", {"name": "bus-again"}, ident=ident)
    one, _ = content.wait(ident)
    content.send("namespace_create", {"name": "bus-again"}, ident=ident)
    two, _ = content.wait(ident)
    assert one == two
    # By another connection too, as after a loss of the first.
    other = Actor(state, "content")
    other.send("namespace_create", {"name": "bus-again"}, ident=ident)
    assert other.wait(ident)[0] == one
    content.fails("already_exists", "namespace_create", {"name": "bus-again"})
    content.call("namespace_remove", {"name": "bus-again"})


def survive(state, ref):
    """Requests outlive the worker: killed while it has ours, it answers after its rebirth."""
    task = Actor(state, "task")
    task.call("container_create", {"id": "bus-survive", "image": ref, "args": ["sleep", "3"]})
    task.call("task_create", {"id": "bus-survive"})
    wait = os.urandom(16)
    task.send("task_wait", {"id": "bus-survive"}, ident=wait)
    task.call("task_start", {"id": "bus-survive"})
    pid = task.call("version")["pid"]
    os.kill(pid, 9)
    new = Actor(state, "task")
    assert new.call("version")["pid"] != pid
    new.send("task_wait", {"id": "bus-survive"}, ident=wait)
    assert new.wait(wait)[0]["task"].get("exit_status", 0) == 0
    new.call("task_delete", {"id": "bus-survive"})
    new.call("container_delete", {"id": "bus-survive"})


def refused(state):
    """What is wrong in a message is named in the error."""
    content, task = Actor(state, "content"), Actor(state, "task")
    content.fails("unimplemented", "no_such_method")
    content.fails("unimplemented", "x" * 60)
    for body, word in (({}, "ref"), ({"ref": 7}, "ref"), ({"ref": b"bytes"}, "ref"),
                       ({"ref": "x" * 5000}, "ref"), ({"ref": "a", "labels": [1]}, "labels"),
                       ({"ref": "a", "labels": {"k": 1}}, "labels"),
                       ({"ref": "a", "max_downloads": -1}, "max_downloads"),
                       ({"ref": "a", "plain_http": "yes"}, "plain_http"),
                       ({"ref": "a", "labels": {str(i): "" for i in range(1000)}}, "labels")):
        text = content.fails("invalid_argument", "image_pull", body)
        assert word in text, f"{body}: {text}"
    text = task.fails("invalid_argument", "task_exec", {"id": "a", "exec_id": "b", "args": ["a", 5]})
    assert "args" in text, text
    content.fails("invalid_argument", "image_list", ns="../../x")
    # Workers' methods are not for clients.
    content.fails("permission_denied", "outbox_read", {"after": 0})
    Actor(state, "snapshot").fails("permission_denied", "layer_unpack", {"layer": {
        "digest": "sha256:" + "0" * 64, "diff_id": "sha256:" + "0" * 64,
        "chain_id": "sha256:" + "0" * 64, "media_type": "x", "size": 1}})
    # Unknown keys are skipped: newer callers are welcome.
    assert "images" in dict({"images": []}, **content.call("image_list", {"from_the_future": [1, {}]}))


def malformed(state):
    """Bytes that are no messages, to every actor: no crash, and the next caller is served."""
    good = msgpack.packb({"v": 1, "kind": "request", "id": os.urandom(16), "method": "version"})
    bad = [
        [], [b""], [b"", b""], [b"\xc1"], [b"\xc1", b"\xc1"], [good], [good, b""], [good, b"\xc1"],
        [good, b"\x80", b"\x80"], [b"\x80", b"\x80"],
        [good, b"\xdf\xff\xff\xff\xff"],                     # a map that claims four thousand million entries
        [b"\xdd\xff\xff\xff\xff" * 3, b"\x80"],              # arrays that do
        [good, b"\xc6\xff\xff\xff\xff"],                     # four gigabytes of binary
        [good, b"\x91" * 100000 + b"\x80"],                  # 100,000 deep
        [msgpack.packb({"v": 99, "kind": "request", "id": os.urandom(16), "method": "version"}), b"\x80"],
        [msgpack.packb({"v": 1, "kind": "dance", "id": os.urandom(16), "method": "version"}), b"\x80"],
        [msgpack.packb({"v": 1, "kind": "request", "id": b"short", "method": "version"}), b"\x80"],
        [msgpack.packb({"v": 1, "kind": "request", "id": os.urandom(16)}), b"\x80"],
        [msgpack.packb({"v": 1, "kind": "request", "id": os.urandom(16), "method": "m" * 100}), b"\x80"],
        [msgpack.packb({"v": 1, "kind": "reply", "id": os.urandom(16)}), b"\x80"],
        [msgpack.packb({"v": 1, "kind": "cancel", "id": os.urandom(16)}), b"\x80"],
        [msgpack.packb({"v": "1", "kind": 5, "id": "text", "method": []}), b"\x80"],
        [msgpack.packb([1, 2, 3]), b"\x80"],
        [good, msgpack.packb(msgpack.ExtType(5, b"x"))],
        [good[:n] for n in (1, 5, 20)],
    ] + [[os.urandom(n), os.urandom(n)] for n in (1, 7, 64, 1000, 60000)]
    for name in ("content", "snapshot", "task", "events"):
        for frames in bad:
            a = Actor(state, name)
            for i, f in enumerate(frames):
                a.sock.send(f, zmq.SNDMORE if i + 1 < len(frames) else 0)
            # Whatever it thought of that, it still answers on a new connection.
            assert Actor(state, name).call("version")["worker"] == name
            a.sock.close()
        # And on the same one, where it was not closed.
        a = Actor(state, name)
        a.sock.send_multipart([good, b"\xc1"])
        try:
            a.receive(500)
        except TimeoutError:
            pass


def raw(state):
    """Bytes that are not even ZeroMQ."""
    for name in ("content", "snapshot", "task", "events"):
        for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, os.urandom(5000)):
            s = socket.socket(socket.AF_UNIX)
            s.connect(f"{state}/bus/{name}.sock")
            s.sendall(data)
            assert Actor(state, name).call("version")["worker"] == name
            s.close()


def huge(state):
    """A frame of 100 MB: refused before it is taken in."""
    for name in ("content", "snapshot", "task", "events"):
        a = Actor(state, name)
        envelope = msgpack.packb({"v": 1, "kind": "request", "id": os.urandom(16), "method": "version"})
        a.sock.send_multipart([envelope, msgpack.packb({"x": b"\0" * (100 << 20)})])
        pid = Actor(state, name).call("version")["pid"]
        try:
            got, body = a.receive(2000)
            assert got["kind"] == "error", (got, body)
        except TimeoutError:
            pass
        with open(f"/proc/{pid}/status") as f:
            rss = next(int(l.split()[1]) for l in f if l.startswith("VmHWM"))
        assert rss < 60000, f"{name} grew to {rss} kB"


def vanish(state, ref):
    """Callers that go away mid-request."""
    for _ in range(20):
        for name, method, body in (("content", "image_pull", {"ref": ref}),
                                   ("events", "event_read", {"wait_ms": 60000}),
                                   ("task", "task_list", {}),
                                   ("snapshot", "snapshot_list", {})):
            a = Actor(state, name)
            a.send(method, body)
            # Long enough that it was sent; not that it was answered.
            a.sock.poll(5)
            a.sock.close()
    for name in ("content", "snapshot", "task", "events"):
        assert Actor(state, name).call("version")["worker"] == name


def deadline(state):
    """A deadline ends a call that would wait."""
    events = Actor(state, "events")
    start = time.monotonic()
    try:
        got = events.call("event_read", {"wait_ms": 30000}, deadline_ms=300)
        assert not got.get("events"), got
    except Failure as e:
        assert e.kind == "deadline_exceeded", e
    assert time.monotonic() - start < 10


def many(state):
    """A hundred callers with ten requests each in flight: all are answered, each with its own."""
    actors = [Actor(state, "content") for _ in range(100)]
    waiting = [{a.send("version") for _ in range(10)} for a in actors]
    for a, ids in zip(actors, waiting):
        while ids:
            envelope, body = a.receive()
            assert envelope["kind"] == "reply" and body["worker"] == "content"
            ids.remove(envelope["id"])


def main(*functions):
    state, name, args = sys.argv[1], sys.argv[2], sys.argv[3:]
    scenarios = {f.__name__: f for f in functions}
    try:
        scenarios[name](state, *args)
    except (AssertionError, Failure, TimeoutError, KeyError) as e:
        import traceback
        traceback.print_exc(limit=-2)
        sys.exit(f"{name}: {type(e).__name__}: {e}")
    print("ok")
    # Contexts with closed peers must not hold us up.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(life, attach, again, survive, refused, malformed, raw, huge, vanish, deadline, many)
