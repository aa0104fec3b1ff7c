"""A C project that is built again and again with make -j4; every build must give the bytes of the first, which nothing has disturbed."""

import hashlib
import os
import random
import subprocess

from driver import Driver

FILES = 24
MAKEFILE = """
OBJECTS := $(patsubst %.c,%.o,$(wildcard part*.c))
program: $(OBJECTS)
\tgcc -o $@ $^
%.o: %.c parts.h
\tgcc -O2 -g0 -c -o $@ $<
"""

driver = Driver()
project = driver.path("project")
os.makedirs(project)


def write(name, text):
    with open(os.path.join(project, name), "w", encoding="ascii") as file:
        file.write(text)


write("Makefile", MAKEFILE)
write("parts.h", "#include <stdio.h>\n" + "".join(f"unsigned part{i}(unsigned);\n" for i in range(FILES)))
for i in range(FILES):
    dice = random.Random(i)
    lines = "".join(f"  x = x * {dice.randrange(1, 1 << 30)}u ^ (x >> {dice.randrange(1, 31)});\n" for _ in range(120))
    write(f"part{i}.c", f'#include "parts.h"\nunsigned part{i}(unsigned x) {{\n{lines}  return x;\n}}\n')
calls = "".join(f"  x = part{i}(x);\n" for i in range(FILES))
write("part_main.c", f'#include "parts.h"\nint main(void) {{\n  unsigned x = 1;\n{calls}  printf("%u\\n", x);\n  return 0;\n}}\n')


def build():
    for name in os.listdir(project):
        if name.endswith(".o") or name == "program":
            os.unlink(os.path.join(project, name))
    made = subprocess.run(["make", "-s", "-j4"], cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    driver.check(made.returncode == 0, f"make: {made.returncode}, {made.stdout} {made.stderr}")
    digest = hashlib.sha256()
    for name in sorted(os.listdir(project)):
        with open(os.path.join(project, name), "rb") as file:
            digest.update(name.encode() + b"\0" + file.read())
    ran = subprocess.run([os.path.join(project, "program")], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return digest.digest() + ran.stdout


wanted = build()


def again():
    driver.check(build() == wanted, "a build has other bytes than the first")
    driver.answered()


driver.client(again)
driver.serve()
