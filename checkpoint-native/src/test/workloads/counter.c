// Computes without pause in one thread and prints "counted N" every 100 ms when asked to. Verifies itself: a wrong sum prints "error".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <stdint.h>

static double milliseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready %d\n", getpid());
  double next = milliseconds() + 100, x = 0;
  uint64_t n = 0, hash = 1469598103934665603u, check = 1469598103934665603u;
  for (;;) {
    for (int i = 0; i < 20000; i++) {
      hash = (hash ^ n) * 1099511628211u;
      x += 0.5;
      n++;
    }
    for (uint64_t i = n - 20000; i < n; i++) check = (check ^ i) * 1099511628211u;
    if (check != hash || x != n * 0.5) printf("error at %lu\n", n);
    if (milliseconds() >= next) {
      printf("counted %lu\n", n);
      next = milliseconds() + 100;
    }
  }
}
