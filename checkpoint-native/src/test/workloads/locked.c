// Holds a POSIX lock on bytes 10 to 29 of FILE, a lock of an open file on bytes 50 to 59, and an exclusive flock: usage: locked FILE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define MUST(call) do { if ((call) == -1) { perror(#call); exit(2); } } while (0)

int main(int count, char **arguments) {
  if (count < 2) return 2;
  int posix, other, whole;
  MUST(posix = open(arguments[1], O_RDWR | O_CREAT, 0600));
  MUST(other = open(arguments[1], O_RDWR));
  MUST(whole = open(arguments[1], O_RDWR));
  struct flock own = {.l_type = F_WRLCK, .l_start = 10, .l_len = 20}, open_file = {.l_type = F_WRLCK, .l_start = 50, .l_len = 10};
  MUST(fcntl(posix, F_SETLK, &own));
  MUST(fcntl(other, F_OFD_SETLK, &open_file));
  MUST(flock(whole, LOCK_EX));
  puts("locked");
  fflush(stdout);
  for (;;) pause();
}
