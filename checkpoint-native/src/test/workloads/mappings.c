/* Has every kind of mapping, and changes them all the time in mode "churn". */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define PAGE 4096UL
static char data_page[16 * PAGE] __attribute__((aligned(4096))) = {1};
static uint64_t seed = 88172645463325252ULL;

static uint64_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static void *must(void *p, const char *what) {
  if (p == MAP_FAILED) {
    perror(what);
    exit(1);
  }
  return p;
}

static void fill(char *p, size_t bytes) {
  for (size_t i = 0; i + 8 <= bytes; i += 8) *(uint64_t *)(p + i) = next();
}

static char *anonymous(size_t bytes, int prot, int flags) {
  return must(mmap(NULL, bytes, prot, MAP_ANONYMOUS | flags, -1, 0), "mmap");
}

static void kinds(const char *file) {
  char *p = anonymous(64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  fill(p, 64 * PAGE);
  mprotect(p + 8 * PAGE, 8 * PAGE, PROT_NONE);              /* content behind no access */
  mprotect(p + 24 * PAGE, 8 * PAGE, PROT_READ);
  mprotect(p + 32 * PAGE, 4 * PAGE, PROT_READ | PROT_EXEC);
  anonymous(256UL << 30, PROT_NONE, MAP_PRIVATE | MAP_NORESERVE);
  anonymous(64 * PAGE, PROT_NONE, MAP_PRIVATE);
  char *sparse = anonymous(64UL << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
  for (int i = 0; i < 8; i++) sparse[(8UL << 30) * i + 5] = 1 + i;
  p = anonymous(32 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
  fill(p + PAGE, 3 * PAGE);
  int memfd = memfd_create("with a name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (ftruncate(memfd, 10 * PAGE + 100)) perror("ftruncate");
  p = must(mmap(NULL, 11 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0), "memfd");
  fill(p, 10 * PAGE);
  munmap(p, 2 * PAGE);
  must(mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, memfd, 2 * PAGE), "memfd again");
  p = must(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd, 0), "memfd private");
  p[PAGE] ^= 1;
  close(memfd);
  memfd = memfd_create("sealed", MFD_ALLOW_SEALING);
  char block[3 * PAGE];
  fill(block, sizeof block);
  if (write(memfd, block, sizeof block) < 0) perror("write");
  fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  must(mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, memfd, 0), "sealed");
  close(memfd);
  int fd = open(file, O_RDWR);
  p = must(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), "file private");
  p[PAGE] ^= 1;
  memset(p + 2 * PAGE, 0, PAGE); /* zeros over a file page */
  mprotect(p, 4 * PAGE, PROT_READ);
  must(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4 * PAGE), "file shared");
  close(fd);
  fd = open(file, O_RDONLY);
  must(mmap(NULL, 8 * PAGE, PROT_READ, MAP_SHARED, fd, 0), "file shared, read only");
  close(fd);
  p = anonymous(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN);
  fill(p + 8 * PAGE, 8 * PAGE);
  p = anonymous(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  fill(p, 16 * PAGE);
  if (mlock(p, 16 * PAGE)) perror("mlock");
  int advice[] = {MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTFORK, MADV_DONTDUMP, MADV_WIPEONFORK, MADV_MERGEABLE, MADV_RANDOM, MADV_SEQUENTIAL};
  for (unsigned i = 0; i < sizeof advice / sizeof *advice; i++) {
    p = anonymous(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    fill(p, 2 * PAGE);
    if (madvise(p, 8 * PAGE, advice[i])) perror("madvise");
    anonymous(PAGE, PROT_NONE, MAP_PRIVATE);
  }
  p = anonymous(16UL << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  madvise(p, 16UL << 20, MADV_HUGEPAGE);
  fill(p, 8UL << 20);
  p = anonymous(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  fill(p, 16 * PAGE);
  madvise(p + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL);
  p = anonymous(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  for (int i = 0; i < 16; i++) { /* read only: the page of zeros */
    volatile char c = p[i * PAGE];
    (void)c;
  }
  mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_DROPPABLE, -1, 0);
  char *heap = sbrk(5 * PAGE + 123);
  fill(heap, 5 * PAGE);
  fill(data_page + 4 * PAGE, 4 * PAGE);
}

#define SLOTS 64
static char *slot[SLOTS];
static size_t slot_pages[SLOTS];

static void child(char *self) {
  fflush(stdout);
  int pid = fork();
  if (pid == 0) {
    if (next() % 2) {
      execl(self, self, "short", NULL);
    }
    for (int i = 0; i < SLOTS; i++) {
      if (slot[i] && next() % 2) slot[i][0] ^= 1;
    }
    usleep(next() % 30000);
    _exit(0);
  }
}

static void churn(char *self) {
  seed += getpid();
  int memfd = memfd_create("only open", 0); /* changed by write(2), never mapped */
  for (long step = 0;; step++) {
    int i = next() % SLOTS;
    size_t pages = 1 + next() % 96;
    if (!slot[i]) {
      slot[i] = anonymous(pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
      slot_pages[i] = pages;
      fill(slot[i], pages * PAGE / 2);
      continue;
    }
    size_t at = next() % slot_pages[i];
    size_t some = 1 + next() % (slot_pages[i] - at);
    switch (next() % 16) {
      case 0:
        munmap(slot[i], slot_pages[i] * PAGE);
        slot[i] = NULL;
        break;
      case 1: {
        char *moved = mremap(slot[i], slot_pages[i] * PAGE, pages * PAGE, MREMAP_MAYMOVE);
        if (moved != MAP_FAILED) {
          slot[i] = moved;
          slot_pages[i] = pages;
        }
        break;
      }
      case 2:
        madvise(slot[i] + at * PAGE, some * PAGE, MADV_DONTNEED);
        break;
      case 3:
        mprotect(slot[i] + at * PAGE, some * PAGE, next() % 2 ? PROT_NONE : PROT_READ);
        usleep(500);
        mprotect(slot[i], slot_pages[i] * PAGE, PROT_READ | PROT_WRITE);
        break;
      case 4:
        if (step % 64 == 0) child(self);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        break;
      case 5: { /* another mapping in the same place */
        void *again = mmap(slot[i], slot_pages[i] * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        must(again, "mmap fixed");
        break;
      }
      case 6: {
        char *brk = sbrk((long)(next() % 20000) - 9000);
        if (brk == (void *)-1) break;
        break;
      }
      case 7: {
        char block[PAGE];
        fill(block, PAGE);
        if (pwrite(memfd, block, PAGE - next() % 2, next() % 200 * PAGE) < 0) perror("pwrite");
        break;
      }
      case 8:
        fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, next() % 200 * PAGE, 2 * PAGE);
        if (step % 50 == 0 && ftruncate(memfd, next() % 200 * 1000)) perror("ftruncate");
        break;
      default:
        fill(slot[i] + at * PAGE, some * PAGE);
    }
    if (step % 256 == 0) usleep(1000);
  }
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "short")) {
    usleep(20000);
    return 0;
  }
  kinds(argv[2]);
  printf("ready\n");
  fflush(stdout);
  if (!strcmp(argv[1], "churn")) churn(argv[0]);
  for (;;) pause();
}
