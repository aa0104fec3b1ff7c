/*
 * A program that would betray a second copy of itself: it appends consecutive numbers to a file through one descriptor, a number every two
 * milliseconds. Two copies that run would write some number twice, and one that went back in time as well. Meanwhile it rewrites and checks its memory,
 * and many threads sleep and look at how long they slept.
 *
 * usage: witness DIRECTORY MEBIBYTES THREADS     corrupt: page, number
 */
#include "report.h"

#include <sys/mman.h>

#define PAGE 4096ull
#define WORDS (PAGE / 8)
#define STACK (64 * 1024)
#define STEP (2 * MS)
#define REWRITES_PER_STEP 16
#define CHECKS_PER_STEP 32
/* How much later than asked for a sleep may end beyond the gaps that the watch has seen meanwhile: two busy cores, hundreds of threads. */
#define LATE_MAX (1500 * MS)

static uint64_t *memory, pages;
static uint32_t *versions;

static uint64_t word_of(uint64_t page, uint64_t word) { return mix(page << 20 ^ versions[page]) + word; }

static void write_page(uint64_t page) {
  for (uint64_t word = 0; word < WORDS; word++) memory[page * WORDS + word] = word_of(page, word);
}

static void check_page(uint64_t page) {
  const volatile uint64_t *at = memory + page * WORDS;
  for (uint64_t word = 0; word < WORDS; word += 63) {
    if (at[word] != word_of(page, word)) {
      error_found("page %lu holds %016lx instead of %016lx at word %lu", page, at[word], word_of(page, word), word);
      return;
    }
  }
  atomic_fetch_add_explicit(&report_checks, 1, memory_order_relaxed);
}

static void *sleeper(void *argument) {
  uint64_t random = mix((uint64_t) argument);
  for (;;) {
    uint64_t asked_ns = MS + next_random(&random) % (80 * MS), gaps = atomic_load(&report_all_gaps_ns), before = now_ns();
    struct timespec pause = timespec_of(asked_ns);
    if (nanosleep(&pause, NULL) != 0) error_found("a nanosleep ended with %s", strerror(errno));
    uint64_t slept = now_ns() - before;
    CHECK(slept >= asked_ns, "a sleep of %lu ns ended after %lu ns", asked_ns, slept);
    CHECK(!late_beyond_gaps(slept - asked_ns, LATE_MAX, gaps), "a sleep of %lu ns ended after %lu ns", asked_ns, slept);
  }
  return NULL;
}

int main(int count, char **arguments) {
  if (count < 4) return 2;
  report_begin(arguments[1]);
  pages = strtoull(arguments[2], NULL, 10) * 256;
  memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  versions = calloc(pages, sizeof *versions);
  if (memory == MAP_FAILED || versions == NULL) return 2;
  for (uint64_t page = 0; page < pages; page++) write_page(page);
  char path[600];
  report_path(path, "journal");
  int journal = (int) MUST(open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  start_thread(watch_gaps, NULL, STACK);
  for (long i = 0; i < atol(arguments[3]); i++) start_thread(sleeper, (void *) (i + 1), STACK);
  uint64_t random = mix(7), cursor = 0, status_due = 0;
  for (uint64_t number = 1;; number++) {
    char line[32];
    int length = snprintf(line, sizeof line, "%lu\n", number);
    if (write(journal, line, (size_t) length) != length) error_found("appending number %lu: %s", number, strerror(errno));
    for (int i = 0; i < REWRITES_PER_STEP; i++) {
      uint64_t page = next_random(&random) % pages;
      check_page(page);
      versions[page]++;
      write_page(page);
    }
    for (int i = 0; i < CHECKS_PER_STEP; i++, cursor = (cursor + 1) % pages) check_page(cursor);
    char what[64];
    if (corrupt_wanted(what)) {
      if (strcmp(what, "page") == 0) memory[cursor * WORDS] ^= 1;
      if (strcmp(what, "number") == 0) number++;
    }
    if (now_ns() >= status_due) {
      status_due = now_ns() + 20 * MS;
      write_status("");
      /* A console that grows travels too, and needs room on the destination. A full disk is no error of this program. */
      printf("%0200lu\n", number);
      if (asked("finish")) {
        for (uint64_t page = 0; page < pages; page++) check_page(page);
        int copy = open(path, O_RDONLY | O_CLOEXEC);
        FILE *lines = fdopen(copy, "r");
        uint64_t wanted = 1, found;
        while (lines != NULL && fscanf(lines, "%lu", &found) == 1) {
          CHECK(found == wanted, "the journal has number %lu where %lu should be", found, wanted);
          if (found != wanted) break;
          wanted++;
        }
        CHECK(wanted == number + 1, "the journal has %lu numbers instead of %lu", wanted - 1, number);
        report_end();
      }
    }
    struct timespec pause = timespec_of(STEP);
    nanosleep(&pause, NULL);
  }
}
