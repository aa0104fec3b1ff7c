/*
 * Hundreds of threads that wait for each other, and for time to pass, in every way the futex call offers (man 2 futex). Work and
 * tokens that are handed around carry checksums; a timed wait must neither end early nor late, and no wait may let an EINTR out.
 *
 * usage: futex DIRECTORY [THREADS]     corrupt: ring, queue, pair, early, late, eintr
 */
#include "report.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define RINGS 4
#define RING_MEMBERS_MAX 200
#define QUEUE_ROOM 256
#define STACK (128 * 1024)
/* How much later than asked for a wait may end beyond the gaps that the watch has seen meanwhile: two busy cores, hundreds of threads. */
#define LATE_MAX (1200 * MS)

static long futex(atomic_uint *word, int operation, unsigned value, const struct timespec *timeout, unsigned bits) {
  return syscall(SYS_futex, word, operation, value, timeout, NULL, bits);
}

/* ---- rings: a token goes round, each member waits without a time limit until it is its turn ---- */

static struct ring {
  int members;
  uint64_t token, hops;
  atomic_uint turn[RING_MEMBERS_MAX];
} rings[RINGS];
static struct seat {
  struct ring *ring;
  int place;
} seats[RINGS * RING_MEMBERS_MAX];
static atomic_ulong hops_total;

static uint64_t token_after(uint64_t token, uint64_t hops) { return mix(token ^ (hops * 0x2545f4914f6cdd1dull)); }

static void *ring_member(void *argument) {
  struct seat *seat = argument;
  struct ring *ring = seat->ring;
  atomic_uint *mine = &ring->turn[seat->place], *next = &ring->turn[(seat->place + 1) % ring->members];
  uint64_t expected_hops = (uint64_t) seat->place;
  for (;;) {
    while (atomic_load(mine) == 0) {
      if (futex(mine, FUTEX_WAIT_PRIVATE, 0, NULL, 0) != 0 && errno != EAGAIN) {
        error_found("a futex wait without a time limit ended with %s", strerror(errno));
      }
    }
    atomic_store(mine, 0);
    CHECK(ring->hops == expected_hops, "ring member %d saw hop %lu instead of %lu", seat->place, ring->hops, expected_hops);
    expected_hops = ring->hops + (uint64_t) ring->members;
    static __thread uint64_t shadow;
    static __thread bool known;
    /* The token as this member last left it, taken round once more, is what must come back. */
    if (known) {
      for (uint64_t hop = ring->hops - (uint64_t) ring->members + 1; hop < ring->hops; hop++) shadow = token_after(shadow, hop);
      CHECK(shadow == ring->token, "ring member %d got token %016lx instead of %016lx", seat->place, ring->token, shadow);
    }
    ring->token = token_after(ring->token, ring->hops);
    shadow = ring->token;
    known = true;
    ring->hops++;
    atomic_fetch_add_explicit(&hops_total, 1, memory_order_relaxed);
    if (seat->place == 0) {
      struct timespec pause = timespec_of(20 * MS);
      if (nanosleep(&pause, NULL) != 0) error_found("nanosleep in a ring ended with %s", strerror(errno));
    }
    atomic_store(next, 1);
    if (futex(next, FUTEX_WAKE_PRIVATE, 1, NULL, 0) < 0) error_found("futex wake ended with %s", strerror(errno));
  }
  return NULL;
}

/* ---- waits with a time limit ---- */

static atomic_int early_wanted, late_wanted, eintr_wanted;
static atomic_ulong timed_waits, max_late_ns;

