/* A process with nothing in it but a scratch mapping: stands in for a stub. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void) {
  void *bench = mmap((void *)0x20000, 256 << 10, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (bench != (void *)0x20000) {
    perror("mmap");
    return 1;
  }
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    pause();
  }
}
