/*
 * What the test programs share: how they tell the outside how they are, and how they are told what to do. All of it is files in one
 * directory, so that it works over any move and needs no connection:
 *
 *   status    "key=value" lines, replaced atomically; "beat" counts up as long as the program lives
 *   errors    one sentence per error, appended when it is found; not there while nothing is wrong
 *   corrupt   made by a test: the program damages its own state (what exactly: the file's content) and must find the damage
 *   finish    made by a test: the program looks at everything once more, writes "verdict" and exits with 0 or 1
 *
 * Errors go to the file at once and are never only in memory: memory is what is being tested.
 */
#ifndef REPORT_H
#define REPORT_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ul
#define SECOND 1000000000ul

static char report_directory[512];
static atomic_ulong report_beats, report_checks, report_errors;
static atomic_ulong report_max_gap_ns;
/* All gaps of more than GAP_COUNTS together: what several moves during one wait add to it. */
static atomic_ulong report_all_gaps_ns, report_gaps;
#define GAP_COUNTS (10 * MS)
static uint64_t report_started_ns;

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t) t.tv_sec * SECOND + (uint64_t) t.tv_nsec;
}

static inline struct timespec timespec_of(uint64_t ns) {
  return (struct timespec) {.tv_sec = (time_t) (ns / SECOND), .tv_nsec = (long) (ns % SECOND)};
}

/* splitmix64: every state follows from a number, so content can be checked without remembering it. */
static inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

static inline uint64_t next_random(uint64_t *state) { return mix((*state)++); }

/* Ends the program when the test itself cannot be set up; never used for a check. */
#define MUST(expression)                                                                             \
  ({                                                                                                 \
    long must_result = (long) (expression);                                                          \
    if (must_result == -1) {                                                                         \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, strerror(errno));          \
      exit(2);                                                                                       \
    }                                                                                                \
    must_result;                                                                                     \
  })

static inline void report_path(char path[600], const char *name) { snprintf(path, 600, "%s/%s", report_directory, name); }

/* Opened anew each time and not through stdio: works in a child, after a fork of threads, and with damaged memory. */
__attribute__((format(printf, 1, 2))) static void error_found(const char *format, ...) {
  char text[700];
  va_list arguments;
  va_start(arguments, format);
  int length = snprintf(text, 60, "process %d: ", getpid());
  length += vsnprintf(text + length, 600, format, arguments);
  va_end(arguments);
  if (length > 690) length = 690;
  text[length++] = '\n';
  /* A program that is thoroughly broken would fill the disk. */
  if (atomic_fetch_add(&report_errors, 1) < 200) {
    char path[600];
    report_path(path, "errors");
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0 || write(file, text, (size_t) length) != length) _exit(3);
    close(file);
    if (write(STDOUT_FILENO, text, (size_t) length) < 0) { /* the console is a courtesy */ }
  }
}

/* Counts a check and reports it when it does not hold. */
#define CHECK(condition, ...)                                                                        \
  do {                                                                                               \
    atomic_fetch_add_explicit(&report_checks, 1, memory_order_relaxed);                              \
    if (!(condition)) error_found(__VA_ARGS__);                                                      \
  } while (0)

static inline bool asked(const char *name) {
  char path[600];
  report_path(path, name);
  return access(path, F_OK) == 0;
}