/* What all timed waits have to hold. */
static void check_wait(const char *kind, uint64_t started, uint64_t gaps_before, uint64_t wanted, bool timed_out, int error) {
  uint64_t took = now_ns() - started;
  CHECK(timed_out, "%s of %lu ms ended after %lu ms with %s", kind, (unsigned long) (wanted / MS), (unsigned long) (took / MS),
      error == 0 ? "success although nobody woke it" : strerror(error));
  CHECK(!timed_out || took >= wanted, "%s of %lu us ended %lu us early", kind, (unsigned long) (wanted / 1000),
      (unsigned long) ((wanted - took) / 1000));
  uint64_t late = took > wanted ? took - wanted : 0;
  unsigned long seen = atomic_load(&max_late_ns);
  while (late > seen && !atomic_compare_exchange_weak(&max_late_ns, &seen, late)) {
  }
  CHECK(!late_beyond_gaps(late, LATE_MAX, gaps_before), "%s of %lu ms ended %lu ms late", kind, (unsigned long) (wanted / MS),
      (unsigned long) (late / MS));
  atomic_fetch_add_explicit(&timed_waits, 1, memory_order_relaxed);
}

static uint64_t next_length(uint64_t *random) {
  /* Mostly short ones that keep things moving, and enough long ones that some are always in the middle. */
  uint64_t dice = next_random(random) % 10;
  uint64_t ms = dice < 5 ? 20 + next_random(random) % 100 : dice < 8 ? 200 + next_random(random) % 600 : 1500 + next_random(random) % 2000;
  return ms * MS + next_random(random) % MS;
}

static void *relative_waiter(void *argument) {
  uint64_t random = mix((uint64_t) argument);
  atomic_uint word = 7;
  for (;;) {
    uint64_t length = next_length(&random), claimed = length;
    if (atomic_exchange(&early_wanted, 0)) claimed += 50 * MS;
    if (atomic_exchange(&late_wanted, 0)) length += 2 * SECOND;
    struct timespec limit = timespec_of(length);
    uint64_t gaps = atomic_load(&report_all_gaps_ns), started = now_ns();
    long result = futex(&word, FUTEX_WAIT_PRIVATE, 7, &limit, 0);
    check_wait("a relative futex wait", started, gaps, claimed, result == -1 && errno == ETIMEDOUT, result == -1 ? errno : 0);
  }
  return NULL;
}

static void *absolute_waiter(void *argument) {
  uint64_t number = (uint64_t) argument, random = mix(number ^ 0xabcd);
  atomic_uint word = 9;
  for (;;) {
    uint64_t length = next_length(&random), gaps = atomic_load(&report_all_gaps_ns), started = now_ns();
    int operation = FUTEX_WAIT_BITSET_PRIVATE;
    struct timespec until;
    if (number % 3 == 0) {
      struct timespec wall;
      clock_gettime(CLOCK_REALTIME, &wall);
      until = timespec_of((uint64_t) wall.tv_sec * SECOND + (uint64_t) wall.tv_nsec + length);
      operation |= FUTEX_CLOCK_REALTIME;
    } else {
      until = timespec_of(started + length);
    }
    long result = futex(&word, operation, 9, &until, FUTEX_BITSET_MATCH_ANY);
    check_wait("an absolute futex wait", started, gaps, length, result == -1 && errno == ETIMEDOUT, result == -1 ? errno : 0);
  }
  return NULL;
}

