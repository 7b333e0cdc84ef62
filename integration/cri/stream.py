"""stream.py URL [COLUMNS ROWS]: this process's streams are those of a CRI Exec or Attach, its exit code is the other's.

URL is the answer to the call: a place in the CRI's own HTTP server, which becomes a websocket. Every message on it
begins with a byte that says which stream it belongs to. The end of the input is not told: version 4 of the protocol has
no word for it.
"""

import base64
import json
import os
import socket
import struct
import sys
import threading
from urllib.parse import urlsplit

STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)
BINARY, CLOSE = 2, 8
# What fits into one frame whose length is one byte, with the stream's.
CHUNK = 124


def connect(url):
    url = urlsplit(url)
    connection = socket.create_connection((url.hostname, url.port))
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nOrigin: http://{url.netloc}\r\n"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n".encode()
    )
    incoming = connection.makefile("rb")
    answer = incoming.readline().decode()
    if " 101 " not in answer:
        sys.exit(f"no websocket: {answer}{incoming.read().decode()}")
    while incoming.readline().strip():
        pass
    return connection, incoming


def send(connection, stream, data):
    mask = os.urandom(4)
    payload = bytes([stream]) + data
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    connection.sendall(bytes([0x80 | BINARY, 0x80 | len(payload)]) + mask + masked)


def receive(incoming):
    """Each message: containerd does not divide one into several frames."""
    while head := incoming.read(2):
        length = head[1]
        if length == 126:
            (length,) = struct.unpack(">H", incoming.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", incoming.read(8))
        payload = incoming.read(length)
        if head[0] & 0xF == CLOSE:
            return
        yield payload[0], payload[1:]


def send_input(connection):
    while data := sys.stdin.buffer.read1(CHUNK):
        send(connection, STDIN, data)


def exit_code(status):
    if status["status"] == "Success":
        return 0
    for cause in status.get("details", {}).get("causes", []):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    return status["message"]


connection, incoming = connect(sys.argv[1])
if len(sys.argv) > 2:
    size = {"Width": int(sys.argv[2]), "Height": int(sys.argv[3])}
    send(connection, RESIZE, json.dumps(size).encode())
threading.Thread(target=send_input, args=[connection], daemon=True).start()
code = "the server has hung up without a status"
for stream, data in receive(incoming):
    if stream == STATUS and data:
        code = exit_code(json.loads(data))
    elif stream in (STDOUT, STDERR):
        os.write(stream, data)
sys.exit(code)
