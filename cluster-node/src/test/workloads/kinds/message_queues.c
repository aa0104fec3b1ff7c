/* mq_open queues: messages in order of priority and age, attributes, owners, flags, unlinked ones, who is told of messages, who waits, limits. */
#include "kind.h"

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/stat.h>

/* More than a page; what all programs of one user have counts for RLIMIT_MSGQUEUE, 800 KiB, and several of these run at a time. */
#define ROOM 5120

static mqd_t queue(const char *name, int flags, mode_t mode, long messages, long bytes) {
  struct mq_attr wanted = {.mq_maxmsg = messages, .mq_msgsize = bytes};
  return (mqd_t) MUST(mq_open(name, O_CREAT | O_EXCL | flags, mode, &wanted));
}

static void post(mqd_t queue, unsigned priority, size_t size, uint64_t seed) {
  static char text[ROOM];
  for (size_t i = 0; i < size; i++) text[i] = (char) mix(seed + i);
  WORKS(mq_send(queue, text, size, priority));
}

static void take(mqd_t queue, unsigned priority, size_t size, uint64_t seed) {
  static char text[ROOM];
  unsigned found = 0;
  long got = WORKS(mq_receive(queue, text, ROOM, &found));
  HOLDS(got == (long) size && found == priority, "a message of priority %u with %ld bytes instead of %u with %zu", found, got, priority, size);
  for (size_t i = 0; i < size && got == (long) size; i++) HOLDS(text[i] == (char) mix(seed + i), "another message of that size");
}

static struct mq_attr attributes(mqd_t queue) {
  struct mq_attr found = {0};
  WORKS(mq_getattr(queue, &found));
  return found;
}

/* --- in order, of a queue that nobody has open ----------------------------------------------------------------------------------------------- */

static void fill_ordered(mqd_t queue) {
  unsigned priorities[] = {3, 32767, 3, 0, 7, 0};
  size_t sizes[] = {10, 5000, 4500, 0, 1, 300};
  for (int i = 0; i < 6; i++) post(queue, priorities[i], sizes[i], (uint64_t) i);
}

static void make_ordered(void) {
  mqd_t made = queue("/in order", O_RDWR, 0640, 6, ROOM);
  fill_ordered(made);
  MUST(fchown(made, 41, 42));
  MUST(mq_close(made));
}

static void look_ordered(void) {
  mqd_t found = (mqd_t) WORKS(mq_open("/in order", O_RDWR | O_NONBLOCK));
  struct mq_attr has = attributes(found);
  HOLDS(has.mq_maxmsg == 6 && has.mq_msgsize == ROOM && has.mq_curmsgs == 6, "%ld of %ld messages of %ld bytes", has.mq_curmsgs, has.mq_maxmsg,
      has.mq_msgsize);
  struct stat status = {0};
  WORKS(fstat(found, &status));
  HOLDS((status.st_mode & 07777) == 0640 && status.st_uid == 41 && status.st_gid == 42, "mode 0%o, owner %u, group %u", status.st_mode, status.st_uid,
      status.st_gid);
  take(found, 32767, 5000, 1);
  take(found, 7, 1, 4);
  take(found, 3, 10, 0);
  take(found, 3, 4500, 2);
  take(found, 0, 0, 3);
  take(found, 0, 300, 5);
  fill_ordered(found);
  WORKS(mq_close(found));
}

static void damage_ordered(void) {
  mqd_t found = (mqd_t) WORKS(mq_open("/in order", O_RDWR | O_NONBLOCK));
  take(found, 32767, 5000, 1);
  WORKS(mq_close(found));
}

/* --- descriptors ------------------------------------------------------------------------------------------------------------------------------ */

static mqd_t reader, reader_copy, writer;
static struct child other_reader;

static void child_reads(void) {
  take(reader, 1, 20, 9);
  HOLDS(mq_receive(reader, (char[ROOM]) {0}, ROOM, NULL) == -1 && errno == EAGAIN, "an empty queue is not empty");
}

static void child_closes(void) { WORKS(mq_close(reader)); }

static void make_descriptors(void) {
  writer = queue("/descriptors", O_WRONLY, 0600, 2, ROOM);
  reader = (mqd_t) MUST(mq_open("/descriptors", O_RDONLY | O_NONBLOCK));
  reader_copy = (mqd_t) MUST(dup(reader));
  other_reader = child_begin(NULL, child_reads, child_closes);
}

