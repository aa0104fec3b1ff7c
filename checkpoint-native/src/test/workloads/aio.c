// Has an AIO context with two events that wait, and a request in flight when its argument is "flying". With "inherited", a child has its ring. On a line of
// input the request ends, and all events are told.
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

static long check(long result, const char *call) {
  if (result < 0) {
    printf("failed: %s: %s\n", call, strerror(errno));
    exit(1);
  }
  return result;
}

static void submit(aio_context_t context, struct iocb *request) {
  check(syscall(SYS_io_submit, context, 1, &request), "io_submit");
}

int main(int count, char **arguments) {
  if (count != 2) return 1;
  setvbuf(stdout, NULL, _IONBF, 0);
  aio_context_t context = 0;
  check(syscall(SYS_io_setup, 20, &context), "io_setup");
  static char buffer[8];
  int zeros = check(open("/dev/zero", O_RDONLY), "open"), signal = check(eventfd(0, 0), "eventfd");
  struct iocb read = {.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = zeros, .aio_buf = (uintptr_t) buffer, .aio_nbytes = 8};
  for (read.aio_data = 77; read.aio_data < 79; read.aio_data++) submit(context, &read);
  struct iocb wait = {.aio_data = 99, .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = signal, .aio_buf = POLLIN};
  if (strcmp(arguments[1], "flying") == 0) submit(context, &wait);
  int child = strcmp(arguments[1], "inherited") == 0 ? check(fork(), "fork") : -1;
  if (child == 0) {
    for (;;) pause();
  }
  printf("ready %d\n", child);
  char line[20];
  while (fgets(line, sizeof line, stdin) != NULL) {
    uint64_t one = 1;
    check(write(signal, &one, sizeof one), "write");
    struct io_event events[64];
    struct timespec none = {0, 0};
    long got = check(syscall(SYS_io_getevents, context, 0, 64, events, &none), "io_getevents");
    printf("events");
    for (long i = 0; i < got; i++) printf(" %llu", (unsigned long long) events[i].data);
    printf("\n");
  }
  return 0;
}
