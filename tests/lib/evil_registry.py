#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""evil_registry - a registry that misbehaves as its caller asks, from the blobs of an OCI layout.

    evil_registry.py LAYOUT [--port N] [--tls CERT KEY]

Prints its port on the first line, then serves until it is killed. The first part of a repository's
name says what goes wrong: 127.0.0.1:PORT/cut/busybox is tag busybox of the layout, with layers cut
short. GET /seen gives one line per request that came (method, path, Range), newest last; GET /sent one
line per blob (bytes of its body that were sent, path); GET /forget makes both empty.

    ok            nothing goes wrong
    unauthorized  401 with a Basic challenge, whatever is sent
    nobearer      401 with a Bearer challenge, whose token service denies
    bearer        401 with a Bearer challenge; the token service gives a token; then all is well
    bearerloop    401 again for the token that its own service gave
    wrongblob     layers of the right length with other bytes
    wrongmanifest the manifest asked for by digest is another one
    cut           every layer ends half way, the connection closed
    cutonce       each layer ends half way at its first request; goes on with Range, if asked so
    long          layers go on after their declared size
    notjson       the manifest is a page of HTML
    notutf8       the manifest is JSON with bytes that are no UTF-8
    deep          the manifest is 100,000 nested lists
    empty         the manifest is empty
    wrongtypes    the manifest has numbers where strings belong
    nolayers      the manifest has no layers and no config
    negative      the manifest declares negative sizes
    huge          the manifest goes on for ever
    badmedia      the manifest is of a type that nobody knows
    schema1       the manifest is of Docker's first schema
    baddigest     the manifest names layers by sha256:../../../etc/passwd
    missing       layers are 404
    error500      every answer is 500
    once503       each path answers 503 at its first request
    toomany       every answer is 429
    slow          layers come at 1 MiB a second
    wrongtime     the same, with another time in the gzip head of those over 64 KiB: other bytes, the same tar
    throttle      layers come at 8 MiB a second on each connection
    stall         a layer's headers come, and 64 KiB, then nothing
    hangafter     an answer comes whole, and then nothing more on that connection
    stallonce     each layer stalls so at its first request
    trickleonce   each layer comes at ten bytes a second at its first request, after 64 KiB
    norange       Range is ignored
    wrongpart     Range is answered with the part behind the one that was asked for
    silent        nothing comes at all
    redirectfile  a layer is at file:///etc/passwd
    redirectloop  a layer is at itself
    otherhost     a layer is elsewhere on this server, by another name: localhost
    identity      as bearer, with a token for an identity token by POST only
    redirect      a layer is elsewhere on this server (and the token must not be sent there)
    reset         the connection is closed without an answer
    garbage       the answer is no HTTP
    headers       an answer with 100,000 headers
    resetat       the manifest of tag N is reset behind N bytes
    chain         the image is below 10,000 indexes
    mb200         the manifest has 200 MB, and says so
    bytesecond    everything comes at a byte a second
    endless       layers have no length and no end
    shortlength   a layer's Content-Length is too small
    redirectplain a layer is at the same place, but by plain HTTP
    slowtoken     as bearer; the token comes at a byte a second
    bigtoken      as bearer; the token's answer has 10 MB
    badtoken      as bearer; the token has a line feed in it
    linktoken     as bearer; the token service is 169.254.169.254
    escapes       refusals have control characters and escapes in their words, headers too
    once429       each path answers 429 at its first request, and asks for a second's patience
    bare429       each path answers 429 at its first request, and says nothing more
    burst         each path answers 500, 503 and 502 at its first three requests
    fifth         each fifth answer fails: 503, or a layer cut half way
    and the documents of sick.py

What is pushed to it is kept in memory:

    ok            as it should be
    pushcut       the first PATCH of each upload ends half way; how far it came is told when asked
    pushlost      the same, and then nobody knows of the upload
    pushless      each PATCH is taken but for its last 1000 bytes
    pushbusy      every third request is answered with 503
    push413       no request may have more than 300,000 bytes
    pushhttp      uploads are said to be by plain HTTP, as by a registry that knows of no TLS before it
    pushaway      the upload is to go to 169.254.169.254
    pushother     a pushed blob is said to have another digest
