"""memcached, and clients that know what they have stored. Each owns its keys and keeps its connection."""

import random
import socket

from driver import ANSWER_SECONDS_MAX, Driver, listens

PORT = 11299


class Client:
    def __init__(self, driver, number):
        self.driver, self.number = driver, number
        self.dice = random.Random(number)
        self.known = {}
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=ANSWER_SECONDS_MAX)
        self.file = self.socket.makefile("rb")

    def turn(self):
        key = b"%d-%d" % (self.number, self.dice.randrange(200))
        if self.dice.random() < 0.5:
            value = self.dice.randbytes(self.dice.randrange(4000))
            self.socket.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
            answer = self.file.readline()
            self.driver.check(answer == b"STORED\r\n", lambda: f"set {key}: {answer!r}")
            self.known[key] = value
        else:
            self.socket.sendall(b"get %s\r\n" % key)
            line = self.file.readline()
            value = None
            if line.startswith(b"VALUE "):
                value = self.file.read(int(line.split()[3]) + 2)[:-2]
                line = self.file.readline()
            self.driver.check(line == b"END\r\n", lambda: f"get {key}: {line!r}")
            self.driver.check(value == self.known.get(key), lambda: f"get {key}: another value than was stored")
        self.driver.answered()


driver = Driver()
driver.start("memcached", ["/usr/bin/memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(PORT), "-U", "0", "-t", "4", "-m", "64"])
driver.wait_for("memcached", lambda: listens(PORT))
for i in range(4):
    driver.client(Client(driver, i).turn)
driver.serve()
