// Starts /bin/true by vfork without pause: a parent that waits uninterruptibly most of the time. Prints "started N" now and then.
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready %d\n", getpid());
  for (long n = 1;; n++) {
    int status;
    pid_t child = vfork();
    if (child == 0) {
      execl("/bin/true", "true", (char*)0);
      _exit(99);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status) printf("error %d %x\n", child, status);
    if (n % 50 == 0) printf("started %ld\n", n);
  }
}
