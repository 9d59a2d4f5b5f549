#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""proxy - an HTTP proxy on loopback: GET with a whole URL, and CONNECT. Prints its port on the first
line; each request is a line on stderr."""
import http.client
import http.server
import socket
import sys
import threading
import urllib.parse


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        print(self.requestline, file=sys.stderr, flush=True)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        server = http.client.HTTPConnection(url.hostname, url.port or 80)
        server.request("GET", self.path[len(f"{url.scheme}://{url.netloc}"):],
                       headers={k: v for k, v in self.headers.items() if k != "Connection"})
        answer = server.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for k, v in answer.getheaders():
            if k not in ("Connection", "Transfer-Encoding", "Content-Length"):
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_CONNECT(self):
        host, _, port = self.path.rpartition(":")
        server = socket.create_connection((host, int(port)))
        self.send_response(200)
        self.end_headers()
        back = threading.Thread(target=self.copy, args=(server, self.connection), daemon=True)
        back.start()
        self.copy(self.connection, server)
        back.join()
        self.close_connection = True

    def copy(self, source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


srv = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
srv.daemon_threads = True
print(srv.server_address[1], flush=True)
sys.stdout.close()
srv.serve_forever()
