/*
 * timerfd: every clock, relative and absolute, once and again, expirations that were not read, timers that are not armed, and those that a jump of the wall
 * clock cancels. Timers that run down are armed anew at each look, so that there always is time left when the container moves.
 */
#include "kind.h"

#include <sys/timerfd.h>

#ifndef CLOCK_BOOTTIME_ALARM
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9
#endif

static const clockid_t CLOCKS[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM};
enum { CLOCK_COUNT = 5 };

static int relative[CLOCK_COUNT], absolute[CLOCK_COUNT], ticks, unarmed, cancelled, periodic;
static uint64_t deadline[CLOCK_COUNT], absolute_until[CLOCK_COUNT];

static void set(int fd, int flags, uint64_t value_ns, uint64_t interval_ns) {
  struct itimerspec setting = {.it_value = timespec_of(value_ns), .it_interval = timespec_of(interval_ns)};
  WORKS(timerfd_settime(fd, flags, &setting, NULL));
}

static uint64_t nanoseconds(struct timespec t) { return (uint64_t) t.tv_sec * SECOND + (uint64_t) t.tv_nsec; }

static uint64_t left(int fd, uint64_t *interval) {
  struct itimerspec setting = {0};
  WORKS(timerfd_gettime(fd, &setting));
  if (interval != NULL) *interval = nanoseconds(setting.it_interval);
  return nanoseconds(setting.it_value);
}

static uint64_t time_of(clockid_t clock) {
  struct timespec t = {0};
  clockid_t read = clock == CLOCK_REALTIME_ALARM ? CLOCK_REALTIME : clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME : clock;
  WORKS(clock_gettime(read, &t));
  return nanoseconds(t);
}

static int field(int fd, const char *name) {
  char path[64], line[200], format[64];
  int value = -1;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  snprintf(format, sizeof format, "%s: %%d", name);
  FILE *info = fopen(path, "r");
  while (info != NULL && fgets(line, sizeof line, info)) sscanf(line, format, &value);
  if (info != NULL) fclose(info);
  return value;
}

static void make_relative(void) {
  for (int i = 0; i < CLOCK_COUNT; i++) {
    relative[i] = (int) MUST(timerfd_create(CLOCKS[i], TFD_NONBLOCK));
    set(relative[i], 0, 1000 * SECOND, 0);
    deadline[i] = time_of(CLOCKS[i]) + 1000 * SECOND;
  }
}

static void look_relative(void) {
  for (int i = 0; i < CLOCK_COUNT; i++) {
    uint64_t interval, rest = left(relative[i], &interval);
    HOLDS(field(relative[i], "clockid") == (int) CLOCKS[i], "the timer of clock %d has clock %d", CLOCKS[i], field(relative[i], "clockid"));
    HOLDS(rest > 900 * SECOND && rest <= 1000 * SECOND && interval == 0, "the timer of clock %d has %lu ms left", CLOCKS[i], (unsigned long) (rest / MS));
  }
}

static void damage_relative(void) { set(relative[3], 0, 2000 * SECOND, 0); }

/* What a deadline is measured by may run on while the container stands still, so the time that is left may be more than by the clock, by a minute here. */
static void make_absolute(void) {
  for (int i = 0; i < CLOCK_COUNT; i++) {
    absolute[i] = (int) MUST(timerfd_create(CLOCKS[i], TFD_NONBLOCK | TFD_CLOEXEC));
    absolute_until[i] = time_of(CLOCKS[i]) + 1000 * SECOND;
    set(absolute[i], TFD_TIMER_ABSTIME, absolute_until[i], 0);
  }
}