"""
import argparse
import hashlib
import http.server
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

import sick


class Layout:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "index.json")) as f:
            index = json.load(f)
        self.tags = {m["annotations"]["org.opencontainers.image.ref.name"]: m
                     for m in index["manifests"]}
        # What a digest is, as far as the layout says so.
        self.kinds = {}
        for m in list(self.tags.values()):
            self.learn(m)

    def learn(self, desc):
        self.kinds[desc["digest"]] = desc["mediaType"]
        if "manifest" in desc["mediaType"] or "index" in desc["mediaType"]:
            doc = json.loads(self.blob(desc["digest"]))
            for d in doc.get("manifests", []) + doc.get("layers", []):
                self.learn(d)
            if "config" in doc:
                self.kinds[doc["config"]["digest"]] = doc["config"]["mediaType"]

    def blob(self, digest):
        algorithm, _, name = digest.partition(":")
        if algorithm != "sha256" or not name.isalnum():
            return None
        try:
            with open(os.path.join(self.folder, "blobs", "sha256", name), "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None


def broken_manifest(mode, data):
    """The manifest as this mode serves it: bytes and, if it is not the true one, its type."""
    if mode in sick.MODES:
        return sick.MODES[mode](data)
    if mode == "notjson":
        return b"<html><body>It works!</body></html>\n", "text/html"
    if mode == "notutf8":
        return b'{"schemaVersion": 2, "mediaType": "\xff\xfe\xc0"}', None
    if mode == "deep":
        return b"[" * 100000 + b"]" * 100000, None
    if mode == "empty":
        return b"", None
    if mode == "nolayers":
        return b'{"schemaVersion": 2}', None
    if mode == "badmedia":
        doc = json.loads(data)
        doc["mediaType"] = "application/vnd.example.cake"
        return json.dumps(doc).encode(), "application/vnd.example.cake"
    if mode == "schema1":
        return (json.dumps({"schemaVersion": 1, "name": "x", "tag": "latest", "fsLayers": [],
                            "history": []}).encode(),
                "application/vnd.docker.distribution.manifest.v1+prettyjws")
    if mode in ("wrongtypes", "negative", "baddigest"):
        doc = json.loads(data)
        for d in doc["layers"]:
            if mode == "negative":
                d["size"] = -5
            elif mode == "wrongtypes":
                d["digest"] = 7
                d["size"] = "many"
            else:
                d["digest"] = "sha256:../../../../../../etc/passwd"
        return json.dumps(doc).encode(), None
    return data, None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def note(self):
        srv = self.server
        line = f"{self.command} {self.path} {self.headers.get('Range', '-')}"
        if self.headers.get("Authorization"):
            line += " " + self.headers["Authorization"].split()[0]
        if self.headers.get("X-Secret"):
            line += " X-Secret"
        with srv.lock:
            first = self.path not in srv.paths
            srv.paths.add(self.path)
            srv.seen.append(line)
        return first

    def answer(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def failed(self, status, code, message, **headers):
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.answer(status, body, **headers)

    def hang_up(self):
        self.close_connection = True

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/seen":
            with self.server.lock:
                text = "\n".join(self.server.seen) + "\n"
            self.answer(200, text.encode(), "text/plain")
            return
        if url.path == "/forget":
            with self.server.lock:
                self.server.seen, self.server.paths, self.server.sent = [], set(), {}
            self.answer(200)
            return
        if url.path == "/sent":
            with self.server.lock:
                text = "".join(f"{n} {path}\n" for path, n in self.server.sent.items())
            self.answer(200, text.encode(), "text/plain")
            return
        first = self.note()
        try:
            self.serve(url, first)
            if url.path.startswith("/v2/hangafter/"):
                self.wfile.flush()
                time.sleep(600)
        except (BrokenPipeError, ConnectionResetError):
            self.hang_up()

    def body(self, most=None):
        n = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(n if most is None else min(n, most))

    def do_POST(self):
        self.write(self.pushed_post)

    def do_PATCH(self):
        self.write(self.pushed_patch)

    def do_PUT(self):
        self.write(self.pushed_put)

    def write(self, call):
        url = urllib.parse.urlsplit(self.path)
        self.note()
        if url.path.startswith("/token/"):
            self.oauth(url.path.split("/")[2])
            return
        parts = url.path.split("/")
        mode = parts[2]
        with self.server.lock:
            self.server.writes += 1
            busy = mode == "pushbusy" and self.server.writes % 3 == 0
        if mode == "bearer" and self.headers.get("Authorization") != "Bearer token-of-bearer":
            self.body()
            self.whole_server(mode, False)
            return
        if busy:
            self.body()
            self.failed(503, "UNAVAILABLE", "come back later", Retry_After="0")
            return
        if mode == "push413" and int(self.headers.get("Content-Length", 0)) > 300000:
            self.failed(413, "SIZE_INVALID", "too much at once")
            self.hang_up()
            return
        try:
            call(mode, parts, urllib.parse.parse_qs(url.query))
        except (BrokenPipeError, ConnectionResetError):
            self.hang_up()

    def oauth(self, mode):
        form = urllib.parse.parse_qs(self.body().decode())
        if form.get("grant_type") == ["refresh_token"] and form.get("refresh_token") == ["identity-secret"]:
            self.answer(200, json.dumps({"access_token": f"token-of-{mode}"}).encode())
        else:
            self.failed(401, "UNAUTHORIZED", "no such identity")

    def where(self, parts, upload):
        scheme = "http" if parts[2] == "pushhttp" else self.server.scheme
        host = f"{scheme}://{self.headers['Host']}"
        return f"{host}/v2/{parts[2]}/{parts[3]}/blobs/uploads/{upload}?state={len(self.server.uploads[upload])}"

    def pushed_post(self, mode, parts, query):
        with self.server.lock:
            upload = f"u{len(self.server.uploads)}"
            self.server.uploads[upload] = b""
        to = self.where(parts, upload)
        if mode == "pushaway":
            to = "http://169.254.169.254/latest/meta-data"
        self.answer(202, Location=to, Range="0-0")

    def pushed_patch(self, mode, parts, query):
        srv, upload = self.server, parts[-1]
        have = srv.uploads.get(upload)
        n = int(self.headers["Content-Length"])
        if have is None or not self.headers.get("Content-Range", "0-").startswith(f"{len(have)}-"):
            self.body()
            self.failed(404 if have is None else 416, "BLOB_UPLOAD_INVALID", "no such upload")
            return
        if mode in ("pushcut", "pushlost") and upload not in srv.cut:
            srv.cut.add(upload)
            srv.uploads[upload] = have + self.body(n // 2)
            if mode == "pushlost" and len(srv.cut) <= 2:
                del srv.uploads[upload]
                srv.uploads[upload + "-gone"] = b""
            self.hang_up()
            return
        data = self.body()
        srv.uploads[upload] = have + (data[:-1000] if mode == "pushless" and n > 2000 else data)
        srv.taken += len(srv.uploads[upload]) - len(have)
        self.answer(202, Location=self.where(parts, upload), Range=f"0-{len(srv.uploads[upload]) - 1}")

    def pushed_put(self, mode, parts, query):
        srv = self.server
        data = self.body()
        if parts[-2] == "manifests":
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            srv.pushed[digest] = srv.pushed[f"{parts[3]}:{parts[-1]}"] = data
            self.answer(201, Docker_Content_Digest=digest)
            return
        data = srv.uploads.pop(parts[-1], b"") + data
        srv.uploads[parts[-1] + "-done"] = b""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest != query["digest"][0]:
            self.failed(400, "DIGEST_INVALID", f"what came has {digest}")
            return
        srv.pushed[digest] = data
        if mode == "pushother":
            digest = "sha256:" + "0" * 64
        self.answer(201, Docker_Content_Digest=digest)

    def pushed_get(self, parts):
        """Uploads, and what was pushed. True when the answer was given."""
        srv = self.server
        if "uploads" in parts:
            have = srv.uploads.get(parts[-1])
            if have is None:
                self.failed(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
            else:
                self.answer(204, Location=self.where(parts, parts[-1]), Range=f"0-{max(len(have) - 1, 0)}")
            return True
        name = parts[-1] if parts[-1].startswith("sha256:") else f"{parts[3]}:{parts[-1]}"
        if name in srv.pushed:
            digest = "sha256:" + hashlib.sha256(srv.pushed[name]).hexdigest()
            self.answer(200, srv.pushed[name], Docker_Content_Digest=digest)
            return True
        if parts[2].startswith("push"):
            self.failed(404, "BLOB_UNKNOWN", "not here")
            return True
        return False

    def serve(self, url, first):
        if url.path in ("/v2/", "/v2"):
            self.answer(200, b"{}")
            return
        if url.path.startswith("/token/"):
            self.token(url.path.split("/")[2])
            return
        if url.path.startswith("/elsewhere/"):
            data = self.server.layout.blob(url.path.split("/")[2])
            self.answer(200, data, "application/octet-stream")
            return
        parts = url.path.split("/")
        if len(parts) > 4 and self.pushed_get(parts):
            return
        if len(parts) < 6 or parts[1] != "v2" or parts[-2] not in ("manifests", "blobs"):
            self.failed(404, "NOT_FOUND", "no such page")
            return
        mode, name, kind, ref = parts[2], parts[-3], parts[-2], parts[-1]
        if self.whole_server(mode, first):
            return
        if kind == "manifests":
            self.manifest(mode, name, ref)
        else:
            self.layer(mode, ref, first)

    def whole_server(self, mode, first):
        """Modes that concern every path. True when the answer was given."""
        port = self.server.server_address[1]
        auth = self.headers.get("Authorization", "")
        if mode == "unauthorized":
            self.failed(401, "UNAUTHORIZED", "authentication required",
                        WWW_Authenticate='Basic realm="coffer-test"')
        elif mode == "linktoken":
            self.failed(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=(
                'Bearer realm="http://169.254.169.254/token",service="coffer-test"'))
        elif mode == "bytesecond":
            self.a_byte_a_second(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000)
        elif mode == "escapes":
            self.failed(403, "DENIED\x1b[2J", "no \x1b[31mred\x1b[0m, \x07 bell,\n\rline, \u202eleft",
                        WWW_Authenticate="Basic realm=\x1b[2J")
        elif mode in ("once429", "bare429") and first:
            extra = {"Retry_After": "1"} if mode == "once429" else {}
            self.failed(429, "TOOMANYREQUESTS", "slow down", **extra)
        elif mode == "burst" and self.nth() <= 3:
            self.failed((500, 503, 502)[self.nth() - 1], "UNAVAILABLE", "come back later")
        elif mode == "fifth" and self.fifth():
            self.failed(503, "UNAVAILABLE", "the fifth one fails")
        elif mode in ("nobearer", "bearerloop") or (
                mode in ("bearer", "identity", "slowtoken", "bigtoken", "badtoken") and auth != f"Bearer token-of-{mode}"):
            self.failed(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=(
                f'Bearer realm="{self.server.scheme}://127.0.0.1:{port}/token/{mode}",'
                f'service="coffer-test",scope="repository:{mode}/x:pull"'))
        elif mode == "error500":
            self.failed(500, "UNKNOWN", "the disk of the registry is on fire")
        elif mode == "toomany":
            self.failed(429, "TOOMANYREQUESTS", "You have reached your pull rate limit",
                        Retry_After="1")
        elif mode == "once503" and first:
            self.failed(503, "UNAVAILABLE", "come back later")
        elif mode == "reset":
            self.hang_up()
        elif mode == "garbage":
            self.wfile.write(b"220 mail.example ESMTP\r\n" * 10)
            self.hang_up()
        elif mode == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for i in range(100000):
                self.wfile.write(b"X-Header-%d: %s\r\n" % (i, b"x" * 100))
            self.hang_up()
        elif mode == "silent":
            time.sleep(600)
            self.hang_up()
        else:
            return False
        return True

    def nth(self):
        """How often this path was asked for."""
        with self.server.lock:
            return sum(1 for line in self.server.seen if line.split()[1] == self.path)

    def fifth(self):
        """Every fifth answer fails; layers in their middle (see stream)."""
        with self.server.lock:
            self.server.answers += 1
            # Never twice in a row at one path: who tries again may count on that.
            self.cut_this = self.server.answers % 5 == 0 and self.path not in self.server.failed_last
            (self.server.failed_last.add if self.cut_this else self.server.failed_last.discard)(self.path)
        if self.cut_this and "/blobs/" in self.path:
            return False
        return self.cut_this

    cut_this = False

    def token(self, mode):
        if mode == "slowtoken":
            self.a_byte_a_second(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"{" * 100000)
            return
        if mode == "bigtoken":
            self.answer(200, json.dumps({"token": "x" * 10000000}).encode())
            return
        if mode == "badtoken":
            self.answer(200, json.dumps({"token": "a\r\nX-Evil: yes"}).encode())
            return
        if mode in ("nobearer", "identity"):
            self.failed(403, "DENIED", "requested access to the resource is denied")
        else:
            self.answer(200, json.dumps({"token": f"token-of-{mode}", "expires_in": 300}).encode())

    def manifest(self, mode, name, ref):
        layout = self.server.layout
        digest = ref if ref.startswith("sha256:") else None
        if mode == "resetat" and ref.isdigit():
            self.reset_at(layout.blob(layout.tags[name]["digest"]), int(ref))
            return
        if mode == "chain":
            self.chained(name, digest)
            return
        if mode == "selfindex":
            self.answer(200, *sick.MODES[mode](b""))
            return
        if mode == "mb200":
            self.answer(200, b'{"schemaVersion": 2' + b" " * 200000000 + b"}", sick.MANIFEST)
            return
        if digest is None:
            # The tag is latest; the name of the repository is the tag of the layout.
            if name in layout.tags and ref == "latest":
                digest = layout.tags[name]["digest"]
            else:
                self.failed(404, "MANIFEST_UNKNOWN", "manifest unknown")
                return
        data = layout.blob(digest)
        if data is None:
            self.failed(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        kind = layout.kinds.get(digest, "application/octet-stream")
        if mode == "huge":
            self.endless(kind)
            return
        if mode == "wrongmanifest" and ref.startswith("sha256:"):
            data = data.replace(b"{", b"{ ", 1)
        sent, other = broken_manifest(mode, data)
        extra = {"Docker_Content_Digest": digest} if sent == data and mode != "wrongmanifest" else {}
        self.answer(200, sent, other or kind, **extra)

    def reset_at(self, data, at):
        head = (f"HTTP/1.1 200 OK\r\nContent-Type: {sick.MANIFEST}\r\n"
                f"Content-Length: {len(data)}\r\n\r\n").encode()
        self.wfile.write(head + data[:at])
        if at < len(data):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.hang_up()

    def chained(self, name, digest):
        srv = self.server
        with srv.lock:
            if srv.chain is None:
                srv.chain = sick.chain(10000, srv.layout.blob(srv.layout.tags[name]["digest"]))
        docs, top = srv.chain
        data, kind = (top, sick.INDEX) if digest is None else docs[digest]
        self.answer(200, data, kind)

    def a_byte_a_second(self, data):
        try:
            for b in data:
                self.wfile.write(bytes([b]))
                self.wfile.flush()
                time.sleep(1)
        finally:
            self.hang_up()

    def endless(self, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        self.end_headers()
        self.hang_up()
        if self.command == "HEAD":
            return
        block = b'{"a":[' + b"1," * 30000
        for _ in range(20000):
            self.wfile.write(block)

    def layer(self, mode, digest, first):
        layout = self.server.layout
        data = layout.blob(digest)
        is_layer = "layer" in layout.kinds.get(digest, "") or "rootfs" in layout.kinds.get(digest, "")
        if data is None or (is_layer and mode == "missing"):
            self.failed(404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        if not is_layer:
            self.answer(200, data, "application/octet-stream")
            return
        port = self.server.server_address[1]
        here = f"{self.server.scheme}://127.0.0.1:{port}"
        if mode == "redirectfile":
            self.answer(307, Location="file:///etc/passwd")
        elif mode == "redirectloop":
            self.answer(307, Location=here + self.path)
        elif mode == "otherhost":
            self.answer(307, Location=f"{self.server.scheme}://localhost:{port}/elsewhere/{digest}")
        elif mode == "redirectplain":
            self.answer(307, Location=f"http://127.0.0.1:{port}/elsewhere/{digest}")
        elif mode == "shortlength":
            self.answer(200, data[:-7], "application/octet-stream")
        elif mode == "endless":
            self.endless("application/octet-stream")
        elif mode == "redirect":
            self.answer(307, Location=f"{here}/elsewhere/{digest}")
        elif mode == "wrongblob":
            self.answer(200, bytes(b ^ 0x55 for b in data[:64]) + data[64:],
                        "application/octet-stream")
        elif mode == "wrongtime" and len(data) > 65536:
            self.stream(mode, data[:4] + bytes(b ^ 0x55 for b in data[4:8]) + data[8:], first)
        elif mode == "long":
            self.answer(200, data + b"x" * 100000, "application/octet-stream")
        else:
            self.stream(mode, data, first)

    def range(self, mode, length):
        """What of a layer this answer has: from, to, and whether it is a part."""
        want = self.headers.get("Range", "")
        first, _, last = want[6:].partition("-") if want.startswith("bytes=") else ("", "", "")
        if mode == "norange" or not first.isdigit():
            return 0, length, False
        start = min(int(first), length)
        end = min(int(last) + 1, length) if last.isdigit() else length
        if mode == "wrongpart":
            start, end = min(start + 1, length), min(end + 1, length)
        return start, end, True

    def stream(self, mode, data, first):
        """The layer with its Range answered, or part of it, or at its own pace."""
        start, told, part = self.range(mode, len(data))
        self.send_response(206 if part else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(told - start))
        if part:
            self.send_header("Content-Range", f"bytes {start}-{told - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        end = told
        if mode == "cut" or (mode == "cutonce" and first) or self.cut_this:
            end = start + (told - start) // 2
        stalls = mode == "stall" or (mode in ("stallonce", "trickleonce") and first)
        if stalls:
            end = start + min(65536, (end - start) // 2)
        pause = {"slow": 0.06, "wrongtime": 0.06, "throttle": 0.0078}.get(mode)
        self.send_part(data, start, end, pause)
        if stalls and mode == "trickleonce":
            for at in range(end, told):
                self.send_part(data, at, at + 1, 0.1)
        elif stalls:
            time.sleep(600)
        if end < told:
            self.hang_up()

    def send_part(self, data, start, end, pause=None):
        for at in range(start, end, 65536):
            piece = data[at:min(at + 65536, end)]
            self.wfile.write(piece)
            with self.server.lock:
                self.server.sent[self.path] = self.server.sent.get(self.path, 0) + len(piece)
            if pause:
                time.sleep(pause)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("layout")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    p.add_argument("--client-ca", metavar="CA", help="clients must show a certificate of it")
    a = p.parse_args()
    srv = Server(("127.0.0.1", a.port), Handler)
    srv.layout = Layout(a.layout)
    srv.lock = threading.Lock()
    srv.seen = []
    srv.sent = {}
    srv.paths = set()
    srv.uploads = {}
    srv.chain = None
    srv.answers = 0
    srv.failed_last = set()
    srv.pushed = {}
    srv.cut = set()
    srv.writes = srv.taken = 0
    srv.scheme = "https" if a.tls else "http"
    if a.tls:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(*a.tls)
        if a.client_ca:
            ctx.verify_mode = ssl.CERT_REQUIRED
            ctx.load_verify_locations(a.client_ca)
        srv.socket = ctx.wrap_socket(srv.socket, server_side=True)
    print(srv.server_address[1], flush=True)
    sys.stdout.close()
    srv.serve_forever()


main()
