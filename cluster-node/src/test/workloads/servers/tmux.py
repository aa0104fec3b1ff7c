"""A tmux server with two shells on terminals of its own, and clients that type into them. What the shells show must be byte for byte what is
expected.

The first shell edits its lines and has jobs: one counts, one is stopped and continued again and again. Each command is typed in pieces when the
prompt is there. The second shell reads what was typed long before, so nobody waits for anything. The first turn, which nothing has disturbed, shows
that the expectation is right.
"""

import os
import random
import subprocess
import time

from driver import ANSWER_SECONDS_MAX, Driver

COUNTED = 2000
AHEAD = 12
WIDTHS = (100, 84, 117)
HEIGHTS = (30, 24, 41)
# What these say first tells that the shell has left the terminal to them.
REPEATS = "bash -c 'echo ready; exec cat'"
SLEEPS = "bash -c 'echo sleeps; exec sleep 1000'"

driver = Driver()
environment = {"PATH": "/usr/bin:/bin", "HOME": driver.directory, "LC_ALL": "C.UTF-8", "SHELL": "/bin/bash", "PS1": r"\# $ "}
shell = ["bash", "--norc", "--noprofile"]


def tmux(*words):
    """What a client of its own is told."""
    command = ["tmux", "-S", driver.path("socket"), "-f", "/dev/null", *words]
    client = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, cwd=driver.directory,
                            timeout=3 * ANSWER_SECONDS_MAX, check=False)
    if client.returncode != 0 or client.stderr:
        raise RuntimeError(f"tmux {words}: exit status {client.returncode}, {client.stderr!r}, {client.stdout!r}")
    return client.stdout.decode()


def by_plain_bash(command):
    return driver.run(["bash", "-c", command], env=environment).splitlines()


class Screen:
    """What one shell has shown since it began, line by line, beside what it should have."""

    def __init__(self, window):
        self.window = window
        self.expected = ["1 $"]
        self.commands = 1
        self.wait()

    def keys(self, *keys):
        # To tmux a semicolon at the end of a word is the end of a command.
        tmux("send-keys", "-t", self.window, *(key[:-1] + "\\;" if key.endswith(";") else key for key in keys))

    def shown(self, *options):
        return tmux("capture-pane", "-p", "-t", self.window, *options).rstrip("\n").split("\n")

    def wait(self):
        """Until what can be seen is the end of what is expected."""
        end = time.monotonic() + ANSWER_SECONDS_MAX
        while (shown := self.shown()) != self.expected[-len(shown):]:
            if time.monotonic() > end:
                text = "\n".join(shown)
                raise RuntimeError(f"window {self.window} shows\n{text}\nand not\n" + "\n".join(self.expected[-len(shown):]))
        driver.check(True, "")

    def show(self, *lines):
        self.expected[-1] += lines[0]
        self.expected += lines[1:]

    def prompt(self):
        self.commands += 1
        self.expected.append(f"{self.commands} $")

    def compare(self):
        driver.check(self.shown("-S", "-") == self.expected, f"window {self.window} has shown something else in all; see the files")
        for name, lines in (("shown", self.shown("-S", "-")), ("expected", self.expected)):
            driver.replace(f"{self.window}.{name}", "\n".join(lines) + "\n")


