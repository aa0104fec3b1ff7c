/*
 * The frame of a program that has kernel objects of one kind, in whatever forms they come, and looks at each of them when asked.
 *
 * usage: PROGRAM DIRECTORY
 *
 * A program here defines ITEMS, an array of struct item, and includes this file before it with nothing else to do: main is here.
 *
 *   items     written when the program is ready: the name of every item
 *   ask       made by a test, holds a number, 1 first and then one more each time: every item is looked at; "report" then begins with
 *             "asked=NUMBER" and has a line per item: "ok NAME" or "FAIL NAME: what is wrong"
 *   corrupt   holds an item's name: that item is damaged, and the next report must say so
 *
 * The other files are those of report.h. A look that consumes something puts it back, since there are many looks; a look waits for nothing longer
 * than two seconds. What lives in other processes is looked at by them: see child_says.
 */
#ifndef KIND_H
#define KIND_H

#include "../holds.h"

#include <sys/mman.h>
#include <sys/wait.h>

struct item {
  const char *name;
  /* Makes it. NULL when an earlier item has. */
  void (*prepare)(void);
  /* Says by HOLDS and WORKS what is not as it was. */
  void (*look)(void);
  /* Changes it so that look must find fault. */
  void (*damage)(void);
};

/* A file of the program's own directory. */
static inline const char *own_path(const char *name) {
  static _Thread_local char path[4][600];
  static _Thread_local int next;
  next = (next + 1) % 4;
  snprintf(path[next], sizeof path[next], "%s/%s", report_directory, name);
  return path[next];
}

static inline void *thread_that_waits(void *tid) {
  atomic_store((atomic_int *) tid, (int) syscall(SYS_gettid));
  for (;;) pause();
  return NULL;
}

/* Starts a thread that does nothing for good; returns its id. */
static inline pid_t thread_begin(void) {
  static atomic_int tid;
  pthread_t thread;
  atomic_store(&tid, 0);
  MUST(pthread_create(&thread, NULL, thread_that_waits, &tid) == 0 ? 0 : -1);
  while (atomic_load(&tid) == 0) usleep(1000);
  return (pid_t) atomic_load(&tid);
}

/* --- children that are asked ------------------------------------------------------------------------------------------------------------- */

/* A process that does as it is told: 'l' look, 'd' damage. */
struct child {
  pid_t pid;
  int order[2], answer[2];
};

/* Forks a child that calls prepare, and then look or damage as it is told. Returns when it has prepared. */
static inline struct child child_begin(void (*prepare)(void), void (*look)(void), void (*damage)(void)) {
  struct child child;
  MUST(pipe2(child.order, O_CLOEXEC));
  MUST(pipe2(child.answer, O_CLOEXEC));
  child.pid = (pid_t) MUST(fork());
  if (child.pid == 0) {
    close(child.order[1]);
    close(child.answer[0]);
    if (prepare != NULL) prepare();
    item_fault[0] = 0;
    for (;;) {
      char order;
      if (write(child.answer[1], item_fault, sizeof item_fault) != sizeof item_fault) _exit(4);
      ssize_t got = read(child.order[0], &order, 1);
      if (got != 1) _exit(got == 0 ? 0 : 4);
      item_fault[0] = 0;
      if (order == 'l') look();
      if (order == 'd') damage();
    }
  }
  close(child.order[0]);
  close(child.answer[1]);
  char nothing[FAULT_ROOM];
  if (read(child.answer[0], nothing, sizeof nothing) != sizeof nothing) {
    fprintf(stderr, "a child cannot prepare\n");
    exit(2);
  }
  return child;
}

static inline void child_order(struct child *child, char order) {
  char fault[FAULT_ROOM];
  if (WORKS(write(child->order[1], &order, 1)) != 1) return;
  ssize_t got = read(child->answer[0], fault, sizeof fault);
  HOLDS(got == sizeof fault, "child %d does not answer: %s", child->pid, got == 0 ? "it is gone" : strerror(errno));
  if (got == sizeof fault) HOLDS(fault[0] == 0, "in child %d: %s", child->pid, fault);
}

/* Has the child look; what it finds wrong becomes the item's fault. */
static inline void child_says(struct child *child) { child_order(child, 'l'); }

static inline void child_damages(struct child *child) { child_order(child, 'd'); }

/* --- the program ------------------------------------------------------------------------------------------------------------------------- */

static const struct item ITEMS[];
static const size_t ITEM_COUNT;

static void look_everywhere(int number) {
  static char text[64 * 1024];
  CHECK(number == asked_number + 1, "asked for look %d after look %d", number, asked_number);
  asked_number = number;
  size_t length = (size_t) snprintf(text, sizeof text, "asked=%d\n", number);
  for (size_t i = 0; i < ITEM_COUNT && length + FAULT_ROOM + 100 < sizeof text; i++) {
    item_fault[0] = 0;
    ITEMS[i].look();
    atomic_fetch_add(&report_checks, 1);
    length += (size_t) (item_fault[0] == 0 ? snprintf(text + length, sizeof text - length, "ok %s\n", ITEMS[i].name)
                                           : snprintf(text + length, sizeof text - length, "FAIL %s: %s\n", ITEMS[i].name, item_fault));
    if (item_fault[0] != 0) error_found("FAIL %s: %s", ITEMS[i].name, item_fault);
  }
  replace_file("report", text, length);
}

int main(int count, char **arguments) {
  if (count < 2) return 2;
  report_begin(arguments[1]);
  for (size_t i = 0; i < ITEM_COUNT; i++) {
    if (ITEMS[i].prepare != NULL) ITEMS[i].prepare();
  }
  char text[8192], word[64];
  size_t length = 0;
  for (size_t i = 0; i < ITEM_COUNT; i++) length += (size_t) snprintf(text + length, sizeof text - length, "%s\n", ITEMS[i].name);
  replace_file("items", text, length);
  for (;;) {
    struct timespec pause = timespec_of(10 * MS);
    nanosleep(&pause, NULL);
    if (corrupt_wanted(word)) {
      for (size_t i = 0; i < ITEM_COUNT; i++) {
        if (strcmp(ITEMS[i].name, word) == 0) ITEMS[i].damage();
      }
    }
    if (asked("ask") && read_word("ask", word, sizeof word) && atoi(word) != asked_number) look_everywhere(atoi(word));
    write_status("");
    if (asked("finish")) {
      look_everywhere(asked_number + 1);
      report_end();
    }
  }
}

/* Last line of every program: the items, and main. */
#define KIND(...)                                                                                    \
  static const struct item ITEMS[] = {__VA_ARGS__};                                                  \
  static const size_t ITEM_COUNT = sizeof ITEMS / sizeof ITEMS[0]

#endif
