/*
 * System calls that wait with a time limit, one thread each, all the time: whatever stops the process in the middle, the call must end
 * when its time is over, not before, not with EINTR, and not with its time begun anew. Some of these calls the kernel ends with EINTR
 * after a mere stop (man 7 signal, "Interruption of system calls and library functions by stop signals"), which nobody may see.
 */
#ifndef EVERYTHING_WAITS_H
#define EVERYTHING_WAITS_H

#include "everything.h"

#include <arpa/inet.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

/* How much later than asked for a wait may end beyond the gaps that the watch has seen meanwhile. */
#define LATE_MAX (1200 * MS)
/* What a wait may end too early: SO_RCVTIMEO counts jiffies, select and poll round up. */
#define JIFFY (10 * MS)

struct wait {
  const char *name;
  /* Waits for so long; returns 0 when the time was over, else the errno (or -1 for an end without an error). */
  int (*body)(struct wait *wait, uint64_t ns);
  uint64_t coarse_ns;
  int file;
  atomic_ulong count, max_late_ns;
  atomic_bool damaged;
  char fault[200];
};

static int ended(long result, int timed_out_error) { return result == -1 ? (errno == timed_out_error ? 0 : errno) : -1; }
static int zero(long result) { return result == 0 ? 0 : result == -1 ? errno : -1; }

static int wait_nanosleep(struct wait *wait, uint64_t ns) {
  (void) wait;
  struct timespec time = timespec_of(ns);
  return zero(nanosleep(&time, NULL));
}

static int wait_clock_absolute(struct wait *wait, uint64_t ns) {
  (void) wait;
  struct timespec until = timespec_of(now_ns() + ns);
  return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static int wait_poll(struct wait *wait, uint64_t ns) {
  (void) wait;
  return zero(poll(NULL, 0, (int) ((ns + MS - 1) / MS)));
}

static int wait_ppoll(struct wait *wait, uint64_t ns) {
  struct pollfd file = {.fd = wait->file, .events = POLLIN};
  struct timespec time = timespec_of(ns);
  sigset_t mask;
  sigfillset(&mask);
  return zero(ppoll(&file, 1, &time, &mask));
}

static int wait_select(struct wait *wait, uint64_t ns) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(wait->file, &set);
  struct timeval time = {.tv_sec = (time_t) (ns / SECOND), .tv_usec = (suseconds_t) ((ns % SECOND + 999) / 1000)};
  if (time.tv_usec >= 1000000) time.tv_usec -= 1000000, time.tv_sec++;
  return zero(select(wait->file + 1, &set, NULL, NULL, &time));
}

