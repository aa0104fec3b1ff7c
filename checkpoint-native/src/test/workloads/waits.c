// Threads that wait in the kernel in different ways; each says how its wait ended: "NAME RESULT ERRNO MILLISECONDS".
// Usage: waits SECONDS (as a decimal fraction). "go" on standard input ends the waits without a time limit.
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double limit;
static int pipe_read, pipe_write, event;
static uint32_t word;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}
static struct timespec relative(void) {
  return (struct timespec){(time_t)limit, (long)((limit - (time_t)limit) * 1e9)};
}
static void report(const char* name, long result, double start) {
  int e = result < 0 ? errno : 0;
  printf("%s %ld %d %.0f\n", name, result, e, now() - start);
}
static void* sleeping(void* unused) {
  struct timespec t = relative();
  double s = now();
  report("nanosleep", syscall(SYS_nanosleep, &t, &t), s);
  return NULL;
}
static void* polling(void* unused) {
  double s = now();
  report("poll", poll(NULL, 0, limit * 1e3), s);
  return NULL;
}
static void* selecting(void* unused) {
  struct timeval t = {(time_t)limit, (long)((limit - (time_t)limit) * 1e6)};
  double s = now();
  report("select", select(0, NULL, NULL, NULL, &t), s);
  return NULL;
}
static void* epolling(void* unused) {
  struct epoll_event e;
  int fd = epoll_create1(0);
  double s = now();
  report("epoll_wait", epoll_wait(fd, &e, 1, limit * 1e3), s);
  return NULL;
}
static void* epolling_for_ever(void* unused) {
  struct epoll_event e = {.events = EPOLLIN};
  int fd = epoll_create1(0);
  epoll_ctl(fd, EPOLL_CTL_ADD, event, &e);
  double s = now();
  report("epoll", epoll_wait(fd, &e, 1, -1), s);
  return NULL;
}
static void* timed_futex(void* unused) {
  struct timespec t = relative();
  double s = now();
  report("timed-futex", syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0), s);
  return NULL;
}
static void* futex(void* unused) {
  double s = now();
  report("futex", syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0), s);
  return NULL;
}
static void* reading(void* unused) {
  char c;
  double s = now();
  report("read", read(pipe_read, &c, 1), s);
  return NULL;
}
static void* suspended(void* unused) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  struct timespec t = relative();
  double s = now();
  report("sigtimedwait", sigtimedwait(&set, NULL, &t), s);
  return NULL;
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  limit = atof(argv[1]);
  int p[2];
  if (pipe(p)) return 1;
  pipe_read = p[0];
  pipe_write = p[1];
  event = eventfd(0, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  void* (*kinds[])(void*) = {sleeping, polling, selecting, epolling, epolling_for_ever, timed_futex, futex, reading, suspended};
  int n = sizeof kinds / sizeof *kinds;
  pthread_t threads[n];
  for (int i = 0; i < n; i++) pthread_create(&threads[i], NULL, kinds[i], NULL);
  printf("ready %d\n", getpid());
  char line[100];
  while (fgets(line, sizeof line, stdin) && strcmp(line, "go\n"));
  uint64_t one = 1;
  if (write(event, &one, 8) != 8 || write(pipe_write, "x", 1) != 1) return 1;
  word = 1;
  syscall(SYS_futex, &word, FUTEX_WAKE, 1000, NULL, NULL, 0);
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  printf("done\n");
  return 0;
}
