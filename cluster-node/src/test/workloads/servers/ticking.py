"""What the servers that are programs of ours share: GET /N gives bytes that only N determines, GET /ticks how often a timer has fired."""

import hashlib
import time

from driver import KeepAlive, listens


def body(number):
    return (hashlib.sha256(b"/%d" % number).hexdigest() * (number % 300)).encode()


class Ticks(KeepAlive):
    """The server's timers go on, and never back."""

    last = -1

    def look(self):
        self.connection.request("GET", "/ticks")
        ticks = int(self.connection.getresponse().read())
        self.driver.check(ticks >= self.last, f"{ticks} ticks after {self.last}")
        self.last = ticks
        time.sleep(0.01)


def load(driver, name, port):
    """Waits for the server, loads it, and serves."""
    driver.wait_for(name, lambda: listens(port))
    contents = [(f"/{number}", hashlib.sha256(body(number)).digest()) for number in (0, 1, 7, 299, 4321, 77777)]
    for _ in range(4):
        driver.client(KeepAlive(driver, port, contents).ask)
    ticks = Ticks(driver, port, contents)
    driver.client(ticks.look)
    driver.serve(lambda: driver.check(ticks.last > 0, "the timers stand still"))
