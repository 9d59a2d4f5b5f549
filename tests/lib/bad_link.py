#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bad_link - a line to a server on loopback that is slow, or breaks.

    bad_link.py PORT [--cut BYTES] [--times N] [--rate BYTES]

Prints its own port on the first line, then passes on what comes until it is killed.

    --cut    a connection is reset once so many bytes went to the server,
    --times  on the first N connections that get so far (1)
    --rate   bytes to the server per second, of each connection
"""
import argparse
import socket
import struct
import sys
import threading
import time


class Link:
    def __init__(self, a):
        self.port, self.cut, self.left, self.rate = a.port, a.cut, a.times, a.rate
        self.lock = threading.Lock()

    def reset(self, *socks):
        for s in socks:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()

    def may_cut(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def to_server(self, client, server):
        sent = 0
        try:
            while data := client.recv(16384):
                server.sendall(data)
                sent += len(data)
                if self.cut and sent >= self.cut and self.may_cut():
                    self.reset(client, server)
                    return
                if self.rate:
                    time.sleep(len(data) / self.rate)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset(client, server)

    def to_client(self, server, client):
        try:
            while data := server.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset(client, server)

    def serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.port))
        threading.Thread(target=self.to_server, args=(client, server), daemon=True).start()
        threading.Thread(target=self.to_client, args=(server, client), daemon=True).start()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("port", type=int)
    p.add_argument("--cut", type=int, default=0)
    p.add_argument("--times", type=int, default=1)
    p.add_argument("--rate", type=int, default=0)
    link = Link(p.parse_args())
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    sys.stdout.close()
    while True:
        link.serve(listener.accept()[0])


main()
