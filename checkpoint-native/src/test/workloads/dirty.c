/* Holds MIB of memory and EXTRA further mappings, and writes RATE random pages every 10 ms. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  size_t bytes = (size_t)atol(argv[1]) << 20;
  int extra = atoi(argv[2]), rate = atoi(argv[3]);
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint64_t x = 88172645463325252ULL;
  for (size_t i = 0; i < bytes; i += 4096) {
    for (int k = 0; k < 8; k++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      *(uint64_t *)(memory + i + 512 * k) = x;
    }
  }
  for (int i = 0; i < extra; i++) {
    char *p = mmap(NULL, 8192, PROT_READ | (i & 1 ? PROT_WRITE : 0), MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (i & 1) *p = 1;
  }
  printf("ready\n");
  fflush(stdout);
  while (rate == 0) pause();
  for (;;) {
    for (int i = 0; i < rate; i++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      *(uint64_t *)(memory + x % (bytes / 4096) * 4096) = x;
    }
    usleep(10000);
  }
}
