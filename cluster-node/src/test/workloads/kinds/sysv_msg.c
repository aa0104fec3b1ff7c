/* msgget queues: messages of several types and sizes in order, empty ones, full queues, owners, last users, waiting processes. */
#include "kind.h"

#include <sys/ipc.h>
#include <sys/msg.h>

#define ROOM 8192

struct message {
  long type;
  char text[ROOM];
};

static void post(int queue, long type, size_t size, uint64_t seed) {
  struct message message = {.type = type};
  for (size_t i = 0; i < size; i++) message.text[i] = (char) mix(seed + i);
  WORKS(msgsnd(queue, &message, size, IPC_NOWAIT));
}

static void take(int queue, long wanted, long type, size_t size, uint64_t seed) {
  struct message message;
  long got = WORKS(msgrcv(queue, &message, ROOM, wanted, IPC_NOWAIT));
  HOLDS(got == (long) size && message.type == type, "a message of type %ld with %ld bytes instead of %ld with %zu", message.type, got, type, size);
  for (size_t i = 0; i < size && got == (long) size; i++) HOLDS(message.text[i] == (char) mix(seed + i), "another message of that size");
}

static struct msqid_ds stat_of(int queue) {
  struct msqid_ds status = {0};
  WORKS(msgctl(queue, IPC_STAT, &status));
  return status;
}

/* --- in order ----------------------------------------------------------------------------------------------------------------------------- */

static int ordered;

static void fill_ordered(void) {
  long types[] = {3, 1, 3, 0x7fffffffffffffffl, 1, 2};
  size_t sizes[] = {10, 0, 5000, 100, 1, 3000};
  for (int i = 0; i < 6; i++) post(ordered, types[i], sizes[i], (uint64_t) i);
}

static void make_ordered(void) {
  for (int i = 0; i < 4; i++) MUST(msgctl((int) MUST(msgget(IPC_PRIVATE, 0600)), IPC_RMID, NULL));
  ordered = (int) MUST(msgget(0x4781, IPC_CREAT | IPC_EXCL | 0660));
  fill_ordered();
}

static void look_ordered(void) {
  HOLDS(msgget(0x4781, 0) == ordered, "the key leads elsewhere");
  struct msqid_ds status = stat_of(ordered);
  HOLDS(status.msg_qnum == 6 && (status.msg_perm.mode & 0777) == 0660, "%lu messages, mode 0%o", (unsigned long) status.msg_qnum, status.msg_perm.mode);
  HOLDS(status.msg_lspid == getpid(), "last sent by %d", status.msg_lspid);
  take(ordered, 1, 1, 0, 1);
  take(ordered, -2, 1, 1, 4);
  take(ordered, 0, 3, 10, 0);
  take(ordered, 0, 3, 5000, 2);
  take(ordered, 0, 0x7fffffffffffffffl, 100, 3);
  take(ordered, 0, 2, 3000, 5);
  fill_ordered();
}

static void damage_ordered(void) { take(ordered, 3, 3, 10, 0); }

/* --- full, with a limit of its own, used by two --------------------------------------------------------------------------------------------- */

static int full;
static struct child receiver;

static void child_receives(void) { take(full, 0, 9, 7, 7); }

static void child_is_last(void) { HOLDS(stat_of(full).msg_lrpid == getpid(), "last received by %d", stat_of(full).msg_lrpid); }

static void child_receives_all(void) {
  struct message message;
  while (msgrcv(full, &message, ROOM, 0, IPC_NOWAIT) >= 0) {
  }
}

static void make_full(void) {
  full = (int) MUST(msgget(IPC_PRIVATE, 0600));
  post(full, 9, 7, 7);
  receiver = child_begin(child_receives, child_is_last, child_receives_all);
  struct msqid_ds status = stat_of(full);
  status.msg_qbytes = 64;
  status.msg_perm.uid = 42;
  MUST(msgctl(full, IPC_SET, &status));
  for (int i = 0; i < 8; i++) post(full, 1 + i, 8, (uint64_t) i);
}

static void look_full(void) {
  struct msqid_ds status = stat_of(full);
  HOLDS(status.msg_qbytes == 64 && status.msg_perm.uid == 42 && status.msg_qnum == 8, "room for %lu bytes, owner %u, %lu messages",
      (unsigned long) status.msg_qbytes, status.msg_perm.uid, (unsigned long) status.msg_qnum);
  struct message message = {.type = 1};
  HOLDS(msgsnd(full, &message, 1, IPC_NOWAIT) == -1 && errno == EAGAIN, "a full queue takes more");
  child_says(&receiver);
}

static void damage_full(void) { child_damages(&receiver); }

/* --- those who wait for a message, and for room --------------------------------------------------------------------------------------------- */

static int asked_for, crowded;
static atomic_int received, sent;

static void *wait_for_message(void *forever) {
  for (;;) {
    struct message message;
    if (msgrcv(asked_for, &message, ROOM, 5, 0) == -1) {
      error_found("waiting for a message ended: %s", strerror(errno));
      return forever;
    }
    atomic_fetch_add(&received, 1);
  }
}

static void *wait_for_room(void *forever) {
  for (;;) {
    struct message message = {.type = 6};
    if (msgsnd(crowded, &message, 16, 0) == -1) {
      error_found("waiting for room in a queue ended: %s", strerror(errno));
      return forever;
    }
    atomic_fetch_add(&sent, 1);
  }
}

static void make_waiting(void) {
  asked_for = (int) MUST(msgget(IPC_PRIVATE, 0600));
  crowded = (int) MUST(msgget(IPC_PRIVATE, 0600));
  struct msqid_ds status = stat_of(crowded);
  status.msg_qbytes = 32;
  MUST(msgctl(crowded, IPC_SET, &status));
  start_thread(wait_for_message, NULL, 128 * 1024);
  start_thread(wait_for_room, NULL, 128 * 1024);
}

static bool becomes(atomic_int *counter, int value) {
  for (int i = 0; i < 1000 && atomic_load(counter) < value; i++) usleep(1000);
  return atomic_load(counter) == value;
}

static void look_waiting(void) {
  int before = atomic_load(&received);
  post(asked_for, 4, 3, 0);
  post(asked_for, 5, 3, 0);
  HOLDS(becomes(&received, before + 1), "who waits for a message did not get it");
  take(asked_for, 4, 4, 3, 0);
  HOLDS(becomes(&sent, asked_number + 1), "%d messages were sent", atomic_load(&sent));
  struct message message;
  WORKS(msgrcv(crowded, &message, ROOM, 6, IPC_NOWAIT));
  HOLDS(becomes(&sent, asked_number + 2), "who waits for room did not get it");
}

static void damage_waiting(void) {
  struct message message;
  MUST(msgrcv(crowded, &message, ROOM, 6, IPC_NOWAIT));
}

KIND({"ordered", make_ordered, look_ordered, damage_ordered}, {"full", make_full, look_full, damage_full},
    {"waiting", make_waiting, look_waiting, damage_waiting});