static void look_absolute(void) {
  for (int i = 0; i < CLOCK_COUNT; i++) {
    uint64_t rest = left(absolute[i], NULL), wanted = absolute_until[i] - time_of(CLOCKS[i]);
    bool wall = CLOCKS[i] == CLOCK_REALTIME || CLOCKS[i] == CLOCK_REALTIME_ALARM;
    uint64_t later = wall ? SECOND / 5 : 60 * SECOND;
    HOLDS(rest + SECOND / 5 > wanted && rest < wanted + later, "the timer of clock %d has %lu ms left instead of %lu", CLOCKS[i],
        (unsigned long) (rest / MS), (unsigned long) (wanted / MS));
  }
}

static void damage_absolute(void) { set(absolute[1], TFD_TIMER_ABSTIME, absolute_until[1] + SECOND, 0); }

static void arm_ticks(void) {
  set(ticks, 0, 1, 0);
  for (int i = 0; i < 2000 && field(ticks, "ticks") != 1; i++) usleep(1000);
}

static void make_ticks(void) {
  ticks = (int) MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  arm_ticks();
}

static void look_ticks(void) {
  uint64_t count = 0;
  HOLDS(read(ticks, &count, sizeof count) == sizeof count && count == 1, "%lu expirations wait", (unsigned long) count);
  HOLDS(left(ticks, NULL) == 0, "it is armed");
  arm_ticks();
}

static void damage_ticks(void) {
  uint64_t count;
  if (read(ticks, &count, sizeof count) < 0) return;
}

/* No expiration is lost: the sum is what the time gives, less the time that the container stood still. */
static uint64_t periodic_sum, periodic_since;

static void make_periodic(void) {
  periodic = (int) MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  set(periodic, 0, 10 * MS, 10 * MS);
  periodic_since = now_ns();
}

static void look_periodic(void) {
  uint64_t count = 0, interval = 0;
  usleep(25000);
  HOLDS(read(periodic, &count, sizeof count) == sizeof count, "nothing has expired");
  periodic_sum += count;
  uint64_t most = (now_ns() - periodic_since) / (10 * MS) + 1;
  HOLDS(periodic_sum <= most && periodic_sum + 6000 > most, "it expired %lu times instead of %lu", (unsigned long) periodic_sum, (unsigned long) most);
  HOLDS(left(periodic, &interval) <= 10 * MS && interval == 10 * MS, "its period is %lu ns", (unsigned long) interval);
}

static void damage_periodic(void) { set(periodic, 0, 10 * MS, 11 * MS); }

static void make_unarmed(void) { unarmed = (int) MUST(timerfd_create(CLOCK_BOOTTIME, 0)); }

static void look_unarmed(void) {
  HOLDS(left(unarmed, NULL) == 0 && field(unarmed, "ticks") == 0, "it is armed, or has expired");
  HOLDS(!(fcntl(unarmed, F_GETFL) & O_NONBLOCK), "it does not block");
}

static void damage_unarmed(void) { set(unarmed, 0, 5 * SECOND, 0); }

static void make_cancelled(void) {
  cancelled = (int) MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
  set(cancelled, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, time_of(CLOCK_REALTIME) + 3000 * SECOND, 7 * SECOND);
}

static void look_cancelled(void) {
  uint64_t interval, rest = left(cancelled, &interval);
  HOLDS(rest > 2000 * SECOND && interval == 7 * SECOND, "%lu ms are left", (unsigned long) (rest / MS));
  /* In base 8. */
  HOLDS(field(cancelled, "settime flags") == 3, "its flags are %d", field(cancelled, "settime flags"));
}

static void damage_cancelled(void) { set(cancelled, TFD_TIMER_ABSTIME, time_of(CLOCK_REALTIME) + 3000 * SECOND, 7 * SECOND); }

KIND({"relative", make_relative, look_relative, damage_relative}, {"absolute", make_absolute, look_absolute, damage_absolute},
    {"ticks", make_ticks, look_ticks, damage_ticks}, {"periodic", make_periodic, look_periodic, damage_periodic},
    {"unarmed", make_unarmed, look_unarmed, damage_unarmed}, {"cancelled", make_cancelled, look_cancelled, damage_cancelled});
