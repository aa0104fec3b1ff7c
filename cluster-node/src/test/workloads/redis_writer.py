"""Writes keys to a redis-server over connections that live for a moment, and notes down each write that the server has confirmed.

usage: redis_writer.py PORT LOG STOP_FILE

Ends when the file STOP_FILE is there or when nobody listens any more, which is what a client in this network sees when the server has left it.
A connection that is cut before the answer proves nothing about its write: such a write is not noted.
"""

import os
import socket
import struct
import sys
import time

port, log, stop = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def set_key(connection, key, value):
    connection.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value))
    answer = b""
    while not answer.endswith(b"\r\n"):
        piece = connection.recv(100)
        if not piece:
            return False
        answer += piece
    if answer != b"+OK\r\n":
        raise SystemExit(f"redis-server answered {answer!r}")
    return True


number = 0
with open(log, "w", buffering=1, encoding="ascii") as confirmed:
    while not os.path.exists(stop):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                # A reset instead of the long goodbye: no connection lingers on either side.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                key = b"written-%d" % number
                if set_key(connection, key, b"value-%d" % number):
                    print(f"written-{number} value-{number}", file=confirmed)
        except ConnectionRefusedError:
            break
        except (ConnectionResetError, TimeoutError):
            pass
        number += 1
        time.sleep(0.01)
