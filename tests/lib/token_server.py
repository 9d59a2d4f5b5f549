#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""token_server - the token service of a registry with docker's token authentication.

    token_server.py KEY CERT

Prints its port on the first line. GET /token with Basic (coffer:secret) or nobody, POST /token with the identity
token identity-secret: a JWT signed with KEY for what the caller may do: coffer everything, nobody
pull repositories below public/. What was asked for is a line each on stderr.
"""
import base64
import http.server
import json
import subprocess
import sys
import time
import urllib.parse


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def access(user, scopes):
    granted = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        may = actions.split(",") if user else [a for a in actions.split(",")
                                               if a == "pull" and name.startswith("public/")]
        if kind == "repository" and may:
            granted.append({"type": kind, "name": name, "actions": may})
    return granted


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def token(self, user, service, scopes):
        print(self.command, user or "-", *scopes, file=sys.stderr, flush=True)
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [self.server.x5c]}
        claims = {"iss": "coffer-issuer", "sub": user or "", "aud": service, "exp": now + 300, "nbf": now - 10,
                  "iat": now, "jti": str(time.time_ns()), "access": access(user, scopes)}
        text = b64(json.dumps(head).encode()) + "." + b64(json.dumps(claims).encode())
        made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.server.key], input=text.encode(),
                              stdout=subprocess.PIPE, check=True).stdout
        return text + "." + b64(made)

    def answer(self, status, doc):
        body = json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        auth = self.headers.get("Authorization")
        if auth not in (None, "Basic " + base64.b64encode(b"coffer:secret").decode()):
            self.answer(401, {})
            return
        user = "coffer" if auth else None
        self.answer(200, {"token": self.token(user, query["service"][0], query.get("scope", []))})

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != ["identity-secret"]:
            self.answer(400, {"error": "invalid_grant"})
            return
        scopes = form.get("scope", [""])[0].split(" ")
        self.answer(200, {"access_token": self.token("coffer", form["service"][0], scopes)})


srv = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
srv.key = sys.argv[1]
der = subprocess.run(["openssl", "x509", "-in", sys.argv[2], "-outform", "DER"], stdout=subprocess.PIPE,
                     check=True).stdout
srv.x5c = base64.b64encode(der).decode()
print(srv.server_address[1], flush=True)
sys.stdout.close()
srv.serve_forever()
