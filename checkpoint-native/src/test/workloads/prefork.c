/* A parent with memory, and children that share it copy-on-write and go on writing to a part of it, and to shared memory. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL

static void work(char *memory, size_t bytes, char *common, int number) {
  /* Each of the two generations of children has its own part; the first eighth is never written again by anyone. */
  for (unsigned step = 0;; step++) {
    size_t part = bytes / 16;
    memory[part * (2 + number) + step % (part / PAGE) * PAGE] ^= 1;
    __atomic_fetch_add((uint64_t *)(common + PAGE * number), 1, __ATOMIC_RELAXED);
    usleep(100);
  }
}

int main(int argc, char **argv) {
  size_t bytes = (size_t)atol(argv[1]) << 20;
  int children = atoi(argv[2]);
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *common = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < bytes; i += 8) *(uint64_t *)(memory + i) = i * 0x9e3779b97f4a7c15ULL;
  for (int i = 0; i < children; i++) {
    int pid = fork();
    if (pid == 0) {
      if (i == 0 && fork() == 0) { /* a grandchild */
        work(memory, bytes, common, children + 1);
      }
      munmap(memory + bytes - 2 * PAGE, PAGE);               /* the parent has it, this one has not */
      madvise(memory + bytes - 4 * PAGE, PAGE, MADV_DONTNEED); /* nor the content of this one */
      work(memory, bytes, common, i);
    }
  }
  printf("ready\n");
  fflush(stdout);
  if (argc > 3) {
    work(memory, bytes, common, children);
  }
  for (;;) pause();
}
