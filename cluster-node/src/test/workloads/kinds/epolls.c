/*
 * epoll: sets in sets, edges that were told and edges that were not, one-shot and exclusive entries, numbers that mean something else by now, a file that
 * only a child has open, and a large set. The program waits for nothing while it is moved.
 */
#include "kind.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define LARGE 3000

static int outer, inner, inner_event, edges, told, untold_set, untold, once_set, once, exclusive_set, exclusive, reused_set, reused_number, reused_file,
    left_set, large_set, large[LARGE];
static struct child keeper;
static int kept;
static bool wakes;

static void give(int fd) {
  uint64_t one = 1;
  WORKS(write(fd, &one, sizeof one));
}

static void take(int fd) {
  uint64_t value;
  if (read(fd, &value, sizeof value) < 0) HOLDS(errno == EAGAIN, "reading fails: %s", strerror(errno));
}

static int counter(void) { return (int) MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)); }

static void add(int set, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
}

/* Number of ready entries, and the first one's data and events. */
static int ready(int set, uint64_t *data, uint32_t *events) {
  struct epoll_event found[4] = {0};
  int count = (int) WORKS(epoll_wait(set, found, 4, 0));
  *data = found[0].data.u64;
  *events = found[0].events;
  return count;
}

static void expect(int set, uint64_t data, uint32_t events) {
  uint64_t had;
  uint32_t what;
  int count = ready(set, &had, &what);
  HOLDS(count == 1 && had == data && what == events, "%d entries are ready, the first is %#lx with %#x, not %#lx with %#x", count, (unsigned long) had, what,
      (unsigned long) data, events);
}

static void expect_nothing(int set) {
  uint64_t data;
  uint32_t events;
  int count = ready(set, &data, &events);
  HOLDS(count == 0, "%d entries are ready too many, the first is %#lx with %#x", count, (unsigned long) data, events);
}

static void make_nested(void) {
  outer = (int) MUST(epoll_create1(EPOLL_CLOEXEC));
  inner = (int) MUST(epoll_create1(0));
  inner_event = counter();
  add(inner, inner_event, EPOLLIN, 0xfedcba9876543210ull);
  add(outer, inner, EPOLLIN, 7);
}

static void look_nested(void) {
  expect_nothing(outer);
  give(inner_event);
  expect(outer, 7, EPOLLIN);
  expect(inner, 0xfedcba9876543210ull, EPOLLIN);
  take(inner_event);
  expect_nothing(outer);
}

static void damage_nested(void) { epoll_ctl(outer, EPOLL_CTL_DEL, inner, NULL); }

/* Ready, and told: nothing more until something happens. */
static void make_told(void) {
  edges = (int) MUST(epoll_create1(0));
  told = counter();
  add(edges, told, EPOLLIN | EPOLLET, 11);
  give(told);
  expect(edges, 11, EPOLLIN);
}

static void look_told(void) {
  expect_nothing(edges);
  give(told);
  expect(edges, 11, EPOLLIN);
}

static void damage_told(void) { give(told); }

/* Ready, and not told. */
static void make_untold(void) {
  untold_set = (int) MUST(epoll_create1(0));
  untold = counter();
  add(untold_set, untold, EPOLLIN | EPOLLET, 12);
  give(untold);
}

static void look_untold(void) {
  expect(untold_set, 12, EPOLLIN);
  expect_nothing(untold_set);
  give(untold);
}

static void damage_untold(void) {
  uint64_t data;
  uint32_t events;
  ready(untold_set, &data, &events);
}

static void make_once(void) {
  once_set = (int) MUST(epoll_create1(0));
  once = counter();
  add(once_set, once, EPOLLIN | EPOLLONESHOT, 13);
  give(once);
  expect(once_set, 13, EPOLLIN);
}

static void look_once(void) {
  expect_nothing(once_set);
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 13};
  WORKS(epoll_ctl(once_set, EPOLL_CTL_MOD, once, &event));
  expect(once_set, 13, EPOLLIN);
  expect_nothing(once_set);
}

static void damage_once(void) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 13};
  epoll_ctl(once_set, EPOLL_CTL_MOD, once, &event);
}

static bool shows(int set, uint32_t wanted) {
  char path[64], line[200];
  unsigned events = 0;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", set);
  FILE *info = fopen(path, "r");
  while (info != NULL && fgets(line, sizeof line, info)) sscanf(line, "tfd: %*d events: %x", &events);
  if (info != NULL) fclose(info);
  return (events & wanted) == wanted;
}

