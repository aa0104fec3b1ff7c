"""Streams to an echo server over many connections, both ways at once, and compares every byte, until a file says stop.

client.py HOST PORT CONNECTIONS BYTES STOP-FILE RESULT-FILE: each connection keeps so many bytes on the way.
"""
import json, os, selectors, socket, sys, time

host, port, count, window = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
stop, result = sys.argv[5], sys.argv[6]
pattern = bytes((i * 7 + i // 251) % 256 for i in range(251 * 256))
period = len(pattern)
pattern += pattern
selector = selectors.DefaultSelector()


class Stream:
    def __init__(self, number):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.setblocking(False)
        self.sent = self.received = 0
        self.offset = number * 97
        self.heard = time.monotonic()
        self.longest = 0.0
        selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def piece(self, position, length):
        at = (self.offset + position) % period
        return pattern[at : at + length]

    def work(self, events, stopping):
        if events & selectors.EVENT_READ:
            data = self.socket.recv(16384)
            if not data:
                raise EOFError("the server has closed the connection")
            if data != self.piece(self.received, len(data)):
                raise ValueError("other bytes than were sent, from byte %d on" % self.received)
            self.received += len(data)
            now = time.monotonic()
            self.longest = max(self.longest, now - self.heard)
            self.heard = now
        if events & selectors.EVENT_WRITE and not stopping and self.sent - self.received < window:
            self.sent += self.socket.send(self.piece(self.sent, min(16384, window)))
        wants = not stopping and self.sent - self.received < window
        selector.modify(self.socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if wants else 0), self)


def publish(done, errors, streams):
    total = sum(stream.received for stream in streams)
    least = min((stream.received for stream in streams), default=0)
    longest = max((stream.longest for stream in streams), default=0) * 1000
    text = json.dumps({"done": done, "errors": errors, "bytes": total, "least": least, "longest_ms": round(longest), "streams": len(streams)})
    open(result + ".new", "w").write(text)
    os.rename(result + ".new", result)


errors = []
streams = [Stream(number) for number in range(count)]
shown = 0.0
deadline = None
while True:
    stopping = os.path.exists(stop)
    if stopping and deadline is None:
        deadline = time.monotonic() + 10
    for key, events in selector.select(0.05):
        try:
            key.data.work(events, stopping)
        except BlockingIOError:
            pass
        except (OSError, EOFError, ValueError) as error:
            errors.append("%s: %s" % (type(error).__name__, error))
            selector.unregister(key.fileobj)
    if time.monotonic() - shown > 0.1:
        shown = time.monotonic()
        publish(False, errors, streams)
    if stopping and all(stream.sent == stream.received for stream in streams):
        break
    if deadline is not None and time.monotonic() > deadline:
        errors.append("not all that was sent came back")
        break
for stream in streams:
    try:
        stream.socket.shutdown(socket.SHUT_WR)
    except OSError as error:
        errors.append("%s at the end: %s" % (type(error).__name__, error))
publish(True, errors, streams)
