/* signalfd: masks, non-blocking, signals that wait while the container moves, and one that an epoll instance watches. */
#include "kind.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

static int one, many, watched, watching;

static sigset_t set_of(int a, int b) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, a);
  sigaddset(&set, b);
  return set;
}

static int opened(int a, int b, int flags) {
  sigset_t set = set_of(a, b);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  return (int) MUST(signalfd(-1, &set, flags));
}

static int taken(int fd, int *value) {
  struct signalfd_siginfo info;
  ssize_t got = read(fd, &info, sizeof info);
  if (got != sizeof info) return 0;
  *value = info.ssi_int;
  return (int) info.ssi_signo;
}

static void queue(int signal, int value) { WORKS(sigqueue(getpid(), signal, (union sigval) {.sival_int = value})); }

static void make_one(void) {
  one = opened(SIGUSR1, SIGUSR1, SFD_NONBLOCK | SFD_CLOEXEC);
  queue(SIGUSR1, 17);
}

static void look_one(void) {
  int value = 0;
  HOLDS(fcntl(one, F_GETFL) & O_NONBLOCK, "it blocks now");
  HOLDS(fcntl(one, F_GETFD) & FD_CLOEXEC, "it stays open over exec now");
  int signal = taken(one, &value);
  HOLDS(signal == SIGUSR1 && value == 17, "signal %d with %d waits", signal, value);
  HOLDS(taken(one, &value) == 0 && errno == EAGAIN, "more than one signal waits");
  queue(SIGUSR1, 17);
}

static void damage_one(void) {
  int value;
  taken(one, &value);
}

/* Real-time signals keep their order and their number. */
static void make_many(void) {
  many = opened(SIGRTMIN + 1, SIGRTMIN + 2, SFD_NONBLOCK);
  for (int i = 0; i < 40; i++) queue(SIGRTMIN + 1 + i % 2, i);
}

static void look_many(void) {
  for (int i = 0; i < 40; i++) {
    int value = -1, wanted = i < 20 ? i * 2 : (i - 20) * 2 + 1;
    int signal = taken(many, &value);
    HOLDS(signal == SIGRTMIN + 1 + i / 20 && value == wanted, "place %d has signal %d with %d", i, signal, value);
  }
  int value;
  HOLDS(taken(many, &value) == 0, "more than 40 signals wait");
  for (int i = 0; i < 40; i++) queue(SIGRTMIN + 1 + i % 2, i);
}

static void damage_many(void) { queue(SIGRTMIN + 1, 99); }

static void make_watched(void) {
  watched = opened(SIGUSR2, SIGUSR2, SFD_NONBLOCK);
  watching = (int) MUST(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdefull};
  MUST(epoll_ctl(watching, EPOLL_CTL_ADD, watched, &event));
}

static void look_watched(void) {
  struct epoll_event event;
  int value = 0;
  HOLDS(epoll_wait(watching, &event, 1, 0) == 0, "it is ready without a signal");
  queue(SIGUSR2, 5);
  HOLDS(epoll_wait(watching, &event, 1, 1000) == 1 && event.data.u64 == 0x123456789abcdefull, "its epoll instance does not tell of a signal");
  HOLDS(taken(watched, &value) == SIGUSR2 && value == 5, "the signal is not there");
}

static void damage_watched(void) {
  sigset_t other = set_of(SIGCONT, SIGCONT);
  signalfd(watched, &other, 0);
}

KIND({"one", make_one, look_one, damage_one}, {"many", make_many, look_many, damage_many},
    {"watched", make_watched, look_watched, damage_watched});