static void make_exclusive(void) {
  exclusive_set = (int) MUST(epoll_create1(0));
  exclusive = counter();
  add(exclusive_set, exclusive, EPOLLIN | EPOLLEXCLUSIVE | EPOLLWAKEUP, 14);
  /* A kernel that never sleeps drops it. */
  wakes = shows(exclusive_set, EPOLLWAKEUP);
}

static void look_exclusive(void) {
  HOLDS(shows(exclusive_set, EPOLLEXCLUSIVE), "it is not exclusive");
  HOLDS(shows(exclusive_set, EPOLLWAKEUP) == wakes, "it does not keep the system awake as it did");
  give(exclusive);
  expect(exclusive_set, 14, EPOLLIN);
  take(exclusive);
  expect_nothing(exclusive_set);
}

static void damage_exclusive(void) {
  epoll_ctl(exclusive_set, EPOLL_CTL_DEL, exclusive, NULL);
  add(exclusive_set, exclusive, EPOLLIN, 14);
}

/* Two files under one number: the first lives on under another, the second has the number now. */
static void make_reused(void) {
  reused_set = (int) MUST(epoll_create1(0));
  reused_number = counter();
  add(reused_set, reused_number, EPOLLIN, 15);
  reused_file = (int) MUST(dup(reused_number));
  int second = counter();
  MUST(dup2(second, reused_number));
  close(second);
  add(reused_set, reused_number, EPOLLIN, 16);
}

static void look_reused(void) {
  expect_nothing(reused_set);
  give(reused_file);
  expect(reused_set, 15, EPOLLIN);
  take(reused_file);
  give(reused_number);
  expect(reused_set, 16, EPOLLIN);
  take(reused_number);
}

static void damage_reused(void) { epoll_ctl(reused_set, EPOLL_CTL_DEL, reused_number, NULL); }

static void keeper_gives(void) {
  uint64_t value;
  if (read(kept, &value, sizeof value) != sizeof value) give(kept);
}

static void keeper_closes(void) { close(kept); }

/* Only the child has it open; the set of the parent still watches it. */
static void make_left(void) {
  left_set = (int) MUST(epoll_create1(0));
  kept = counter();
  add(left_set, kept, EPOLLIN, 17);
  keeper = child_begin(NULL, keeper_gives, keeper_closes);
  close(kept);
}

static void look_left(void) {
  expect_nothing(left_set);
  child_says(&keeper);
  expect(left_set, 17, EPOLLIN);
  child_says(&keeper);
  expect_nothing(left_set);
}

static void damage_left(void) {
  close(left_set);
  left_set = (int) epoll_create1(0);
}

static void make_large(void) {
  struct rlimit limit;
  MUST(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = LARGE + 1000;
  MUST(setrlimit(RLIMIT_NOFILE, &limit));
  large_set = (int) MUST(epoll_create1(0));
  for (int i = 0; i < LARGE; i++) {
    /* Sockets, as a server has. */
    large[i] = (int) MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    add(large_set, large[i], EPOLLIN, 1000000 + (uint64_t) i);
  }
}

static void look_large(void) {
  expect_nothing(large_set);
  for (int i = 0; i < LARGE; i += 97) {
    struct epoll_event event = {.events = EPOLLOUT, .data.u64 = 2000000 + (uint64_t) i};
    WORKS(epoll_ctl(large_set, EPOLL_CTL_MOD, large[i], &event));
    expect(large_set, 2000000 + (uint64_t) i, EPOLLOUT);
    event = (struct epoll_event) {.events = EPOLLIN, .data.u64 = 1000000 + (uint64_t) i};
    WORKS(epoll_ctl(large_set, EPOLL_CTL_MOD, large[i], &event));
  }
}

static void damage_large(void) { epoll_ctl(large_set, EPOLL_CTL_DEL, large[97 * 20], NULL); }

KIND({"nested", make_nested, look_nested, damage_nested}, {"told", make_told, look_told, damage_told},
    {"untold", make_untold, look_untold, damage_untold}, {"once", make_once, look_once, damage_once},
    {"exclusive", make_exclusive, look_exclusive, damage_exclusive}, {"reused", make_reused, look_reused, damage_reused},
    {"left", make_left, look_left, damage_left}, {"large", make_large, look_large, damage_large});