static int wait_epoll(struct wait *wait, uint64_t ns) {
  if (wait->file < 0) wait->file = (int) MUST(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event;
  return zero(epoll_wait(wait->file, &event, 1, (int) ((ns + MS - 1) / MS)));
}

static int wait_epoll_fine(struct wait *wait, uint64_t ns) {
  if (wait->file < 0) wait->file = (int) MUST(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event;
  struct timespec time = timespec_of(ns);
  return zero(syscall(SYS_epoll_pwait2, wait->file, &event, 1, &time, NULL, 8));
}

static int wait_futex(struct wait *wait, uint64_t ns) {
  (void) wait;
  uint32_t word = 5;
  struct timespec time = timespec_of(ns);
  return ended(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &time, NULL, 0), ETIMEDOUT);
}

static int wait_semaphore(struct wait *wait, uint64_t ns) {
  (void) wait;
  sem_t never;
  sem_init(&never, 0, 0);
  struct timespec until = timespec_of(now_ns() + ns);
  return ended(sem_clockwait(&never, CLOCK_MONOTONIC, &until), ETIMEDOUT);
}

static int wait_signal(struct wait *wait, uint64_t ns) {
  (void) wait;
  sigset_t never;
  sigemptyset(&never);
  sigaddset(&never, SIGRTMIN + 9);
  struct timespec time = timespec_of(ns);
  return ended(sigtimedwait(&never, NULL, &time), EAGAIN);
}

static int wait_receive(struct wait *wait, uint64_t ns) {
  if (wait->file < 0) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    wait->file = (int) MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    MUST(bind(wait->file, (struct sockaddr *) &any, sizeof any));
  }
  struct timeval time = {.tv_sec = (time_t) (ns / SECOND), .tv_usec = (suseconds_t) (ns % SECOND / 1000)};
  MUST(setsockopt(wait->file, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
  char byte;
  return ended(recv(wait->file, &byte, 1, 0), EAGAIN);
}

static struct wait waits[] = {
    {.name = "wait-nanosleep", .body = wait_nanosleep},
    {.name = "wait-clock-absolute", .body = wait_clock_absolute},
    {.name = "wait-poll", .body = wait_poll},
    {.name = "wait-ppoll", .body = wait_ppoll},
    {.name = "wait-select", .body = wait_select},
    {.name = "wait-epoll", .body = wait_epoll},
    {.name = "wait-epoll-fine", .body = wait_epoll_fine},
    {.name = "wait-futex", .body = wait_futex},
    {.name = "wait-semaphore", .body = wait_semaphore},
    {.name = "wait-signal", .body = wait_signal},
    {.name = "wait-receive", .body = wait_receive, .coarse_ns = JIFFY},
};
#define WAITS ((int) (sizeof waits / sizeof *waits))
/* Every kind is waited in by so many threads, so that one of them is always in the middle of a long wait. */
#define WAITERS 2

static void *keep_waiting(void *argument) {
  struct wait own = *(struct wait *) argument, *wait = argument;
  int silent[2];
  MUST(pipe(silent));
  own.file = strstr(own.name, "epoll") != NULL || strstr(own.name, "receive") != NULL ? -1 : silent[0];
  uint64_t random = (uint64_t) &own;
  for (;;) {
    uint64_t ns = (next_random(&random) % 3 == 0 ? 20 + next_random(&random) % 100 : 300 + next_random(&random) % 2500) * MS;
    uint64_t gaps = atomic_load(&report_all_gaps_ns), started = now_ns();
    uint64_t claimed = atomic_exchange(&wait->damaged, false) ? ns + 500 * MS : ns;
    int error = own.body(&own, ns);
    uint64_t took = now_ns() - started, late = took > ns ? took - ns : 0;
    char *fault = wait->fault;
    if (error != 0 && *fault == 0) {
      snprintf(fault, 200, "a wait of %lu ms ended after %lu ms with %s", ns / MS, took / MS, error == -1 ? "something that never came" : strerror(error));
    } else if (took + own.coarse_ns < claimed && *fault == 0) {
      snprintf(fault, 200, "a wait of %lu us ended after %lu us", claimed / 1000, took / 1000);
    } else if (*fault == 0 && late_beyond_gaps(late, LATE_MAX, gaps)) {
      snprintf(fault, 200, "a wait of %lu ms took %lu ms", ns / MS, took / MS);
    }
    if (late > atomic_load(&wait->max_late_ns)) atomic_store(&wait->max_late_ns, late);
    atomic_fetch_add(&wait->count, 1);
  }
  return NULL;
}

static void prepare_wait(int i) {
  for (int j = 0; j < WAITERS; j++) start_thread(keep_waiting, &waits[i], THREAD_STACK);
}

static void look_at_wait(int i) {
  HOLDS(waits[i].fault[0] == 0, "%s", waits[i].fault);
  HOLDS(atomic_load(&waits[i].count) > 0 || now_ns() - report_started_ns < 8 * SECOND, "no wait has ended yet");
}

/* One function per item, since items are functions. */
#define WAIT_ITEM(i)                                                                                 \
  static void prepare_wait_##i(void) { prepare_wait(i); }                                            \
  static void look_at_wait_##i(void) { look_at_wait(i); }                                            \
  static void damage_wait_##i(void) { atomic_store(&waits[i].damaged, true); }
WAIT_ITEM(0)
WAIT_ITEM(1)
WAIT_ITEM(2)
WAIT_ITEM(3)
WAIT_ITEM(4)
WAIT_ITEM(5)
WAIT_ITEM(6)
WAIT_ITEM(7)
WAIT_ITEM(8)
WAIT_ITEM(9)
WAIT_ITEM(10)

static void add_wait_items(adder *add) {
#define ADD_WAIT(i) add(MAIN, waits[i].name, prepare_wait_##i, look_at_wait_##i, damage_wait_##i);
  ADD_WAIT(0)
  ADD_WAIT(1)
  ADD_WAIT(2)
  ADD_WAIT(3)
  ADD_WAIT(4)
  ADD_WAIT(5)
  ADD_WAIT(6)
  ADD_WAIT(7)
  ADD_WAIT(8)
  ADD_WAIT(9)
  ADD_WAIT(10)
}

#endif