static void *condition_waiter(void *argument) {
  uint64_t random = mix((uint64_t) argument ^ 0x1234);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never;
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&never, &monotonic);
  for (;;) {
    uint64_t length = next_length(&random);
    pthread_mutex_lock(&mutex);
    uint64_t gaps = atomic_load(&report_all_gaps_ns), started = now_ns();
    struct timespec until = timespec_of(started + length);
    int result;
    do {
      /* Spurious wake-ups are allowed here, ending early is not. */
      result = pthread_cond_timedwait(&never, &mutex, &until);
    } while (result == 0);
    check_wait("a timed wait for a condition", started, gaps, length, result == ETIMEDOUT, result);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

static void nothing_to_do(int signal) { (void) signal; }

static void *sleeper(void *argument) {
  uint64_t random = mix((uint64_t) argument ^ 0x77);
  for (;;) {
    uint64_t length = next_length(&random);
    struct timespec want = timespec_of(length), left = {0, 0};
    uint64_t gaps = atomic_load(&report_all_gaps_ns), started = now_ns();
    if (atomic_exchange(&eintr_wanted, 0)) {
      struct sigaction action = {.sa_handler = nothing_to_do};
      sigaction(SIGUSR2, &action, NULL);
      timer_t timer;
      struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
      event._sigev_un._tid = (pid_t) syscall(SYS_gettid);
      struct itimerspec soon = {.it_value = timespec_of(5 * MS)};
      MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
      MUST(timer_settime(timer, 0, &soon, NULL));
    }
    int result = (uint64_t) argument % 2 ? clock_nanosleep(CLOCK_MONOTONIC, 0, &want, &left) : nanosleep(&want, &left) == 0 ? 0 : errno;
    check_wait("a sleep", started, gaps, length, result == 0, result);
  }
  return NULL;
}

/* ---- a bounded queue under a mutex and two conditions ---- */

static struct {
  pthread_mutex_t mutex;
  pthread_cond_t filled, drained;
  struct item {
    uint64_t number, check;
  } items[QUEUE_ROOM];
  int first, count;
  uint64_t produced, consumed, produced_sum, consumed_sum, queued_sum;
} queue = {.mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .drained = PTHREAD_COND_INITIALIZER};

static void *producer(void *argument) {
  uint64_t random = mix((uint64_t) argument);
  for (;;) {
    struct timespec pause = timespec_of((2 + next_random(&random) % 30) * MS);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&queue.mutex);
    for (int burst = (int) (next_random(&random) % 20); burst > 0; burst--) {
      while (queue.count == QUEUE_ROOM) pthread_cond_wait(&queue.drained, &queue.mutex);
      uint64_t number = queue.produced++;
      queue.items[(queue.first + queue.count++) % QUEUE_ROOM] = (struct item) {number, mix(number)};
      queue.produced_sum += mix(number);
      queue.queued_sum += mix(number);
      pthread_cond_signal(&queue.filled);
    }
    pthread_mutex_unlock(&queue.mutex);
  }
  return NULL;
}

static void *consumer(void *argument) {
  (void) argument;
  for (;;) {
    pthread_mutex_lock(&queue.mutex);
    while (queue.count == 0) pthread_cond_wait(&queue.filled, &queue.mutex);
    struct item item = queue.items[queue.first];
    queue.first = (queue.first + 1) % QUEUE_ROOM;
    queue.count--;
    CHECK(item.number == queue.consumed, "item %lu came out of the queue instead of %lu", item.number, queue.consumed);
    CHECK(item.check == mix(item.number), "item %lu came out of the queue with a wrong checksum", item.number);
    queue.consumed++;
    queue.consumed_sum += item.check;
    queue.queued_sum -= item.check;
    CHECK(queue.produced_sum == queue.consumed_sum + queue.queued_sum, "the queue's sums differ after item %lu", item.number);
    pthread_cond_signal(&queue.drained);
    pthread_mutex_unlock(&queue.mutex);
  }
  return NULL;
}

/* ---- a pair of counters that must never differ outside the lock ---- */

static pthread_mutex_t pair_mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile uint64_t pair[2];

