"""The other end of halves.py, which it compares every byte with: halves_client.py HOST STOP-FILE SEEN-FILE. Ends with a line "numbers bytes" on standard output."""
import os, socket, sys, time

host, stop, seen = sys.argv[1:4]
yours = socket.create_connection((host, 7002))
yours.sendall(b"asked")
yours.shutdown(socket.SHUT_WR)
mine = socket.create_connection((host, 7003))
greeting = b""
while True:
    piece = mine.recv(100)
    if not piece:
        break
    greeting += piece
assert greeting == b"go on", greeting
yours.settimeout(60)
lines = yours.makefile("rb")
sent = numbers = 0
stopped = False
while True:
    if not os.path.exists(stop):
        mine.sendall(bytes((sent + i) % 251 for i in range(700)))
        sent += 700
    elif not stopped:
        mine.shutdown(socket.SHUT_WR)
        stopped = True
    line = lines.readline()
    if not line:
        break
    assert line == b"asked %d\n" % numbers, (line, numbers)
    numbers += 1
    if numbers % 10 == 0:
        open(seen + ".new", "w").write(str(numbers))
        os.rename(seen + ".new", seen)
print(numbers, sent)
