// Usage: threads N. N threads wait in a futex; every 20 ms the main thread wakes all of them and they count. "bad" is printed
// when a wake-up got lost, "rounds R" every 500 ms.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, back = PTHREAD_COND_INITIALIZER;
static long generation;
static int arrived;

static void* work(void* unused) {
  long seen = 0;
  for (;;) {
    pthread_mutex_lock(&lock);
    while (generation == seen) pthread_cond_wait(&wake, &lock);
    if (generation != seen + 1) printf("bad %ld after %ld\n", generation, seen);
    seen = generation;
    arrived++;
    pthread_cond_signal(&back);
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  int n = atoi(argv[1]);
  pthread_attr_t a;
  pthread_attr_init(&a);
  pthread_attr_setstacksize(&a, 64 * 1024);
  for (int i = 0; i < n; i++) {
    pthread_t t;
    if (pthread_create(&t, &a, work, NULL)) { printf("bad pthread_create\n"); return 1; }
  }
  printf("ready %d\n", getpid());
  for (;;) {
    pthread_mutex_lock(&lock);
    arrived = 0;
    generation++;
    pthread_cond_broadcast(&wake);
    while (arrived < n) pthread_cond_wait(&back, &lock);
    pthread_mutex_unlock(&lock);
    if (generation % 25 == 0) printf("rounds %ld\n", generation);
    usleep(20000);
  }
}
