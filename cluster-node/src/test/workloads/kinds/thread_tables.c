/* Threads with a descriptor table of their own: files of their own, the process's under other numbers, the same file as the process's, none at all. */
#include "kind.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* A thread that does as it is told: 'l' look, 'd' damage; its faults are told by whoever asks. */
struct worker {
  void (*prepare)(void);
  void (*look)(void);
  void (*damage)(void);
  atomic_int order;
};

static void *work(void *argument) {
  struct worker *worker = argument;
  MUST(unshare(CLONE_FILES));
  worker->prepare();
  atomic_store(&worker->order, 0);
  for (;;) {
    int order = atomic_load(&worker->order);
    if (order == 'l') worker->look();
    if (order == 'd') worker->damage();
    if (order != 0) atomic_store(&worker->order, 0);
    usleep(1000);
  }
  return NULL;
}

static void ask(struct worker *worker, int order) {
  atomic_store(&worker->order, order);
  for (int i = 0; i < 2000 && atomic_load(&worker->order) != 0; i++) usleep(1000);
  HOLDS(atomic_load(&worker->order) == 0, "the thread does not answer");
}

static void begin(struct worker *worker) {
  pthread_t thread;
  atomic_store(&worker->order, 1);
  MUST(pthread_create(&thread, NULL, work, worker) == 0 ? 0 : -1);
  while (atomic_load(&worker->order) != 0) usleep(1000);
}

enum { NUMBER = 70 };

/* --- its own files under numbers that the process uses for others ------------------------------------------------------------------------ */

static int ends[2];

static void own_prepare(void) {
  int made[2];
  MUST(pipe2(made, O_NONBLOCK | O_CLOEXEC));
  MUST(dup2(made[0], NUMBER));
  ends[0] = made[0];
  ends[1] = made[1];
  MUST(write(ends[1], "in a pipe", 9));
}

static void own_look(void) {
  char text[20] = "";
  HOLDS(WORKS(read(NUMBER, text, sizeof text)) == 9 && strcmp(text, "in a pipe") == 0, "the pipe holds \"%s\"", text);
  WORKS(write(ends[1], "in a pipe", 9));
  HOLDS(WORKS(fcntl(ends[0], F_GETFD)) == FD_CLOEXEC, "the flags of its descriptor differ");
}

static void own_damage(void) { WORKS(dup2(STDOUT_FILENO, NUMBER)); }

static struct worker own = {.prepare = own_prepare, .look = own_look, .damage = own_damage};
static int counter;

static void make_own(void) {
  counter = (int) MUST(eventfd(5, EFD_NONBLOCK));
  MUST(dup2(counter, NUMBER));
  begin(&own);
}

static void look_own(void) {
  uint64_t value = 0;
  HOLDS(WORKS(read(NUMBER, &value, sizeof value)) == sizeof value && value == 5, "the process's own file under that number differs: %lu", (unsigned long) value);
  WORKS(write(counter, &value, sizeof value));
  ask(&own, 'l');
}

static void damage_own(void) { ask(&own, 'd'); }

/* --- the process's files ------------------------------------------------------------------------------------------------------------------ */

static int common, joined[2], watch;

static void common_prepare(void) {
  watch = (int) MUST(epoll_create1(0));
  /* It was opened before the tables parted. */
  MUST(close(joined[0]));
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 33};
  MUST(epoll_ctl(watch, EPOLL_CTL_ADD, joined[1], &event));
}

static void common_look(void) {
  HOLDS(WORKS(lseek(common, 0, SEEK_CUR)) == 1234, "the position is not the process's");
  WORKS(lseek(common, 4321, SEEK_SET));
  HOLDS(fcntl(joined[0], F_GETFD) == -1, "what it has closed is open");
  struct epoll_event event = {0};
  HOLDS(WORKS(epoll_wait(watch, &event, 1, 2000)) == 1 && event.data.u64 == 33, "epoll says nothing");
  char byte;
  HOLDS(WORKS(read(joined[1], &byte, 1)) == 1 && byte == 'x', "it reads something else");
}

static void common_damage(void) { WORKS(close(common)); }

static struct worker sharer = {.prepare = common_prepare, .look = common_look, .damage = common_damage};

static void make_common(void) {
  common = (int) MUST(open(own_path("common"), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  MUST(ftruncate(common, 10000));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, joined));
  begin(&sharer);
}

static void look_common(void) {
  WORKS(lseek(common, 1234, SEEK_SET));
  WORKS(write(joined[0], "x", 1));
  ask(&sharer, 'l');
  HOLDS(WORKS(lseek(common, 0, SEEK_CUR)) == 4321, "the position is not the thread's");
}

static void damage_common(void) { ask(&sharer, 'd'); }

/* --- nothing open -------------------------------------------------------------------------------------------------------------------------- */

static int open_files(void) {
  int count = 0;
  for (int fd = 0; fd < 200; fd++) count += fcntl(fd, F_GETFD) != -1;
  return count;
}

static void none_prepare(void) { MUST(syscall(SYS_close_range, 0, ~0u, 0)); }

static void none_look(void) { HOLDS(open_files() == 0, "%d files are open", open_files()); }

static void none_damage(void) { WORKS(open("/dev/null", O_RDONLY)); }

static struct worker none = {.prepare = none_prepare, .look = none_look, .damage = none_damage};

static void make_none(void) { begin(&none); }

static void look_none(void) { ask(&none, 'l'); }

static void damage_none(void) { ask(&none, 'd'); }

KIND({"own", make_own, look_own, damage_own}, {"common", make_common, look_common, damage_common}, {"none", make_none, look_none, damage_none});
