"""What the programs here share: each is the first process of a container, starts a real server and clients that load it, and checks every answer.

usage of each: PROGRAM.py DIRECTORY     files and commands are those of ../report.h; "done" in the status counts what the clients have had answered
"""

import hashlib
import http.client
import os
import subprocess
import sys
import threading
import time

ANSWER_SECONDS_MAX = 20


class Driver:
    """The program as a test sees it. Any thread may count, check and find errors."""

    def __init__(self):
        self.directory = os.path.abspath(sys.argv[1])
        self.lock = threading.Lock()
        self.beat = self.checks = self.errors = self.done = 0
        self.ending = False
        self.threads = []
        self.processes = []

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def error(self, text):
        with self.lock:
            self.errors += 1
            if self.errors > 100:
                return
        with open(self.path("errors"), "a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text, flush=True)

    def check(self, condition, text):
        with self.lock:
            self.checks += 1
        if not condition:
            self.error(text() if callable(text) else text)

    def answered(self, count=1):
        with self.lock:
            self.done += count

    def replace(self, name, text):
        with open(self.path(name + ".new"), "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.path(name + ".new"), self.path(name))

    def start(self, name, command, **options):
        """Starts a process whose output goes to NAME.log."""
        with open(self.path(name + ".log"), "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, **options)
        self.processes.append((name, process))
        return process

    def run(self, command, **options):
        """Runs a command to its end; its output. Fails with all of it."""
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.directory, **options)
        if result.returncode != 0:
            raise SystemExit(f"{command}: exit status {result.returncode}\n{result.stdout}")
        return result.stdout

    def wait_for(self, what, condition, seconds=ANSWER_SECONDS_MAX):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"{what} did not come within {seconds} s")
            time.sleep(0.02)

    def client(self, body, *arguments):
        """Calls body again and again in a thread of its own until the end; an exception is an error and ends it."""

        def loop():
            try:
                while not self.ending:
                    body(*arguments)
            except Exception as failure:  # whatever a client meets is what the test is about
                self.error(f"client {body.__name__}{arguments}: {failure!r}")

        thread = threading.Thread(target=loop, daemon=True)
        self.threads.append(thread)
        thread.start()

    def serve(self, finish=lambda: None):
        """Reports until told to end; then waits for the clients, calls finish and ends everything."""
        while True:
            self.beat += 1
            for name, process in self.processes:
                if process.poll() is not None:
                    self.error(f"{name} has ended with {process.returncode}")
            self.replace("status", f"beat={self.beat}\nchecks={self.checks}\nerrors={self.errors}\ndone={self.done}\n")
            if os.path.exists(self.path("finish")):
                break
            time.sleep(0.02)
        self.ending = True
        for thread in self.threads:
            thread.join(ANSWER_SECONDS_MAX)
            self.check(not thread.is_alive(), "a client has no answer")
        finish()
        for _, process in reversed(self.processes):
            process.terminate()
        for name, process in reversed(self.processes):
            try:
                process.wait(ANSWER_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.error(f"{name} does not end")
        clean = self.errors == 0 and self.checks > 0
        self.replace("verdict", f"verdict={'ok' if clean else 'failed'}\nchecks={self.checks}\nerrors={self.errors}\nmax_gap_ms=0\n")
        print("verdict: " + ("ok" if clean else "failed"), flush=True)
        sys.exit(0 if clean else 1)


def listens(port):
    """Whether somebody takes connections."""
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
        return True
    except OSError:
        return False


class KeepAlive:
    """A client that asks for files over one connection and opens no second one."""

    def __init__(self, driver, port, contents):
        self.driver, self.contents = driver, contents
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS_MAX)
        self.connection.connect()
        self.local = self.connection.sock.getsockname()
        self.turn = 0

    def ask(self):
        name, wanted = self.contents[self.turn % len(self.contents)]
        self.turn += 1
        self.connection.request("GET", name)
        answer = self.connection.getresponse()
        body = answer.read()
        self.driver.check(answer.status == 200, lambda: f"GET {name}: status {answer.status}")
        self.driver.check(hashlib.sha256(body).digest() == wanted, lambda: f"GET {name}: {len(body)} bytes that are not the file's")
        self.driver.check(self.connection.sock is not None and self.connection.sock.getsockname() == self.local, "the connection is another one")
        self.driver.answered()
        time.sleep(0.001)