static void look_descriptors(void) {
  HOLDS((fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK), "the reader's flags are 0%o", fcntl(reader, F_GETFL));
  HOLDS((fcntl(writer, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_WRONLY, "the writer's flags are 0%o", fcntl(writer, F_GETFL));
  HOLDS(fcntl(reader, F_GETFD) == FD_CLOEXEC && fcntl(reader_copy, F_GETFD) == 0, "close on exec of other descriptors");
  WORKS(fcntl(reader, F_SETFL, fcntl(reader, F_GETFL) & ~O_NONBLOCK));
  HOLDS((fcntl(reader_copy, F_GETFL) & O_NONBLOCK) == 0, "the copy has flags of its own");
  WORKS(fcntl(reader, F_SETFL, fcntl(reader, F_GETFL) | O_NONBLOCK));
  HOLDS(mq_send(reader, "", 0, 0) == -1 && errno == EBADF, "the reader sends");
  post(writer, 1, 20, 9);
  child_says(&other_reader);
}

static void damage_descriptors(void) { child_damages(&other_reader); }

/* --- unlinked, and full ------------------------------------------------------------------------------------------------------------------------ */

static mqd_t unlinked, namesake;

static void make_unlinked(void) {
  unlinked = queue("/name", O_RDWR | O_NONBLOCK, 0600, 3, 64);
  MUST(mq_unlink("/name"));
  namesake = queue("/name", O_RDWR | O_NONBLOCK, 0600, 1, 32);
  for (int i = 0; i < 3; i++) post(unlinked, 5, 64, (uint64_t) i);
}

static void look_unlinked(void) {
  struct stat status = {0}, other = {0};
  WORKS(fstat(unlinked, &status));
  WORKS(fstat(namesake, &other));
  HOLDS(status.st_nlink == 0 && other.st_nlink == 1, "%u names, and %u of the other", (unsigned) status.st_nlink, (unsigned) other.st_nlink);
  HOLDS(attributes(namesake).mq_maxmsg == 1 && attributes(namesake).mq_curmsgs == 0, "the other has %ld messages", attributes(namesake).mq_curmsgs);
  HOLDS(mq_send(unlinked, "", 0, 0) == -1 && errno == EAGAIN, "a full queue takes more");
  take(unlinked, 5, 64, 0);
  take(unlinked, 5, 64, 1);
  take(unlinked, 5, 64, 2);
  for (int i = 0; i < 3; i++) post(unlinked, 5, 64, (uint64_t) i);
}

static void damage_unlinked(void) { take(unlinked, 5, 64, 0); }

/* --- longer than the namespace allows by default ---------------------------------------------------------------------------------------------- */

#define MESSAGES 60

static mqd_t large;

static void limit(const char *name, const char *value) {
  char path[100];
  snprintf(path, sizeof path, "/proc/sys/fs/mqueue/%s", name);
  int fd = (int) MUST(open(path, O_WRONLY | O_CLOEXEC));
  MUST(write(fd, value, strlen(value)));
  MUST(close(fd));
}

static void fill_large(void) {
  for (int i = 0; i < MESSAGES; i++) post(large, (unsigned) (i * 7 % 10), (size_t) (i * 4), (uint64_t) i);
}

static void make_large(void) {
  limit("msg_max", "60");
  large = queue("/large", O_RDWR | O_NONBLOCK, 0600, MESSAGES, 256);
  fill_large();
}

static void look_large(void) {
  struct mq_attr has = attributes(large);
  HOLDS(has.mq_maxmsg == MESSAGES && has.mq_curmsgs == MESSAGES, "%ld of %ld messages", has.mq_curmsgs, has.mq_maxmsg);
  for (int priority = 9; priority >= 0; priority--) {
    for (int i = 0; i < MESSAGES; i++) {
      if (i * 7 % 10 == priority) take(large, (unsigned) priority, (size_t) (i * 4), (uint64_t) i);
    }
  }
  fill_large();
}

static void damage_large(void) { take(large, 9, 28, 7); }

/* --- told by a signal, of an empty queue and of one that is not --------------------------------------------------------------------------------- */

static mqd_t empty, not_empty;
static atomic_int told[2];
static atomic_long told_value[2];

static void is_told(int signal, siginfo_t *info, void *context) {
  (void) context;
  int which = signal == SIGRTMIN + 5;
  atomic_store(&told_value[which], (long) info->si_value.sival_ptr);
  if (info->si_code == SI_MESGQ) atomic_fetch_add(&told[which], 1);
}

static void ask_to_be_told(int which) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = which == 0 ? SIGUSR2 : SIGRTMIN + 5};
  event.sigev_value.sival_ptr = (void *) (0x1122334455667788 + which);
  WORKS(mq_notify(which == 0 ? empty : not_empty, &event));
}

static void make_told(void) {
  struct sigaction action = {.sa_sigaction = is_told, .sa_flags = SA_SIGINFO | SA_RESTART};
  MUST(sigaction(SIGUSR2, &action, NULL));
  MUST(sigaction(SIGRTMIN + 5, &action, NULL));
  empty = queue("/empty", O_RDWR | O_NONBLOCK, 0600, 2, 64);
  not_empty = queue("/not-empty", O_RDWR | O_NONBLOCK, 0600, 2, 64);
  post(not_empty, 1, 64, 1);
  ask_to_be_told(0);
  ask_to_be_told(1);
}

