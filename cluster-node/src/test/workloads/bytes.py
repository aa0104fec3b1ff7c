"""A Python program that holds much memory and verifies it without pause: byte arrays and mappings with a checksum per block, rewritten in
part all the time; a file, a timer thread, a subprocess behind two pipes and an interpreter full of small objects.

usage: bytes.py DIRECTORY MEBIBYTES     corrupt: block, mapping, shared, object, file, early
Files and commands are those of report.h.
"""

import collections
import mmap
import os
import random
import subprocess
import sys
import threading
import time
import zlib

BLOCK = 1 << 20
directory = sys.argv[1]
mebibytes = int(sys.argv[2])
lock = threading.Lock()
counts = collections.Counter()
corrupt = set()
gap = 0.0
all_gaps = 0.0
late = 0.0


def path(name):
    return os.path.join(directory, name)


def error(text):
    with lock:
        counts["errors"] += 1
        if counts["errors"] > 200:
            return
    with open(path("errors"), "a", encoding="utf-8") as file:
        file.write(f"process {os.getpid()}: {text}\n")
    print(text, flush=True)


def check(condition, text):
    counts["checks"] += 1
    if not condition:
        error(text())


def replace(name, text):
    with open(path(name + ".new"), "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path(name + ".new"), path(name))


def take(what):
    with lock:
        if what in corrupt:
            corrupt.discard(what)
            return True
    return False


class Blocks:
    """Blocks of one mebibyte with the checksums they must have."""

    def __init__(self, name, count, view_of):
        self.name = name
        self.views = [view_of(i) for i in range(count)]
        self.sums = []
        base = random.Random(name).randbytes(2 * BLOCK)
        for i, view in enumerate(self.views):
            at = (i * 7919) % BLOCK
            view[:] = base[at : at + BLOCK]
            self.sums.append(zlib.crc32(view))

    def verify(self, i):
        found = zlib.crc32(self.views[i])
        check(found == self.sums[i], lambda: f"block {i} of {self.name} has checksum {found:08x} instead of {self.sums[i]:08x}")
        self.sums[i] = found

    def rewrite(self, i, dice):
        # A few scattered places and one longer run, then the checksum anew.
        view = self.views[i]
        for _ in range(8):
            at = dice.randrange(BLOCK - 8)
            view[at : at + 8] = dice.randbytes(8)
        at = dice.randrange(BLOCK - 8192)
        view[at : at + 8192] = dice.randbytes(8192)
        self.sums[i] = zlib.crc32(view)


def watch():
    """A timer thread: no wait may end early; the longest gap is what a move costs."""
    global gap, all_gaps
    before = time.monotonic()
    while True:
        started = time.monotonic()
        time.sleep(0.001)
        after = time.monotonic()
        check(after - started >= (0.5 if take("early") else 0.001), lambda: f"a sleep of 1 ms took {(after - started) * 1000:.3f} ms")
        gap = max(gap, after - before - 0.001)
        if after - before > 0.01:
            all_gaps += after - before
        before = after


def wait_long():
    global late
    nobody_sets_it = threading.Event()
    dice = random.Random(5)
    while True:
        length = dice.uniform(0.2, 2.5)
        gaps = all_gaps
        started = time.monotonic()
        woken = nobody_sets_it.wait(length)
        took = time.monotonic() - started
        late = max(late, took - length)
        check(not woken and took >= length, lambda: f"a wait of {length:.3f} s ended after {took:.3f} s")
        # Whoever runs first after a gap asks before the watch has seen it.
        patience = time.monotonic() + 0.5
        while took >= length + all_gaps - gaps + 1.5 and time.monotonic() < patience:
            time.sleep(0.02)
        check(took < length + all_gaps - gaps + 1.5, lambda: f"a wait of {length:.3f} s took {took:.3f} s")


def talk(child, dice):
    """Something written to a subprocess must come back."""
    text = dice.randbytes(dice.randrange(1, 3000))
    child.stdin.write(text)
    got = b""
    while len(got) < len(text):
        piece = child.stdout.read(len(text) - len(got))
        if not piece:
            break
        got += piece
    check(got == text, lambda: f"the subprocess gave {len(got)} bytes back instead of {len(text)}, or other ones")


class Journal:
    """A file that grows through one descriptor and is read through another."""

    def __init__(self):
        self.out = open(path("journal"), "wb", buffering=0)
        self.back = open(path("journal"), "rb", buffering=0)
        self.written = 0
        self.read = 0

    def step(self):
        if take("file"):
            self.out.seek(-3, os.SEEK_CUR)
        self.out.write(b"%015d\n" % self.written)
        self.written += 1
        if self.written % 4 == 0:
            for _ in range(4):
                line = self.back.read(16)
                check(line == b"%015d\n" % self.read, lambda: f"line {self.read} of the journal is {line!r}")
                self.read += 1


class Objects:
    """A dictionary of small objects that must stay a permutation of what it began as."""

    def __init__(self, count):
        self.table = {f"key-{i}": [i, str(i * i), (i, -i)] for i in range(count)}
        self.keys = list(self.table)
        self.count = count

    def step(self, dice):
        for _ in range(20):
            a, b = dice.choice(self.keys), dice.choice(self.keys)
            self.table[a], self.table[b] = self.table[b], list(self.table[a]) if a == b else self.table[a]
            number, square, pair = self.table[b]
            check(square == str(number * number) and pair == (number, -number), lambda: f"an object of number {number} holds {square}, {pair}")

    def verify(self):
        found = sum(value[0] for value in self.table.values())
        wanted = self.count * (self.count - 1) // 2
        check(found == wanted, lambda: f"the objects sum up to {found} instead of {wanted}")


def main():
    started = time.monotonic()
    dice = random.Random(os.getpid())
    heap = Blocks("the byte arrays", mebibytes * 5 // 8, lambda i: memoryview(bytearray(BLOCK)))
    private = mmap.mmap(-1, mebibytes // 4 * BLOCK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    private_view = memoryview(private)
    mapping = Blocks("the private mapping", mebibytes // 4, lambda i: private_view[i * BLOCK : (i + 1) * BLOCK])
    common = mmap.mmap(-1, mebibytes // 8 * BLOCK)
    common_view = memoryview(common)
    shared = Blocks("the shared mapping", mebibytes // 8, lambda i: common_view[i * BLOCK : (i + 1) * BLOCK])
    groups = [heap, mapping, shared]
    every = [(group, i) for group in groups for i in range(len(group.views))]
    journal = Journal()
    objects = Objects(50_000)
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    for body in (watch, wait_long, wait_long, wait_long):
        threading.Thread(target=body, daemon=True).start()
    turn = 0
    while True:
        turn += 1
        for _ in range(6):
            group, i = dice.choice(every)
            group.verify(i)
            if dice.random() < 0.5:
                group.rewrite(i, dice)
        journal.step()
        objects.step(dice)
        talk(child, dice)
        if turn % 50 == 0:
            objects.verify()
        if os.path.exists(path("corrupt")):
            with open(path("corrupt"), encoding="utf-8") as file:
                what = file.read().strip()
            os.rename(path("corrupt"), path("corrupted"))
            with lock:
                corrupt.add(what)
        for what, group in (("block", heap), ("mapping", mapping), ("shared", shared)):
            if take(what):
                group.views[0][12345] ^= 1
        if take("object"):
            objects.table["key-7"][0] += 1
        if turn % 4 == 0:
            replace(
                "status",
                f"pid={os.getpid()}\nbeat={turn}\nchecks={counts['checks']}\nerrors={counts['errors']}\nmax_gap_ms={gap * 1000:.3f}\n"
                f"runs_ms={(time.monotonic() - started) * 1000:.0f}\nmax_late_ms={late * 1000:.3f}\nchild={child.pid}\n",
            )
        if os.path.exists(path("finish")):
            break
        time.sleep(0.002)
    for group, i in every:
        group.verify(i)
    objects.verify()
    child.stdin.close()
    check(child.wait(timeout=10) == 0, lambda: f"the subprocess ended with {child.returncode}")
    clean = counts["errors"] == 0 and not os.path.exists(path("errors"))
    replace(
        "verdict",
        f"verdict={'ok' if clean else 'failed'}\nchecks={counts['checks']}\nerrors={counts['errors']}\nmax_gap_ms={gap * 1000:.3f}\n",
    )
    print(f"verdict: {'ok' if clean else 'failed'}", flush=True)
    os._exit(0 if clean else 1)


main()
