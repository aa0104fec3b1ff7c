"""Connections that are closed in one direction: says what it was sent on port 7002 once the client has said that it sends no more, a number at a time; on port
7003 it says at once that it sends no more, and counts what comes, until that is all.

halves.py READY-FILE RESULT-FILE
"""
import os, select, socket, sys, time

ready, result = sys.argv[1:3]
speaking = socket.create_server(("0.0.0.0", 7002))
listening = socket.create_server(("0.0.0.0", 7003))
open(ready, "w").close()

mine, _ = speaking.accept()
asked = b""
while True:
    piece = mine.recv(4096)
    if not piece:
        break
    asked += piece
yours, _ = listening.accept()
yours.sendall(b"go on")
yours.shutdown(socket.SHUT_WR)
number = heard = 0
ended = False
while not ended:
    mine.sendall(b"%s %d\n" % (asked, number))
    number += 1
    if select.select([yours], [], [], 0.01)[0]:
        piece = yours.recv(4096)
        expected = bytes((heard + i) % 251 for i in range(len(piece)))
        if piece != expected:
            open(result, "w").write("other bytes than were sent, from byte %d on" % heard)
            sys.exit(1)
        heard += len(piece)
        ended = not piece
mine.close()
open(result + ".new", "w").write("%d %d" % (number, heard))
os.rename(result + ".new", result)
yours.close()
time.sleep(3600)
