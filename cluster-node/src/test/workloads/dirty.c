/*
 * A program that holds much memory and writes pages of it at a chosen rate, so that a move of it lasts as long as a test needs: every
 * page says who it is and which generation it has, a second thread reads pages and checks them.
 *
 * usage: dirty DIRECTORY MEBIBYTES PAGES_PER_SECOND     corrupt: page
 */
#include "report.h"

#include <sys/mman.h>

#define PAGE 4096ull
#define WORDS (PAGE / 8)
#define STACK (128 * 1024)
#define STRIPES 64

static uint64_t *memory, pages, rate;
static uint32_t *generation;
static pthread_mutex_t stripe[STRIPES];
static atomic_ulong written;

static uint64_t word_of(uint64_t page, uint32_t version, uint64_t word) { return mix(page << 24 ^ version) + word * 0x9e3779b97f4a7c15ull; }

static void write_page(uint64_t page) {
  uint64_t *at = memory + page * WORDS, first = word_of(page, ++generation[page], 0);
  for (uint64_t word = 0; word < WORDS; word++) at[word] = first + word * 0x9e3779b97f4a7c15ull;
}

static void check_page(uint64_t page) {
  uint64_t *at = memory + page * WORDS, first = word_of(page, generation[page], 0), bad = WORDS;
  for (uint64_t word = 0; word < WORDS; word++) {
    if (at[word] != first + word * 0x9e3779b97f4a7c15ull && bad == WORDS) bad = word;
  }
  CHECK(bad == WORDS, "word %lu of page %lu does not hold generation %u", bad, page, generation[page]);
}

static void *write_pages(void *nothing) {
  (void) nothing;
  uint64_t random = mix(3), due = 0, started = now_ns();
  for (;;) {
    struct timespec pause = timespec_of(2 * MS);
    if (nanosleep(&pause, NULL) != 0) error_found("the writer's nanosleep ended with %s", strerror(errno));
    uint64_t wanted = (now_ns() - started) / MS * rate / 1000;
    /* What a pause has left undone is not made up for. */
    if (wanted > due + rate / 20 + 1) due = wanted - rate / 20 - 1;
    for (; due < wanted; due++) {
      uint64_t page = next_random(&random) % pages;
      pthread_mutex_lock(&stripe[page % STRIPES]);
      write_page(page);
      pthread_mutex_unlock(&stripe[page % STRIPES]);
      written++;
    }
  }
  return NULL;
}

static void *read_pages(void *nothing) {
  (void) nothing;
  for (uint64_t page = 0;; page = page + 1 < pages ? page + 1 : 0) {
    pthread_mutex_lock(&stripe[page % STRIPES]);
    check_page(page);
    pthread_mutex_unlock(&stripe[page % STRIPES]);
    if (page % 64 == 0) {
      struct timespec pause = timespec_of(MS);
      nanosleep(&pause, NULL);
    }
  }
  return NULL;
}

int main(int count, char **arguments) {
  if (count < 4) return 2;
  report_begin(arguments[1]);
  pages = strtoull(arguments[2], NULL, 10) * 256;
  rate = strtoull(arguments[3], NULL, 10);
  memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  generation = calloc(pages, sizeof *generation);
  if (memory == MAP_FAILED || generation == NULL) return 2;
  for (int i = 0; i < STRIPES; i++) pthread_mutex_init(&stripe[i], NULL);
  for (uint64_t page = 0; page < pages; page++) write_page(page);
  start_thread(watch_gaps, NULL, STACK);
  start_thread(read_pages, NULL, STACK);
  start_thread(write_pages, NULL, STACK);
  for (;;) {
    struct timespec pause = timespec_of(10 * MS);
    if (nanosleep(&pause, NULL) != 0) error_found("the first thread's nanosleep ended with %s", strerror(errno));
    char what[64], extra[64];
    if (corrupt_wanted(what)) {
      uint64_t page = pages / 2;
      pthread_mutex_lock(&stripe[page % STRIPES]);
      memory[page * WORDS + 7]++;
      check_page(page);
      memory[page * WORDS + 7]--;
      pthread_mutex_unlock(&stripe[page % STRIPES]);
    }
    snprintf(extra, sizeof extra, "written=%lu\n", (unsigned long) written);
    write_status(extra);
    if (asked("finish")) {
      for (uint64_t page = 0; page < pages; page++) {
        pthread_mutex_lock(&stripe[page % STRIPES]);
        check_page(page);
        pthread_mutex_unlock(&stripe[page % STRIPES]);
      }
      report_end();
    }
  }
}