static void *contender(void *argument) {
  uint64_t random = mix((uint64_t) argument);
  for (;;) {
    pthread_mutex_lock(&pair_mutex);
    CHECK(pair[0] == pair[1], "a mutex let two threads in: %lu and %lu", pair[0], pair[1]);
    pair[0]++;
    if (next_random(&random) % 8 == 0) sched_yield();
    pair[1]++;
    pthread_mutex_unlock(&pair_mutex);
    struct timespec pause = timespec_of((next_random(&random) % 20) * MS + 1000);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

/* ---- a barrier whose members must all be in the same generation ---- */

#define BARRIER_MEMBERS 10
static pthread_barrier_t barrier;
static atomic_ulong generations[BARRIER_MEMBERS];

static void *barrier_member(void *argument) {
  uint64_t me = (uint64_t) argument, random = mix(me);
  for (;;) {
    struct timespec pause = timespec_of((next_random(&random) % 60) * MS + 1);
    nanosleep(&pause, NULL);
    unsigned long mine = atomic_fetch_add(&generations[me], 1) + 1;
    pthread_barrier_wait(&barrier);
    for (int other = 0; other < BARRIER_MEMBERS; other++) {
      unsigned long theirs = atomic_load(&generations[other]);
      CHECK(theirs == mine || theirs == mine + 1, "a barrier let generation %lu meet %lu", mine, theirs);
    }
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static void damage(const char *what) {
  bool all = *what == 0;
  if (all || strcmp(what, "ring") == 0) rings[1].token ^= 1;
  if (all || strcmp(what, "queue") == 0) {
    pthread_mutex_lock(&queue.mutex);
    queue.queued_sum++;
    pthread_mutex_unlock(&queue.mutex);
  }
  if (all || strcmp(what, "pair") == 0) pair[1] += 5;
  if (all || strcmp(what, "early") == 0) early_wanted = 1;
  if (all || strcmp(what, "late") == 0) late_wanted = 1;
  if (all || strcmp(what, "eintr") == 0) eintr_wanted = 1;
}

int main(int count, char **arguments) {
  if (count < 2) return 2;
  report_begin(arguments[1]);
  int threads = count > 2 ? atoi(arguments[2]) : 500;
  int ring_members = threads / 10 < RING_MEMBERS_MAX ? threads / 10 : RING_MEMBERS_MAX, started = 0;
  start_thread(watch_gaps, NULL, STACK);
  for (int r = 0; r < RINGS; r++) {
    rings[r].members = ring_members;
    rings[r].token = mix((uint64_t) r);
    for (int place = 0; place < ring_members; place++) {
      seats[r * RING_MEMBERS_MAX + place] = (struct seat) {&rings[r], place};
      start_thread(ring_member, &seats[r * RING_MEMBERS_MAX + place], STACK);
      started++;
    }
  }
  pthread_barrier_init(&barrier, NULL, BARRIER_MEMBERS);
  for (long i = 0; i < BARRIER_MEMBERS; i++, started++) start_thread(barrier_member, (void *) i, STACK);
  void *(*const rest[])(void *) = {relative_waiter, absolute_waiter, condition_waiter, consumer, contender, relative_waiter, absolute_waiter,
      consumer, sleeper, producer};
  for (long i = 0; started < threads; i++, started++) start_thread(rest[i % 10], (void *) (i + 1), STACK);
  for (int r = 0; r < RINGS; r++) {
    atomic_store(&rings[r].turn[0], 1);
    futex(&rings[r].turn[0], FUTEX_WAKE_PRIVATE, 1, NULL, 0);
  }
  unsigned long hops_before = 0, waits_before = 0;
  uint64_t moved = now_ns();
  for (;;) {
    struct timespec pause = timespec_of(20 * MS);
    nanosleep(&pause, NULL);
    unsigned long hops = hops_total, waits = timed_waits;
    /* Whoever loses a wake-up stops for good. */
    if (hops != hops_before && waits != waits_before) {
      moved = now_ns();
      hops_before = hops;
      waits_before = waits;
    }
    CHECK(now_ns() - moved < 10 * SECOND, "nothing has moved for 10 s: %lu hops, %lu timed waits", hops, waits);
    char what[64], extra[256];
    if (corrupt_wanted(what)) damage(what);
    snprintf(extra, sizeof extra, "threads=%d\nhops=%lu\ntimed_waits=%lu\nqueue_items=%lu\nmax_late_ms=%.3f\n", started + 2, hops, waits,
        queue.consumed, (double) max_late_ns / 1e6);
    write_status(extra);
    if (asked("finish")) report_end();
  }
}
