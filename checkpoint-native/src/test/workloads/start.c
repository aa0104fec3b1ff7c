// Starts a program as its child, says its process id, and ends as it ends. Java's own reaper waits for Java's children and would take
// the stops of a traced one for its end; a grandchild it leaves alone.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  int status;
  sigset_t none;
  for (int i = 1; i < 32; i++) signal(i, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  pid_t child = fork();
  if (child == 0) {
    printf("started %d\n", getpid());
    fflush(stdout);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  close(0);
  close(1);
  close(2);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
