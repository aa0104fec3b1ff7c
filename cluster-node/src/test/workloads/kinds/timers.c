/* Interval timers, POSIX timers of every clock and way to tell, a thousand of them, ids with gaps, intervals that go on. */
#include "kind.h"

#include <sys/time.h>

#define HOUR 3600
#define MANY 1000

static long left_of(timer_t timer) {
  struct itimerspec now = {0};
  WORKS(timer_gettime(timer, &now));
  return now.it_value.tv_sec;
}

static timer_t make(clockid_t clock, int notify, int signal, void *value, pid_t thread, long seconds, long interval) {
  struct sigevent event = {.sigev_notify = notify, .sigev_signo = signal, .sigev_value.sival_ptr = value};
  event._sigev_un._tid = thread;
  timer_t timer;
  MUST(timer_create(clock, &event, &timer));
  struct itimerspec when = {{interval, interval == 0 ? 0 : 500}, {seconds, 0}};
  MUST(timer_settime(timer, 0, &when, NULL));
  return timer;
}

/* Takes a blocked signal that is there, or comes soon. */
static bool take(int signal, siginfo_t *info) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  struct timespec limit = {2, 0};
  return sigtimedwait(&set, info, &limit) == signal;
}

static void block(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  MUST(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0 ? 0 : -1);
}

/* --- setitimer ------------------------------------------------------------------------------------------------------------------------------ */

static void make_intervals(void) {
  for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
    struct itimerval value = {{7 + which, 250}, {HOUR * (1 + which), 0}};
    MUST(setitimer(which, &value, NULL));
  }
}

static void look_intervals(void) {
  for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
    struct itimerval value = {{0, 0}, {0, 0}};
    WORKS(getitimer(which, &value));
    long left = value.it_value.tv_sec, whole = HOUR * (1 + which);
    HOLDS(left > whole - 600 && left <= whole, "timer %d has %ld s of %ld left", which, left, whole);
    HOLDS(value.it_interval.tv_sec == 7 + which, "timer %d repeats after %ld s", which, value.it_interval.tv_sec);
  }
}

static void damage_intervals(void) { alarm(0); }

/* --- a thousand ------------------------------------------------------------------------------------------------------------------------------ */

static timer_t many[MANY];

static void make_many(void) {
  for (int i = 0; i < MANY; i++) many[i] = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, NULL, 0, HOUR + 10 * i, i % 3);
  for (int i = 0; i < MANY; i += 7) MUST(timer_delete(many[i]));
}

static void look_many(void) {
  for (int i = 0; i < MANY; i++) {
    struct itimerspec now = {0};
    /* The C library's timer_t of such a timer is the kernel's id. */
    int answer = timer_gettime(many[i], &now);
    if (i % 7 == 0) continue;
    HOLDS(answer == 0, "timer %d is gone", i);
    long left = now.it_value.tv_sec, whole = HOUR + 10 * i;
    HOLDS(left > whole - 600 && left <= whole, "timer %d has %ld s left", i, left);
    HOLDS(now.it_interval.tv_sec == i % 3, "timer %d repeats after %ld s", i, now.it_interval.tv_sec);
  }
}

static void damage_many(void) { MUST(timer_delete(many[500])); }

/* --- clocks ---------------------------------------------------------------------------------------------------------------------------------- */

static const clockid_t CLOCKS[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID};
#define CLOCK_COUNT (sizeof CLOCKS / sizeof CLOCKS[0])
static timer_t clocks[CLOCK_COUNT + 1];

static void make_clocks(void) {
  for (size_t i = 0; i < CLOCK_COUNT; i++) clocks[i] = make(CLOCKS[i], SIGEV_NONE, 0, NULL, 0, HOUR, 0);
  clockid_t own;
  MUST(pthread_getcpuclockid(pthread_self(), &own) == 0 ? 0 : -1);
  clocks[CLOCK_COUNT] = make(own, SIGEV_NONE, 0, NULL, 0, HOUR, 0);
}