/* Reads a small file of the directory; false when it is not there. Cuts the last line break. */
static inline bool read_word(const char *name, char *into, size_t room) {
  char path[600];
  report_path(path, name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  ssize_t got = read(file, into, room - 1);
  close(file);
  if (got < 0) return false;
  while (got > 0 && into[got - 1] == '\n') got--;
  into[got] = 0;
  return true;
}

/* True once, with what is to be damaged. */
static inline bool corrupt_wanted(char what[64]) {
  if (!asked("corrupt") || !read_word("corrupt", what, 64)) return false;
  char path[600], done[600];
  report_path(path, "corrupt");
  report_path(done, "corrupted");
  return rename(path, done) == 0;
}

static inline void replace_file(const char *name, const char *text, size_t length) {
  char path[600], fresh[620];
  report_path(path, name);
  snprintf(fresh, sizeof fresh, "%s.%d", path, getpid());
  int file = (int) MUST(open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (write(file, text, length) != (ssize_t) length) {
    error_found("writing %s: %s", name, strerror(errno));
  }
  close(file);
  MUST(rename(fresh, path));
}

/* Replaces the status file; "extra" are further lines of the program's own. */
static inline void write_status(const char *extra) {
  char text[4096];
  int length = snprintf(text, sizeof text, "pid=%d\nbeat=%lu\nchecks=%lu\nerrors=%lu\nmax_gap_ms=%.3f\nall_gaps_ms=%lu\nruns_ms=%lu\n%s", getpid(),
      ++report_beats, atomic_load(&report_checks), atomic_load(&report_errors), (double) atomic_load(&report_max_gap_ns) / 1e6,
      (unsigned long) (atomic_load(&report_all_gaps_ns) / MS), (unsigned long) ((now_ns() - report_started_ns) / MS), extra);
  replace_file("status", text, (size_t) length);
}

static inline void saw_gap(uint64_t gap_ns) {
  if (gap_ns > GAP_COUNTS) {
    atomic_fetch_add(&report_all_gaps_ns, gap_ns);
    atomic_fetch_add(&report_gaps, 1);
  }
  unsigned long seen = atomic_load(&report_max_gap_ns);
  while (gap_ns > seen && !atomic_compare_exchange_weak(&report_max_gap_ns, &seen, gap_ns)) {
  }
}

/*
 * Whether something came later than the gaps since its beginning explain; gaps_before is report_all_gaps_ns as it was then. Whoever runs first
 * after a gap asks before the watch has seen it, so the watch gets some time.
 */
static inline bool late_beyond_gaps(uint64_t late_ns, uint64_t tolerated_ns, uint64_t gaps_before_ns) {
  for (int i = 0; i < 20 && late_ns > tolerated_ns + atomic_load(&report_all_gaps_ns) - gaps_before_ns; i++) {
    struct timespec pause = timespec_of(20 * MS);
    nanosleep(&pause, NULL);
  }
  return late_ns > tolerated_ns + atomic_load(&report_all_gaps_ns) - gaps_before_ns;
}

/* Wakes up every millisecond and remembers how much longer it took than that. */
static inline void *watch_gaps(void *nothing) {
  (void) nothing;
  uint64_t before = now_ns();
  struct timespec millisecond = timespec_of(MS);
  for (;;) {
    if (nanosleep(&millisecond, NULL) != 0) error_found("the watch's nanosleep was interrupted: %s", strerror(errno));
    uint64_t after = now_ns();
    if (after < before) error_found("the monotonic clock went back by %lu ns", (unsigned long) (before - after));
    if (after - before > MS) saw_gap(after - before - MS);
    before = after;
  }
  return NULL;
}

static inline pthread_t start_thread(void *(*body)(void *), void *argument, size_t stack_bytes) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_t thread;
  int failed = pthread_create(&thread, &attributes, body, argument);
  if (failed != 0) {
    fprintf(stderr, "pthread_create: %s\n", strerror(failed));
    exit(2);
  }
  pthread_attr_destroy(&attributes);
  return thread;
}

/* Call first. */
static inline void report_begin(const char *directory) {
  snprintf(report_directory, sizeof report_directory, "%s", directory);
  report_started_ns = now_ns();
  setvbuf(stdout, NULL, _IOLBF, 0);
}

/* Writes the verdict and ends the process. */
static inline void report_end(void) {
  char text[256];
  bool clean = !asked("errors") && atomic_load(&report_errors) == 0 && atomic_load(&report_checks) > 0;
  int length = snprintf(text, sizeof text, "verdict=%s\nchecks=%lu\nerrors=%lu\nmax_gap_ms=%.3f\n", clean ? "ok" : "failed",
      atomic_load(&report_checks), atomic_load(&report_errors), (double) atomic_load(&report_max_gap_ns) / 1e6);
  replace_file("verdict", text, (size_t) length);
  printf("verdict: %s\n", clean ? "ok" : "failed");
  exit(clean ? 0 : 1);
}

#endif
