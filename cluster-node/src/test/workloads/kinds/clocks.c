/* Clocks that count from the start of the host: they go on without a jump, and what waits for a point in time on them wakes then. */
#include "kind.h"

#include <linux/futex.h>
#include <sys/timerfd.h>

/* What a move may lose: the way of one message between two hosts, each time, on a loaded machine. */
#define LOST_MAX (300 * MS)
/* A wait may end late when it was in images for a while, never early; nor so late as on a clock that goes on somewhere else. */
#define LATE_MAX (100 * SECOND)

static int64_t clock_ns(clockid_t clock) {
  struct timespec t;
  WORKS(clock_gettime(clock, &t));
  return (int64_t) t.tv_sec * (int64_t) SECOND + t.tv_nsec;
}

/* --- readings: each clock against the wall clock, which moves do not touch ------------------------------------------------------------ */

struct reading {
  clockid_t clock;
  int64_t base, last;
};

static struct reading monotonic = {.clock = CLOCK_MONOTONIC}, boottime = {.clock = CLOCK_BOOTTIME}, raw = {.clock = CLOCK_MONOTONIC_RAW},
                      coarse = {.clock = CLOCK_MONOTONIC_COARSE};

static void make_reading(struct reading *it) {
  it->last = clock_ns(it->clock);
  it->base = it->last - clock_ns(CLOCK_REALTIME);
}

static void look_reading(struct reading *it) {
  int64_t now = clock_ns(it->clock), off = now - clock_ns(CLOCK_REALTIME) - it->base;
  HOLDS(now >= it->last, "the clock went back by %ld ns", (long) (it->last - now));
  HOLDS(off < (int64_t) LOST_MAX && off > -(int64_t) LOST_MAX, "the clock has jumped by %ld us against the wall clock", (long) (off / 1000));
  struct timespec by_call;
  WORKS(syscall(SYS_clock_gettime, it->clock, &by_call));
  int64_t apart = (int64_t) by_call.tv_sec * (int64_t) SECOND + by_call.tv_nsec - now;
  HOLDS(apart >= 0 && apart < (int64_t) SECOND, "vdso and system call are %ld ns apart", (long) apart);
  it->last = now;
}

#define READING(name)                                                                                \
  static void make_##name(void) { make_reading(&name); }                                             \
  static void look_##name(void) { look_reading(&name); }                                             \
  static void damage_##name(void) { name.base += (int64_t) SECOND; }

READING(monotonic)
READING(boottime)
READING(raw)
READING(coarse)

/* --- waits for a point in time ------------------------------------------------------------------------------------------------------------ */

struct waiter {
  void (*wait)(uint64_t deadline);
  atomic_ulong turns;
  atomic_long worst_early, worst_late, skew;
};

static void sleep_until(uint64_t deadline) {
  struct timespec t = timespec_of(deadline);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

static void futex_until(uint64_t deadline) {
  static int word;
  struct timespec t = timespec_of(deadline);
  while (syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, NULL, FUTEX_BITSET_MATCH_ANY) == -1 && errno == EINTR) {}
}

static void timerfd_until(uint64_t deadline) {
  static int timer = -1;
  if (timer == -1) timer = (int) MUST(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  struct itimerspec setting = {.it_value = timespec_of(deadline)};
  MUST(timerfd_settime(timer, TFD_TIMER_ABSTIME, &setting, NULL));
  uint64_t ticks;
  while (read(timer, &ticks, sizeof ticks) == -1 && errno == EINTR) {}
}

static struct waiter sleeping = {.wait = sleep_until}, futexes = {.wait = futex_until}, timerfds = {.wait = timerfd_until};

static void *wait_forever(void *argument) {
  struct waiter *it = argument;
  for (uint64_t turn = 0;; turn++) {
    uint64_t deadline = now_ns() + (turn % 2 == 0 ? 20 : 700) * MS;
    it->wait(deadline);
    long late = (long) (now_ns() - deadline) - atomic_load(&it->skew);
    if (late < atomic_load(&it->worst_early)) atomic_store(&it->worst_early, late);
    if (late > atomic_load(&it->worst_late)) atomic_store(&it->worst_late, late);
    atomic_fetch_add(&it->turns, 1);
  }
  return NULL;
}

static void make_waiter(struct waiter *it) {
  pthread_t thread;
  MUST(-pthread_create(&thread, NULL, wait_forever, it));
}

static void look_waiter(struct waiter *it) {
  uint64_t before = atomic_load(&it->turns), end = now_ns() + 5 * SECOND;
  struct timespec pause = timespec_of(5 * MS);
  while (atomic_load(&it->turns) < before + 2 && now_ns() < end) nanosleep(&pause, NULL);
  HOLDS(atomic_load(&it->turns) > before, "it does not wake");
  HOLDS(atomic_load(&it->worst_early) >= 0, "it woke %ld ns too early", -atomic_load(&it->worst_early));
  HOLDS(atomic_load(&it->worst_late) < (long) LATE_MAX, "it woke %ld ms too late", atomic_load(&it->worst_late) / (long) MS);
}

#define WAITER(name)                                                                                 \
  static void make_##name(void) { make_waiter(&name); }                                              \
  static void look_##name(void) { look_waiter(&name); }                                              \
  static void damage_##name(void) { atomic_store(&name.skew, (long) (10 * SECOND)); }

WAITER(sleeping)
WAITER(futexes)
WAITER(timerfds)

KIND({"monotonic", make_monotonic, look_monotonic, damage_monotonic}, {"boottime", make_boottime, look_boottime, damage_boottime},
    {"raw", make_raw, look_raw, damage_raw}, {"coarse", make_coarse, look_coarse, damage_coarse},
    {"sleeping", make_sleeping, look_sleeping, damage_sleeping}, {"futexes", make_futexes, look_futexes, damage_futexes},
    {"timerfds", make_timerfds, look_timerfds, damage_timerfds});