static void look_clocks(void) {
  for (size_t i = 0; i <= CLOCK_COUNT; i++) {
    long left = left_of(clocks[i]);
    HOLDS(left > HOUR - 600 && left <= HOUR, "the timer of clock number %zu has %ld s left", i, left);
  }
}

static void damage_clocks(void) {
  struct itimerspec none = {{0, 0}, {0, 0}};
  MUST(timer_settime(clocks[4], 0, &none, NULL));
}

/* --- that end soon, and say so with a value --------------------------------------------------------------------------------------------------- */

static timer_t repeated;
static int repeated_signal;

static void make_repeated(void) {
  repeated_signal = SIGRTMIN + 5;
  block(repeated_signal);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = repeated_signal, .sigev_value.sival_ptr = (void *) 0x123456789ab};
  MUST(timer_create(CLOCK_MONOTONIC, &event, &repeated));
  struct itimerspec when = {{0, 20 * MS}, {0, 20 * MS}};
  MUST(timer_settime(repeated, 0, &when, NULL));
}

/* What was pending, and then the timer goes on by itself. */
static void look_repeated(void) {
  for (int i = 0; i < 3; i++) {
    siginfo_t info;
    bool came = take(repeated_signal, &info);
    HOLDS(came, "it does not end any more");
    if (came) {
      HOLDS(info.si_code == SI_TIMER && info.si_value.sival_ptr == (void *) 0x123456789ab, "code %d, value %p", info.si_code,
          info.si_value.sival_ptr);
      HOLDS(info.si_timerid == (int) (intptr_t) repeated, "the signal comes from timer %d", info.si_timerid);
    }
  }
}

static void damage_repeated(void) {
  struct itimerspec none = {{0, 0}, {0, 0}};
  MUST(timer_settime(repeated, 0, &none, NULL));
}

/* --- that tell one thread ---------------------------------------------------------------------------------------------------------------------- */

static atomic_int told, told_wrongly;
static timer_t telling;
static pid_t told_thread;

static void *is_told(void *ready) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 6);
  told_thread = (pid_t) syscall(SYS_gettid);
  atomic_store((atomic_int *) ready, 1);
  for (;;) {
    siginfo_t info;
    if (sigwaitinfo(&set, &info) == SIGRTMIN + 6) {
      atomic_fetch_add(&told, 1);
      if (info.si_value.sival_int != 77) atomic_fetch_add(&told_wrongly, 1);
    }
  }
  return NULL;
}

static void make_telling(void) {
  block(SIGRTMIN + 6);
  static atomic_int ready;
  start_thread(is_told, &ready, 64 * 1024);
  while (atomic_load(&ready) == 0) usleep(100);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 6, .sigev_value.sival_int = 77};
  event._sigev_un._tid = told_thread;
  MUST(timer_create(CLOCK_BOOTTIME, &event, &telling));
  struct itimerspec when = {{0, 30 * MS}, {0, 30 * MS}};
  MUST(timer_settime(telling, 0, &when, NULL));
}

static void look_telling(void) {
  int before = atomic_load(&told);
  for (int i = 0; i < 1000 && atomic_load(&told) < before + 2; i++) usleep(2000);
  HOLDS(atomic_load(&told) >= before + 2 && atomic_load(&told_wrongly) == 0, "the thread was told %d times, %d times wrongly",
      atomic_load(&told) - before, atomic_load(&told_wrongly));
}

static void damage_telling(void) { MUST(timer_delete(telling)); }

KIND({"intervals", make_intervals, look_intervals, damage_intervals}, {"many", make_many, look_many, damage_many},
    {"clocks", make_clocks, look_clocks, damage_clocks}, {"repeated", make_repeated, look_repeated, damage_repeated},
    {"telling", make_telling, look_telling, damage_telling});