class Jobs(Screen):
    """The shell whose user waits for each prompt."""

    def __init__(self):
        super().__init__("jobs")
        self.dice = random.Random(1)
        self.number = 0
        self.command(f"count() {{ i=0; while :; do ((++i % {COUNTED})) || echo $i >> counted; done; }}")
        self.command("{ count & } 2> /dev/null")
        self.type(REPEATS, "ready", "")
        self.wait_before_more()
        self.stop(f"[2]+  Stopped                 {REPEATS}")

    def type(self, text, *answer):
        """Types a line in pieces, each by a client of its own; what is shown then has no prompt yet."""
        middle = self.dice.randrange(1, len(text))
        for piece in (text[:middle], text[middle:]):
            self.keys("-l", "--", piece)
        self.keys("Enter")
        # The prompt's space is at the end of its line until something is typed.
        self.show((" " if self.expected[-1].endswith("$") else "") + text, *answer)

    def command(self, text, *answer):
        self.type(text, *answer)
        self.prompt()
        self.wait()

    def line(self, text):
        """One that cat repeats."""
        self.type(text, text, "")
        self.wait_before_more()

    def wait_before_more(self):
        """Until all is seen but the empty line that the cursor is in."""
        self.expected.pop()
        self.wait()
        self.expected.append("")

    def stop(self, *answer):
        self.keys("C-z")
        self.show("^Z", *answer)
        self.prompt()
        self.wait()

    def turn(self):
        self.number += 1
        n = self.number
        self.command(f"echo turn {n}, $(({n} * {n}))", f"turn {n}, {n * n}")
        self.command("jobs", "[1]-  Running                 count &", f"[2]+  Stopped                 {REPEATS}")
        self.type("fg", REPEATS, "")
        self.wait_before_more()
        self.line(f"half and half {n}")
        self.line(f"another {n}")
        self.stop(f"[2]+  Stopped                 {REPEATS}")
        self.type(SLEEPS, "sleeps", "")
        self.wait_before_more()
        self.stop("[3]+  Stopped                 " + SLEEPS)
        self.command("bg", f"[3]+ {SLEEPS} &")
        stopped = f"[2]+  Stopped                 {REPEATS}"
        self.command("jobs", "[1]   Running                 count &", stopped, f"[3]-  Running                 {SLEEPS} &")
        self.command("kill %3; wait %3; echo ended $?", "[3]-  Terminated              " + SLEEPS, "ended 143")
        background = "{ (sleep 0.1; exit 7) & } 2> /dev/null; wait $!; echo waited $?"
        self.command(background, "[3]-  Exit 7                  ( sleep 0.1; exit 7 )", "waited 7")
        self.type(SLEEPS, "sleeps", "")
        self.wait_before_more()
        self.keys("C-c")
        self.show("^C")
        self.prompt()
        self.wait()
        self.command("echo $?", "130")
        pipeline = f"seq {n * 10000} | sort -r | tee >(tail -n 1 > last) | sha256sum"
        self.command(pipeline, *by_plain_bash(pipeline))
        size = f"{HEIGHTS[n % 3]} {WIDTHS[n % 3]}"
        tmux("resize-window", "-t", self.window, "-x", str(WIDTHS[n % 3]), "-y", str(HEIGHTS[n % 3]))
        # tmux waits for a moment before it tells the terminal.
        self.command(f'until [ "$(stty size)" = "{size}" ]; do sleep 0.02; done; stty size', size)
        driver.answered()

    def end(self):
        self.command("jobs", "[1]-  Running                 count &", f"[2]+  Stopped                 {REPEATS}")
        self.command("kill %1; wait %1; echo ended $?", "[1]-  Terminated              count", "ended 143")
        self.type("fg", REPEATS, "")
        self.wait_before_more()
        self.line("last")
        self.keys("C-d")
        self.expected.pop()
        self.prompt()
        self.wait()
        self.compare()
        with open(driver.path("counted"), encoding="ascii") as file:
            numbers = [int(line) for line in file]
        driver.check(numbers == list(range(COUNTED, COUNTED * (len(numbers) + 1), COUNTED)) and numbers, "the job has not counted one by one")
        self.keys("exit", "Enter")


class Ahead(Screen):
    """The shell whose user types without looking. It does not echo, so what it shows does not depend on when it was typed."""

    def __init__(self):
        super().__init__("ahead")
        self.keys("stty -echo", "Enter")
        self.show(" stty -echo")
        self.prompt()
        self.wait()
        self.number = 0

    def typed(self, text, *answer, also=()):
        """Only what is typed before the next prompt depends on this; nobody waits."""
        self.keys(text, "Enter")
        for each in also:
            self.keys(each, "Enter")
        self.show(" " + answer[0], *answer[1:])
        self.prompt()

    def turn(self):
        for _ in range(AHEAD):
            self.number += 1
            n = self.number
            if n % 4 == 0:
                self.typed("read a b; echo $b-$a", f"words-{n}", also=(f"{n} words",))
            elif n % 4 == 1:
                self.typed(f"seq {n} | tac | head -n 2", str(n), *([str(n - 1)] if n > 1 else []))
            elif n % 4 == 2:
                self.typed("(sleep 0.05; exit 3) | cat; echo ${PIPESTATUS[0]}", "3")
            else:
                self.typed(f"echo {n} $?", f"{n} 0")
        self.wait()
        driver.answered()

    def end(self):
        self.compare()
        self.keys("exit", "Enter")


tmux("start-server", ";", "set-option", "-g", "history-limit", "100000", ";",
     "new-session", "-d", "-x", str(WIDTHS[0]), "-y", str(HEIGHTS[0]), "-n", "jobs", *shell, "-i", ";",
     "new-window", "-n", "ahead", *shell, "--noediting", "-i")
# It has made itself a child of the first process, which this is.
server = int(tmux("display-message", "-p", "#{pid}"))
shells = [Jobs(), Ahead()]
for each in shells:
    each.turn()


def has_ended():
    """It ends with its last shell."""
    ended = os.waitpid(server, os.WNOHANG)
    if ended == (0, 0):
        return False
    driver.check(ended[1] == 0, f"tmux: {ended}")
    return True


def end():
    if driver.errors:
        return
    for each in shells:
        each.end()
    driver.wait_for("the end of tmux", has_ended)


for each in shells:
    driver.client(each.turn)
driver.serve(end)