static void look_told(void) {
  int before[] = {atomic_load(&told[0]), atomic_load(&told[1])};
  HOLDS(before[0] == asked_number - 1 && before[1] == asked_number - 1, "told %d and %d times before look %d", before[0], before[1], asked_number);
  take(not_empty, 1, 64, 1);
  post(empty, 2, 3, 2);
  post(not_empty, 1, 64, 1);
  for (int i = 0; i < 1000 && (atomic_load(&told[0]) == before[0] || atomic_load(&told[1]) == before[1]); i++) usleep(1000);
  for (int i = 0; i < 2; i++) {
    HOLDS(atomic_load(&told[i]) == before[i] + 1, "%s queue: nobody was told", i == 0 ? "empty" : "other");
    HOLDS(atomic_load(&told_value[i]) == 0x1122334455667788 + i, "%s queue: told 0x%lx", i == 0 ? "empty" : "other", atomic_load(&told_value[i]));
    ask_to_be_told(i);
  }
  take(empty, 2, 3, 2);
}

static void damage_told(void) { WORKS(mq_notify(not_empty, NULL)); }

/* --- registered, but told by nothing; in a child -------------------------------------------------------------------------------------------------- */

static mqd_t silent;
static struct child silent_child;

static void child_registers(void) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  WORKS(mq_notify(silent, &event));
}

static void child_is_registered(void) {}

static void child_unregisters(void) { WORKS(mq_notify(silent, NULL)); }

static void make_silent(void) {
  silent = queue("/silent", O_RDWR | O_NONBLOCK, 0600, 2, 64);
  post(silent, 3, 3, 3);
  silent_child = child_begin(child_registers, child_is_registered, child_unregisters);
}

static void look_silent(void) {
  child_says(&silent_child);
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  HOLDS(mq_notify(silent, &event) == -1 && errno == EBUSY, "nobody is registered");
}

static void damage_silent(void) { child_damages(&silent_child); }

/* --- those who wait for a message, and for room ------------------------------------------------------------------------------------------------- */

static mqd_t asked_for, crowded;
static atomic_int received, sent;

static void *wait_for_message(void *forever) {
  for (;;) {
    char text[64];
    struct timespec late = {.tv_sec = time(NULL) + 100000};
    if (mq_timedreceive(asked_for, text, sizeof text, NULL, &late) == -1) {
      error_found("waiting for a message ended: %s", strerror(errno));
      return forever;
    }
    atomic_fetch_add(&received, 1);
  }
}

static void *wait_for_room(void *forever) {
  for (;;) {
    if (mq_send(crowded, "it has room", 12, 6) == -1) {
      error_found("waiting for room in a queue ended: %s", strerror(errno));
      return forever;
    }
    atomic_fetch_add(&sent, 1);
  }
}

static bool becomes(atomic_int *counter, int value) {
  for (int i = 0; i < 1000 && atomic_load(counter) < value; i++) usleep(1000);
  return atomic_load(counter) == value;
}

static void make_waiting(void) {
  asked_for = queue("/asked-for", O_RDWR, 0600, 2, 64);
  crowded = queue("/crowded", O_RDWR, 0600, 2, 64);
  start_thread(wait_for_message, NULL, 128 * 1024);
  start_thread(wait_for_room, NULL, 128 * 1024);
}

static void look_waiting(void) {
  int before = atomic_load(&received);
  post(asked_for, 4, 3, 0);
  HOLDS(becomes(&received, before + 1), "who waits for a message did not get it");
  HOLDS(becomes(&sent, asked_number + 1), "%d messages were sent", atomic_load(&sent));
  char text[64];
  WORKS(mq_receive(crowded, text, sizeof text, NULL));
  HOLDS(becomes(&sent, asked_number + 2), "who waits for room did not get it");
}

static void damage_waiting(void) {
  char text[64];
  WORKS(mq_receive(crowded, text, sizeof text, NULL));
}

/* --- limits --------------------------------------------------------------------------------------------------------------------------------------- */

static void make_limits(void) { limit("msg_default", "7"); }

static void look_limits(void) {
  char text[20] = "";
  int fd = (int) WORKS(open("/proc/sys/fs/mqueue/msg_default", O_RDONLY | O_CLOEXEC));
  WORKS(read(fd, text, sizeof text - 1));
  WORKS(close(fd));
  HOLDS(atoi(text) == 7, "msg_default is %d", atoi(text));
}

static void damage_limits(void) { limit("msg_default", "6"); }

KIND({"ordered", make_ordered, look_ordered, damage_ordered}, {"descriptors", make_descriptors, look_descriptors, damage_descriptors},
    {"unlinked", make_unlinked, look_unlinked, damage_unlinked}, {"large", make_large, look_large, damage_large}, {"told", make_told, look_told, damage_told},
    {"silent", make_silent, look_silent, damage_silent}, {"waiting", make_waiting, look_waiting, damage_waiting},
    {"limits", make_limits, look_limits, damage_limits});
