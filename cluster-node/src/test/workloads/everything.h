/* The frame of the program that has one of everything: items, the processes they live in, and how those are asked. */
#ifndef EVERYTHING_H
#define EVERYTHING_H

#include "holds.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096ull
#define ITEMS_MAX 128
#define THREAD_STACK (128 * 1024)

/* Processes of the tree; see everything_tree.h for who is whose parent. */
enum role { MAIN, LEADER, MEMBER, SIBLING, ORPHAN, CREDENTIALS, LIMITS, ROLES };

struct item {
  enum role role;
  const char *name;
  void (*prepare)(void);
  void (*look)(void);
  void (*damage)(void);
};

typedef void adder(enum role role, const char *name, void (*prepare)(void), void (*look)(void), void (*damage)(void));

struct order {
  char verb; /* l: look, d: damage */
  int number;
  char name[56];
};

static int order_pipe[ROLES][2], answer_pipe[ROLES][2];
/* In shared memory, so that everybody knows everybody. */
static pid_t *process_of;

/* Prepares the items of a process that is not the first, and obeys orders until the end. */
__attribute__((noreturn)) static void serve(enum role role);

static inline bool all_zero(const void *at, uint64_t bytes) {
  for (uint64_t word = 0; word < bytes / 8; word++) {
    if (((const volatile uint64_t *) at)[word] != 0) return false;
  }
  return true;
}

/* Reads a whole file without touching the heap; returns its length, which is cut to the room. */
static inline ssize_t slurp(const char *path, char *into, size_t room) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return -1;
  size_t length = 0;
  for (;;) {
    ssize_t got = read(file, into + length, room - 1 - length);
    if (got <= 0) break;
    length += (size_t) got;
  }
  close(file);
  into[length] = 0;
  return (ssize_t) length;
}

/* Finds "key:\tvalue" in a file of /proc. */
static inline bool proc_field(const char *path, const char *key, char *into, size_t room) {
  static char text[1 << 16];
  if (slurp(path, text, sizeof text) < 0) return false;
  char wanted[80];
  snprintf(wanted, sizeof wanted, "\n%s:", key);
  char *found = strncmp(text, wanted + 1, strlen(wanted) - 1) == 0 ? text - 1 : strstr(text, wanted);
  if (found == NULL) return false;
  found += strlen(wanted);
  while (*found == ' ' || *found == '\t') found++;
  size_t length = strcspn(found, "\n");
  if (length >= room) length = room - 1;
  memcpy(into, found, length);
  into[length] = 0;
  return true;
}

#endif
