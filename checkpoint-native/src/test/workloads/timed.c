// Threads in calls with a relative time limit of 30 seconds, made so that the kernel tells nobody what is left.
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec limit = {30, 0};
static uint32_t word;
static pthread_barrier_t all;

static void *sleeping(void *unused) {
  pthread_barrier_wait(&all);
  syscall(SYS_nanosleep, &limit, NULL);
  return unused;
}

static void *sleeping_by_clock(void *unused) {
  pthread_barrier_wait(&all);
  syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &limit, NULL);
  return unused;
}

static void *polling(void *unused) {
  pthread_barrier_wait(&all);
  syscall(SYS_poll, NULL, 0, 30000);
  return unused;
}

static void *waiting(void *unused) {
  pthread_barrier_wait(&all);
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit);
  return unused;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  void *(*kinds[])(void *) = {sleeping, sleeping_by_clock, polling, waiting};
  pthread_barrier_init(&all, NULL, 5);
  pthread_t thread;
  for (int i = 0; i < 4; i++) {
    if (pthread_create(&thread, NULL, kinds[i], NULL)) return 1;
  }
  pthread_barrier_wait(&all);
  usleep(100000);
  puts("ready");
  pthread_join(thread, NULL);
}
