/* Locks of which the kernel knows: with priority inheritance, held, waited for and handed over; and robust ones, whose owner ends. */
#include "kind.h"

#include <linux/futex.h>

#define LOOKS_MAX 16

static pthread_t begin(void *(*what)(void *), intptr_t argument) {
  pthread_t thread;
  MUST(-pthread_create(&thread, NULL, what, (void *) argument));
  return thread;
}

static bool reaches(atomic_ulong *value, unsigned long wanted) {
  uint64_t end = now_ns() + 2 * SECOND;
  while (atomic_load(value) < wanted && now_ns() < end) usleep(1000);
  return atomic_load(value) >= wanted;
}

/* --- a lock that the main thread holds while others wait for it ----------------------------------------------------------------------------- */

static pthread_mutex_t held;
static atomic_ulong held_entries;
static pid_t main_tid;

static void *want_held(void *argument) {
  for (;;) {
    MUST(-pthread_mutex_lock(&held));
    atomic_fetch_add(&held_entries, 1);
    MUST(-pthread_mutex_unlock(&held));
    usleep(2000);
  }
  return argument;
}

static void make_held(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  MUST(-pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  MUST(-pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK));
  MUST(-pthread_mutex_init(&held, &attributes));
  MUST(-pthread_mutex_lock(&held));
  main_tid = (pid_t) syscall(SYS_gettid);
  for (int i = 0; i < 3; i++) begin(want_held, i);
  usleep(50000);
}

static void look_held(void) {
  unsigned word = *(unsigned *) &held.__data.__lock;
  HOLDS((word & FUTEX_TID_MASK) == (unsigned) main_tid && (word & FUTEX_WAITERS) != 0, "the lock's word is %x, the owner is %x", word, main_tid);
  HOLDS(pthread_mutex_trylock(&held) != 0, "the lock is free");
  unsigned long before = atomic_load(&held_entries);
  WORKS(-pthread_mutex_unlock(&held));
  HOLDS(reaches(&held_entries, before + 3), "nobody takes the lock that was waited for");
  WORKS(-pthread_mutex_lock(&held));
  usleep(20000);
}

static void damage_held(void) { pthread_mutex_unlock(&held); }

/* --- a lock that another thread holds, and for which the main thread waits with a deadline ------------------------------------------------- */

static pthread_mutex_t foreign;
static atomic_ulong foreign_held, foreign_give, foreign_lost;

static void *hold_foreign(void *argument) {
  for (;;) {
    MUST(-pthread_mutex_lock(&foreign));
    atomic_fetch_add(&foreign_held, 1);
    while (atomic_load(&foreign_give) == 0) usleep(1000);
    atomic_store(&foreign_give, 0);
    MUST(-pthread_mutex_unlock(&foreign));
    usleep(5000);
    while (atomic_load(&foreign_lost) != 0) usleep(100000);
  }
  return argument;
}

static void make_foreign(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  MUST(-pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  MUST(-pthread_mutex_init(&foreign, &attributes));
  begin(hold_foreign, 0);
  reaches(&foreign_held, 1);
}

static void look_foreign(void) {
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_nsec += 20000000;
  if (deadline.tv_nsec >= 1000000000) {
    deadline.tv_nsec -= 1000000000;
    deadline.tv_sec++;
  }
  int answer = pthread_mutex_timedlock(&foreign, &deadline);
  HOLDS(answer == ETIMEDOUT, "waiting for a lock that another thread holds answers %d", answer);
  if (answer == 0) pthread_mutex_unlock(&foreign);
  unsigned long before = atomic_load(&foreign_held);
  atomic_store(&foreign_give, 1);
  deadline.tv_sec += 3;
  answer = pthread_mutex_timedlock(&foreign, &deadline);
  HOLDS(answer == 0, "the lock is not handed over: %d", answer);
  if (answer == 0) pthread_mutex_unlock(&foreign);
  HOLDS(reaches(&foreign_held, before + 1), "its owner does not get it back");
}

static void damage_foreign(void) {
  atomic_store(&foreign_lost, 1);
  atomic_store(&foreign_give, 1);
}

/* --- robust: one owner ends at each look -------------------------------------------------------------------------------------------------- */

struct robust {
  pthread_mutex_t lock;
  atomic_ulong taken, end;
};

static struct robust robust[LOOKS_MAX];

static void *hold_robust(void *argument) {
  struct robust *it = &robust[(intptr_t) argument];
  MUST(-pthread_mutex_lock(&it->lock));
  atomic_store(&it->taken, 1);
  while (atomic_load(&it->end) == 0) usleep(2000);
  return NULL;
}

static void make_robust(void) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  MUST(-pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  MUST(-pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
  for (int i = 0; i < LOOKS_MAX; i++) {
    /* Every other one inherits priorities as well. */
    MUST(-pthread_mutexattr_setprotocol(&attributes, i % 2 == 0 ? PTHREAD_PRIO_NONE : PTHREAD_PRIO_INHERIT));
    MUST(-pthread_mutex_init(&robust[i].lock, &attributes));
    begin(hold_robust, i);
    reaches(&robust[i].taken, 1);
  }
}

static void look_robust(void) {
  struct robust *it = &robust[asked_number % LOOKS_MAX];
  HOLDS(pthread_mutex_trylock(&it->lock) == EBUSY, "the lock is not held");
  atomic_store(&it->end, 1);
  uint64_t end = now_ns() + 2 * SECOND;
  int answer;
  while ((answer = pthread_mutex_trylock(&it->lock)) == EBUSY && now_ns() < end) usleep(1000);
  HOLDS(answer == EOWNERDEAD, "the lock of a thread that has ended answers %d", answer);
}

static void damage_robust(void) {
  for (int i = 0; i < LOOKS_MAX; i++) robust[i].lock.__data.__lock = 0;
}

KIND({"held", make_held, look_held, damage_held}, {"foreign", make_foreign, look_foreign, damage_foreign},
    {"robust", make_robust, look_robust, damage_robust});
