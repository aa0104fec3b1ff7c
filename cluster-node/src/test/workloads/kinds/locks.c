/* Locks on files: of processes, of open files, by flock, shared and exclusive, in ranges, waited for, and a lease. */
#include "kind.h"

#include <poll.h>
#include <sys/file.h>

enum { LEASE_SIGNAL = 37, WAIT_MS = 2000 };

static int posix, by_open_file, by_flock, shared_flock, waited, leased;
static pid_t program;
static struct child observer, second, waiter;
static int waiter_says[2], waiter_hears[2];

static int file(const char *name, int flags) {
  int fd = (int) MUST(open(own_path(name), flags | O_CREAT | O_CLOEXEC, 0644));
  if ((flags & O_ACCMODE) != O_RDONLY) MUST(ftruncate(fd, 1000));
  return fd;
}

static struct flock range(short type, off_t start, off_t length) {
  return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

/* Who keeps another one from locking this range: start, length and owner of the first lock in the way. */
static void expect(int fd, int command, struct flock wanted, short type, off_t start, off_t length, pid_t owner) {
  struct flock found = wanted;
  WORKS(fcntl(fd, command, &found));
  HOLDS(found.l_type == type, "bytes %ld+%ld: lock type %d, not %d", (long) wanted.l_start, (long) wanted.l_len, found.l_type, type);
  if (type == F_UNLCK) return;
  HOLDS(found.l_start == start && found.l_len == length, "the lock is on %ld+%ld, not %ld+%ld", (long) found.l_start, (long) found.l_len,
      (long) start, (long) length);
  HOLDS(found.l_pid == owner, "its owner is %d, not %d", found.l_pid, owner);
}

/* --- locks of processes ------------------------------------------------------------------------------------------------------------------ */

static int observing;

static void observe(void) { observing = (int) MUST(open(own_path("posix"), O_RDWR | O_CLOEXEC)); }

static void look_from_outside(void) {
  expect(observing, F_GETLK, range(F_WRLCK, 10, 5), F_WRLCK, 10, 20, program);
  expect(observing, F_GETLK, range(F_RDLCK, 0, 10), F_UNLCK, 0, 0, 0);
  expect(observing, F_GETLK, range(F_RDLCK, 100, 50), F_UNLCK, 0, 0, 0);
  expect(observing, F_GETLK, range(F_WRLCK, 100, 50), F_RDLCK, 100, 50, program);
  expect(observing, F_GETLK, range(F_WRLCK, 500, 0), F_WRLCK, 500, 0, second.pid);
}

static void lock_end(void) {
  int fd = (int) MUST(open(own_path("posix"), O_RDWR | O_CLOEXEC));
  struct flock wanted = range(F_WRLCK, 500, 0);
  MUST(fcntl(fd, F_SETLK, &wanted));
}

static void nothing(void) {}

static void make_posix(void) {
  program = getpid();
  posix = file("posix", O_RDWR);
  struct flock exclusive = range(F_WRLCK, 10, 20), shared = range(F_RDLCK, 100, 50);
  MUST(fcntl(posix, F_SETLK, &exclusive));
  MUST(fcntl(posix, F_SETLK, &shared));
  second = child_begin(lock_end, nothing, nothing);
  observer = child_begin(observe, look_from_outside, nothing);
}

static void look_posix(void) {
  child_says(&observer);
  expect(posix, F_GETLK, range(F_WRLCK, 700, 1), F_WRLCK, 500, 0, second.pid);
}

static void damage_posix(void) {
  struct flock none = range(F_UNLCK, 110, 1);
  WORKS(fcntl(posix, F_SETLK, &none));
}

/* --- locks of open files ----------------------------------------------------------------------------------------------------------------- */

static int other_open;

static void make_open_file(void) {
  by_open_file = file("ofd", O_RDWR);
  other_open = file("ofd", O_RDWR);
  struct flock exclusive = range(F_WRLCK, 0, 7), shared = range(F_RDLCK, 50, 0);
  MUST(fcntl(by_open_file, F_OFD_SETLK, &exclusive));
  MUST(fcntl(by_open_file, F_OFD_SETLK, &shared));
  MUST(fcntl(by_open_file, F_DUPFD_CLOEXEC, 200));
}

static void look_open_file(void) {
  expect(other_open, F_OFD_GETLK, range(F_RDLCK, 0, 0), F_WRLCK, 0, 7, -1);
  expect(other_open, F_OFD_GETLK, range(F_WRLCK, 60, 1), F_RDLCK, 50, 0, -1);
  expect(other_open, F_OFD_GETLK, range(F_WRLCK, 7, 43), F_UNLCK, 0, 0, 0);
  expect(200, F_OFD_GETLK, range(F_WRLCK, 0, 0), F_UNLCK, 0, 0, 0);
}

static void damage_open_file(void) {
  struct flock none = range(F_UNLCK, 0, 1);
  WORKS(fcntl(by_open_file, F_OFD_SETLK, &none));
}

/* --- flock ------------------------------------------------------------------------------------------------------------------------------- */

static int against, against_shared, deleted_locked, against_deleted;

static void look_child_has_it(void) { WORKS(flock(by_flock, LOCK_EX | LOCK_NB)); }

static void make_flock(void) {
  by_flock = file("flock", O_RDONLY);
  against = file("flock", O_RDONLY);
  MUST(flock(by_flock, LOCK_EX));
  shared_flock = file("flock-shared", O_RDWR);
  against_shared = file("flock-shared", O_RDWR);
  MUST(flock(shared_flock, LOCK_SH));
  deleted_locked = file("flock-deleted", O_RDWR);
  against_deleted = file("flock-deleted", O_RDWR);
  MUST(flock(deleted_locked, LOCK_EX));
  MUST(unlink(own_path("flock-deleted")));
}

/* A child has the same open file, and so the same lock. */
static struct child sharer;

static void make_shared_flock(void) { sharer = child_begin(NULL, look_child_has_it, nothing); }

static void look_flock(void) {
  HOLDS(flock(against, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the exclusive flock is not held");
  HOLDS(flock(against_shared, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the shared flock is not held");
  HOLDS(flock(against_shared, LOCK_SH | LOCK_NB) == 0, "the shared flock is not shared");
  flock(against_shared, LOCK_UN);
  HOLDS(flock(against_deleted, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK, "the flock of the deleted file is not held");
}

static void damage_flock(void) { WORKS(flock(deleted_locked, LOCK_UN)); }

static void look_shared_flock(void) { child_says(&sharer); }

static void damage_shared_flock(void) { WORKS(flock(shared_flock, LOCK_EX | LOCK_NB)), flock(by_flock, LOCK_UN), flock(against, LOCK_EX | LOCK_NB); }

/* --- a lock that is waited for ----------------------------------------------------------------------------------------------------------- */

static char hear(int fd) {
  struct pollfd heard = {.fd = fd, .events = POLLIN};
  char word = 0;
  if (poll(&heard, 1, WAIT_MS) == 1 && read(fd, &word, 1) == 1) return word;
  return 0;
}

static void wait_for_lock(void) {
  int fd = (int) MUST(open(own_path("waited"), O_RDWR | O_CLOEXEC));
  char word = 'a';
  while (word == 'a') {
    struct flock wanted = range(F_WRLCK, 3, 4), none = range(F_UNLCK, 3, 4);
    if (fcntl(fd, F_SETLKW, &wanted) != 0) _exit(5);
    MUST(write(waiter_says[1], "g", 1));
    if (read(waiter_hears[0], &word, 1) != 1) _exit(0);
    MUST(fcntl(fd, F_SETLK, &none));
    MUST(write(waiter_says[1], "r", 1));
    if (read(waiter_hears[0], &word, 1) != 1) _exit(0);
  }
}

static void make_waited(void) {
  waited = file("waited", O_RDWR);
  struct flock wanted = range(F_WRLCK, 0, 10);
  MUST(fcntl(waited, F_SETLK, &wanted));
  MUST(pipe2(waiter_says, O_CLOEXEC));
  MUST(pipe2(waiter_hears, O_CLOEXEC));
  waiter.pid = (pid_t) MUST(fork());
  if (waiter.pid == 0) {
    close(waiter_says[0]);
    close(waiter_hears[1]);
    wait_for_lock();
    _exit(0);
  }
  close(waiter_says[1]);
  close(waiter_hears[0]);
}

static void look_waited(void) {
  struct pollfd early = {.fd = waiter_says[0], .events = POLLIN};
  HOLDS(poll(&early, 1, 0) == 0, "the waiting child has got a lock that its parent has");
  struct flock part = range(F_UNLCK, 2, 6), again = range(F_WRLCK, 0, 10);
  WORKS(fcntl(waited, F_SETLK, &part));
  HOLDS(hear(waiter_says[0]) == 'g', "the waiting child does not get the lock");
  WORKS(write(waiter_hears[1], "u", 1));
  HOLDS(hear(waiter_says[0]) == 'r', "the child does not give the lock back");
  WORKS(fcntl(waited, F_SETLK, &again));
  WORKS(write(waiter_hears[1], "a", 1));
}

static void damage_waited(void) {
  struct flock none = range(F_UNLCK, 0, 10);
  WORKS(fcntl(waited, F_SETLK, &none));
  struct pollfd early = {.fd = waiter_says[0], .events = POLLIN};
  poll(&early, 1, WAIT_MS);
}

/* --- a lease ----------------------------------------------------------------------------------------------------------------------------- */

static void make_lease(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, LEASE_SIGNAL);
  MUST(sigprocmask(SIG_BLOCK, &set, NULL));
  close(file("leased", O_RDWR));
  leased = file("leased", O_RDONLY);
  MUST(fcntl(leased, F_SETSIG, LEASE_SIGNAL));
  MUST(fcntl(leased, F_SETLEASE, F_RDLCK));
}

static void look_lease(void) {
  HOLDS(fcntl(leased, F_GETLEASE) == F_RDLCK, "the lease is %d", fcntl(leased, F_GETLEASE));
  HOLDS(fcntl(leased, F_GETSIG) == LEASE_SIGNAL, "its signal is %d", fcntl(leased, F_GETSIG));
  int writing = open(own_path("leased"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  HOLDS(writing == -1 && errno == EWOULDBLOCK, "the file can be opened for writing at once");
  if (writing != -1) close(writing);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, LEASE_SIGNAL);
  siginfo_t info;
  struct timespec limit = {.tv_sec = 2};
  HOLDS(sigtimedwait(&set, &info, &limit) == LEASE_SIGNAL && info.si_fd == leased, "nothing is said when the lease is broken");
  WORKS(fcntl(leased, F_SETLEASE, F_UNLCK));
  /* Giving a lease up forgets the signal as well. */
  WORKS(fcntl(leased, F_SETSIG, LEASE_SIGNAL));
  WORKS(fcntl(leased, F_SETLEASE, F_RDLCK));
}

static void damage_lease(void) { WORKS(fcntl(leased, F_SETLEASE, F_UNLCK)); }

KIND({"posix", make_posix, look_posix, damage_posix}, {"open-file", make_open_file, look_open_file, damage_open_file},
    {"flock", make_flock, look_flock, damage_flock}, {"shared-flock", make_shared_flock, look_shared_flock, damage_shared_flock},
    {"waited", make_waited, look_waited, damage_waited}, {"lease", make_lease, look_lease, damage_lease});
