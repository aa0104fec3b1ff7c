/* Event counters: plain, as semaphores, non-blocking, and shared with a child. */
#include "kind.h"

#include <sys/eventfd.h>

static int plain, semaphore, shared;
static struct child other;

static uint64_t taken(int fd) {
  uint64_t value = 0;
  return WORKS(read(fd, &value, sizeof value)) == sizeof value ? value : 0;
}

static void give(int fd, uint64_t value) { WORKS(write(fd, &value, sizeof value)); }

static void make_plain(void) { plain = (int) MUST(eventfd(41, EFD_NONBLOCK | EFD_CLOEXEC)); }

static void look_plain(void) {
  uint64_t value = taken(plain);
  HOLDS(value == 41, "the counter is %lu", (unsigned long) value);
  HOLDS(read(plain, &value, sizeof value) == -1 && errno == EAGAIN, "an empty counter can be read");
  give(plain, 41);
}

static void damage_plain(void) { give(plain, 1); }

static void make_semaphore(void) { semaphore = (int) MUST(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK)); }

static void look_semaphore(void) {
  for (int i = 0; i < 3; i++) HOLDS(taken(semaphore) == 1, "a semaphore gives more than one at a time");
  uint64_t value;
  HOLDS(read(semaphore, &value, sizeof value) == -1 && errno == EAGAIN, "the semaphore has more than 3");
  give(semaphore, 3);
}

static void damage_semaphore(void) { taken(semaphore); }

static void child_gives(void) { give(shared, 5); }

static void child_takes(void) { taken(shared); }

static void make_shared(void) {
  shared = (int) MUST(eventfd(0, EFD_NONBLOCK));
  other = child_begin(NULL, child_gives, child_takes);
  child_says(&other);
}

static void look_shared(void) {
  HOLDS(taken(shared) == 5, "what the child put in is not there");
  child_says(&other);
}

static void damage_shared(void) { child_damages(&other); }

KIND({"plain", make_plain, look_plain, damage_plain}, {"semaphore", make_semaphore, look_semaphore, damage_semaphore},
    {"shared", make_shared, look_shared, damage_shared});
