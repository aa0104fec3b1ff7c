/* Mappings that are sealed (mseal(2)): writable, of a file, without access, parts of one, locked ones. Nobody can take the seals off again. */
#include "kind.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

enum { PAGE = 4096 };

static char *writable, *part, *code, *closed, *locked;

static char *map(int pages, int protection, int flags, int fd) {
  void *at = mmap(NULL, (size_t) pages * PAGE, protection, flags, fd, 0);
  if (at == MAP_FAILED) {
    fprintf(stderr, "mmap: %s\n", strerror(errno));
    exit(2);
  }
  return at;
}

static void seal(char *at, int pages) { MUST(syscall(SYS_mseal, at, (size_t) pages * PAGE, 0)); }

static void expect_sealed(char *at, int pages) {
  for (int page = 0; page < pages; page++) {
    HOLDS(mprotect(at + page * PAGE, PAGE, PROT_NONE) == -1 && errno == EPERM, "page %d of %p can be protected", page, (void *) at);
    HOLDS(munmap(at + page * PAGE, PAGE) == -1 && errno == EPERM, "page %d of %p can be unmapped", page, (void *) at);
  }
}

static void expect_free(char *at) { HOLDS(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0, "%p is sealed", (void *) at); }

static void make_writable(void) {
  writable = map(32, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  fill(writable, 16 * PAGE, 11);
  seal(writable, 32);
}

static void look_writable(void) {
  expect_sealed(writable, 32);
  HOLDS(holds(writable, 16 * PAGE, 11) && writable[20 * PAGE] == 0, "the content differs");
  writable[30 * PAGE] = (char) asked_number;
}

static void damage_writable(void) { writable[7] ^= 1; }

static void make_part(void) {
  part = map(8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  fill(part, 8 * PAGE, 12);
  seal(part + 2 * PAGE, 3);
}

static void look_part(void) {
  for (int page = 0; page < 8; page++) {
    if (page >= 2 && page < 5) {
      expect_sealed(part + page * PAGE, 1);
    } else {
      expect_free(part + page * PAGE);
    }
  }
  HOLDS(holds(part, 8 * PAGE, 12), "the content differs");
}

static void damage_part(void) { WORKS(syscall(SYS_mseal, part, PAGE, 0)); }

static void make_others(void) {
  int fd = (int) MUST(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  code = map(4, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd);
  close(fd);
  seal(code, 4);
  closed = map(4, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  seal(closed, 4);
  locked = map(4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  fill(locked, 4 * PAGE, 13);
  MUST(mlock(locked, 4 * PAGE));
  seal(locked, 4);
}

static void look_others(void) {
  expect_sealed(code, 4);
  expect_sealed(closed, 4);
  expect_sealed(locked, 4);
  HOLDS(memcmp(code, "\177ELF", 4) == 0, "the program's first bytes differ");
  HOLDS(holds(locked, 4 * PAGE, 13), "shared memory differs");
}

static void damage_others(void) { locked[PAGE] ^= 1; }

KIND({"writable", make_writable, look_writable, damage_writable}, {"part", make_part, look_part, damage_part},
    {"others", make_others, look_others, damage_others});
