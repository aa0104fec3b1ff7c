/*
 * A process whose address space, threads and children change without pause: mappings come, grow, move, shrink, lose their pages and
 * their rights; children and grandchildren are forked and end; threads start and end; one child replaces itself by exec again and
 * again. Every page's content follows from its region, place and generation, so all of it can be checked at any time.
 *
 * usage: churn DIRECTORY MEBIBYTES     corrupt: page, dropped, child, exec
 */
#include "report.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PAGE 4096ull
#define WORDS (PAGE / 8)
#define REGIONS 48
#define REGION_PAGES_MAX 1024
#define CHURNERS 2
#define STACK (256 * 1024)
/* A damaged page may be dropped or made unreadable before anybody looks at it, so one alone proves little. */
#define DAMAGES 20

struct region {
  uint64_t *at;
  uint64_t id, pages;
  bool readable, writable, shared;
  uint32_t generation[REGION_PAGES_MAX]; /* 0: never written or dropped, so all zero */
};

static struct churner {
  struct region regions[REGIONS];
  uint64_t random, next_id, pages_held, pages_max;
  atomic_ulong operations;
  pthread_mutex_t mutex; /* held during every operation; the forking thread takes it so that children see whole states */
} churners[CHURNERS];
static atomic_int corrupt_page, corrupt_dropped, corrupt_child;
static atomic_ulong children_ended, threads_ended;
static char *program;

static uint64_t word_of(uint64_t id, uint64_t page, uint32_t generation, uint64_t word) {
  return (mix(id ^ (page << 32)) + generation) * 0x9e3779b97f4a7c15ull + word * 0x2545f4914f6cdd1dull;
}

static void write_page(struct region *region, uint64_t page, uint32_t generation) {
  uint64_t *at = region->at + page * WORDS, first = word_of(region->id, page, generation, 0);
  for (uint64_t word = 0; word < WORDS; word++) at[word] = first + word * 0x2545f4914f6cdd1dull;
  region->generation[page] = generation;
}

static bool page_holds(const struct region *region, uint64_t page) {
  const volatile uint64_t *at = region->at + page * WORDS;
  uint32_t generation = region->generation[page];
  uint64_t first = generation == 0 ? 0 : word_of(region->id, page, generation, 0), step = generation == 0 ? 0 : 0x2545f4914f6cdd1dull;
  for (uint64_t word = 0; word < WORDS; word++) {
    if (at[word] != first + word * step) return false;
  }
  return true;
}

static void verify(const struct region *region, uint64_t page, const char *who) {
  if (!region->readable) return;
  CHECK(page_holds(region, page), "%s: page %lu of %lu at %p does not hold generation %u (first word %016lx)", who, page, region->pages,
      (void *) (region->at + page * WORDS), region->generation[page], region->at[page * WORDS]);
}

static int rights_of(const struct region *region) { return (region->readable ? PROT_READ : 0) | (region->writable ? PROT_WRITE : 0); }

/* ---- operations on one region ---- */

static void map_region(struct churner *churner, struct region *region) {
  uint64_t *random = &churner->random, left = churner->pages_max - churner->pages_held;
  uint64_t pages = 1 + next_random(random) % (next_random(random) % 4 == 0 ? REGION_PAGES_MAX : 64);
  if (pages > left) return;
  int kind = (int) (next_random(random) % 6), flags = MAP_ANONYMOUS | (kind == 0 ? MAP_SHARED : MAP_PRIVATE) | (kind == 1 ? MAP_POPULATE : 0)
      | (kind == 2 ? MAP_NORESERVE : 0);
  void *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (at == MAP_FAILED) {
    error_found("mmap of %lu pages: %s", pages, strerror(errno));
    return;
  }
  if (kind == 3 && pages >= 512) madvise(at, pages * PAGE, MADV_HUGEPAGE);
  memset(region->generation, 0, sizeof region->generation);
  region->at = at;
  region->pages = pages;
  region->id = churner->next_id++;
  region->readable = region->writable = true;
  region->shared = kind == 0;
  churner->pages_held += pages;
  for (uint64_t page = 0; page < pages; page++) {
    if (next_random(random) % 3 != 0) write_page(region, page, 1 + (uint32_t) (next_random(random) % 1000));
  }
}

static void unmap_pages(struct churner *churner, struct region *region, uint64_t keep) {
  for (uint64_t page = keep; page < region->pages; page++) verify(region, page, "before munmap");
  if (munmap(region->at + keep * WORDS, (region->pages - keep) * PAGE) != 0) error_found("munmap: %s", strerror(errno));
  churner->pages_held -= region->pages - keep;
  region->pages = keep;
  if (keep == 0) region->at = NULL;
}

static void resize_or_move(struct churner *churner, struct region *region) {
  uint64_t *random = &churner->random, pages = 1 + next_random(random) % REGION_PAGES_MAX, old = region->pages;
  if (pages > old && churner->pages_held + pages - old > churner->pages_max) pages = old;
  /* The memory object behind a shared mapping neither grows nor forgets. */
  if (region->shared) pages = old;
  void *at;
  if (next_random(random) % 2 == 0) {
    at = mremap(region->at, old * PAGE, pages * PAGE, MREMAP_MAYMOVE);
  } else {
    /* To a place of our choosing, which is a fresh hole. */
    void *place = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    at = mremap(region->at, old * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
  }
  if (at == MAP_FAILED) {
    error_found("mremap from %lu to %lu pages: %s", old, pages, strerror(errno));
    return;
  }
  region->at = at;
  for (uint64_t page = old; page < pages; page++) region->generation[page] = 0;
  churner->pages_held += pages - old;
  region->pages = pages;
}

/* Whether one of the damages that were ordered is still to be done. */
static bool due(atomic_int *damages) { return atomic_load(damages) > 0 && atomic_fetch_sub(damages, 1) > 0; }

static void step(struct churner *churner) {
  uint64_t *random = &churner->random;
  struct region *region = &churner->regions[next_random(random) % REGIONS];
  if (region->at == NULL) {
    map_region(churner, region);
    return;
  }
  uint64_t first = next_random(random) % region->pages, count = 1 + next_random(random) % (region->pages - first);
  if (count > 64) count = 64;
  switch (next_random(random) % 12) {
    case 0:
      unmap_pages(churner, region, next_random(random) % 2 == 0 ? 0 : first);
      break;
    case 1:
      resize_or_move(churner, region);
      break;
    case 2:
      /* Would not clear the pages of a shared mapping. */
      if (region->shared) break;
      if (madvise(region->at + first * WORDS, count * PAGE, MADV_DONTNEED) != 0) error_found("MADV_DONTNEED: %s", strerror(errno));
      for (uint64_t page = first; page < first + count; page++) region->generation[page] = 0;
      break;
    case 3:
      region->readable = next_random(random) % 4 != 0;
      region->writable = region->readable && next_random(random) % 2 == 0;
      if (mprotect(region->at, region->pages * PAGE, rights_of(region)) != 0) error_found("mprotect: %s", strerror(errno));
      break;
    case 4:
    case 5:
    case 6:
    case 7:
      if (!region->writable) {
        region->readable = region->writable = true;
        if (mprotect(region->at, region->pages * PAGE, rights_of(region)) != 0) error_found("mprotect: %s", strerror(errno));
      }
      if (count > 16) count = 16;
      for (uint64_t page = first; page < first + count; page++) {
        verify(region, page, "before a write");
        write_page(region, page, region->generation[page] + 1);
      }
      break;
    default:
      for (uint64_t page = first; page < first + count; page++) verify(region, page, "in passing");
      break;
  }
  if (region->at != NULL && region->writable && due(&corrupt_page)) {
    write_page(region, 0, 1);
    region->at[100] ^= 1;
  }
  if (region->at != NULL && region->writable && due(&corrupt_dropped)) {
    /* As if a page that was dropped had come back with its old content. */
    write_page(region, 0, 1);
    region->generation[0] = 0;
  }
}

static void *churn(void *argument) {
  struct churner *churner = argument;
  for (;;) {
    pthread_mutex_lock(&churner->mutex);
    for (int i = 0; i < 8; i++) step(churner);
    atomic_fetch_add(&churner->operations, 8);
    pthread_mutex_unlock(&churner->mutex);
    struct timespec pause = timespec_of(3 * MS);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

/* ---- children ---- */

/* What a child does with its copy of everything: look, write some of it, look again, live for a while, end with a number. */
static void child_main(uint64_t random) {
  int status = 10 + (int) (next_random(&random) % 100);
  for (int i = 0; i < CHURNERS; i++) {
    struct churner *churner = &churners[i];
    for (int look = 0; look < 40; look++) {
      struct region *region = &churner->regions[next_random(&random) % REGIONS];
      /* The parent goes on writing what is shared. */
      if (region->at == NULL || region->shared) continue;
      uint64_t page = next_random(&random) % region->pages;
      verify(region, page, "a child's copy");
    }
  }
  struct region own = {.pages = 32, .readable = true, .writable = true, .id = random};
  own.at = mmap(NULL, own.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint64_t page = 0; page < own.pages; page++) write_page(&own, page, 3);
  pid_t grandchild = 0;
  if (next_random(&random) % 3 == 0) {
    grandchild = fork();
    if (grandchild == 0) {
      struct timespec life = timespec_of((next_random(&random) % 200) * MS);
      nanosleep(&life, NULL);
      for (uint64_t page = 0; page < own.pages; page++) verify(&own, page, "a grandchild's copy");
      _exit(11);
    }
  }
  struct timespec life = timespec_of((next_random(&random) % 400) * MS);
  if (nanosleep(&life, NULL) != 0) error_found("a child's nanosleep ended with %s", strerror(errno));
  for (uint64_t page = 0; page < own.pages; page++) verify(&own, page, "a child's own pages");
  if (grandchild > 0) {
    int ended;
    if (waitpid(grandchild, &ended, 0) != grandchild || !WIFEXITED(ended) || WEXITSTATUS(ended) != 11) {
      error_found("grandchild %d ended with status 0x%x", grandchild, ended);
    }
  }
  _exit(status);
}

static void *fork_children(void *nothing) {
  (void) nothing;
  uint64_t random = mix(321);
  for (uint64_t number = 0;; number++) {
    pid_t child[4];
    int wanted[4], alive = 1 + (int) (next_random(&random) % 4);
    for (int i = 0; i < alive; i++) {
      uint64_t seed = next_random(&random), copy = seed;
      wanted[i] = 10 + (int) (next_random(&copy) % 100);
      for (int c = 0; c < CHURNERS; c++) pthread_mutex_lock(&churners[c].mutex);
      child[i] = fork();
      if (child[i] == 0) child_main(seed);
      for (int c = 0; c < CHURNERS; c++) pthread_mutex_unlock(&churners[c].mutex);
      if (child[i] < 0) error_found("fork: %s", strerror(errno));
    }
    if (atomic_exchange(&corrupt_child, 0)) kill(child[0], SIGKILL);
    for (int i = 0; i < alive; i++) {
      int status;
      pid_t gone = waitpid(child[i], &status, 0);
      CHECK(gone == child[i] && WIFEXITED(status) && WEXITSTATUS(status) == wanted[i], "child %d (waitpid says %d) ended with status 0x%x instead of exit %d",
          child[i], gone, status, wanted[i]);
      atomic_fetch_add(&children_ended, 1);
    }
  }
  return NULL;
}

/* ---- threads ---- */

static __thread uint64_t own_words[64];

static void *short_life(void *argument) {
  uint64_t me = (uint64_t) argument;
  for (uint64_t i = 0; i < 64; i++) {
    CHECK(own_words[i] == 0, "thread-local memory of a new thread holds %016lx", own_words[i]);
    own_words[i] = mix(me + i);
  }
  struct timespec life = timespec_of((me % 60) * MS);
  if (nanosleep(&life, NULL) != 0) error_found("a thread's nanosleep ended with %s", strerror(errno));
  for (uint64_t i = 0; i < 64; i++) CHECK(own_words[i] == mix(me + i), "thread-local memory changed to %016lx", own_words[i]);
  return (void *) mix(me);
}

static void *start_threads(void *nothing) {
  (void) nothing;
  for (uint64_t number = 1;; number += 8) {
    pthread_t thread[8];
    for (uint64_t i = 0; i < 8; i++) thread[i] = start_thread(short_life, (void *) (number + i), STACK);
    for (uint64_t i = 0; i < 8; i++) {
      void *result;
      int failed = pthread_join(thread[i], &result);
      CHECK(failed == 0 && result == (void *) mix(number + i), "thread %lu ended with %p (%s)", number + i, result, strerror(failed));
      atomic_fetch_add(&threads_ended, 1);
    }
    struct timespec pause = timespec_of(5 * MS);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

/* ---- exec ---- */

struct carried {
  uint64_t generation, check;
  pid_t process;
};

/* Runs once per exec: checks what came through, fills some memory, lives for a while, tells the number, execs itself. */
static int exec_main(char **arguments) {
  int carrier = atoi(arguments[3]), teller = atoi(arguments[4]);
  uint64_t generation = strtoull(arguments[5], NULL, 10), random = mix(generation);
  struct carried carried;
  CHECK(pread(carrier, &carried, sizeof carried, 0) == sizeof carried && carried.generation == generation
          && carried.check == mix(generation) && carried.process == getpid(),
      "after exec number %lu, process %d found number %lu of process %d", generation, getpid(), carried.generation, carried.process);
  struct region own = {.pages = 256, .readable = true, .writable = true, .id = generation};
  own.at = mmap(NULL, own.pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint64_t page = 0; page < own.pages; page++) {
    verify(&own, page, "a fresh mapping after exec");
    write_page(&own, page, 5);
  }
  struct timespec life = timespec_of((next_random(&random) % 500) * MS);
  if (nanosleep(&life, NULL) != 0) error_found("nanosleep between two execs ended with %s", strerror(errno));
  for (uint64_t page = 0; page < own.pages; page++) verify(&own, page, "a mapping before exec");
  generation++;
  carried = (struct carried) {generation, mix(generation), getpid()};
  MUST(pwrite(carrier, &carried, sizeof carried, 0));
  MUST(write(teller, &generation, sizeof generation));
  char number[32];
  snprintf(number, sizeof number, "%lu", generation);
  char *next[] = {arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], number, NULL};
  execv("/proc/self/exe", next);
  error_found("exec: %s", strerror(errno));
  return 1;
}

static pid_t start_exec_child(int teller) {
  char *name = strdup(program);
  int carrier = (int) MUST(memfd_create("carried", 0));
  char carrier_text[16], teller_text[16];
  snprintf(carrier_text, sizeof carrier_text, "%d", carrier);
  snprintf(teller_text, sizeof teller_text, "%d", teller);
  pid_t child = (pid_t) MUST(fork());
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct carried carried = {0, mix(0), getpid()};
    MUST(pwrite(carrier, &carried, sizeof carried, 0));
    char *arguments[] = {name, report_directory, "exec", carrier_text, teller_text, "0", NULL};
    execv(program, arguments);
    _exit(2);
  }
  close(carrier);
  return child;
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  report_begin(arguments[1]);
  if (strcmp(arguments[2], "exec") == 0) return exec_main(arguments);
  static char resolved[600];
  ssize_t length = readlink("/proc/self/exe", resolved, sizeof resolved - 1);
  if (length <= 0) return 2;
  program = resolved;
  int teller[2];
  MUST(pipe(teller));
  pid_t exec_child = start_exec_child(teller[1]);
  MUST(fcntl(teller[0], F_SETFL, O_NONBLOCK));
  for (int i = 0; i < CHURNERS; i++) {
    churners[i].random = mix((uint64_t) i);
    churners[i].next_id = (uint64_t) i << 32;
    churners[i].pages_max = strtoull(arguments[2], NULL, 10) * 256 / CHURNERS;
    pthread_mutex_init(&churners[i].mutex, NULL);
    start_thread(churn, &churners[i], STACK);
  }
  start_thread(watch_gaps, NULL, STACK);
  start_thread(fork_children, NULL, STACK);
  start_thread(start_threads, NULL, STACK);
  uint64_t execs = 0, told = now_ns(), moved[4] = {0}, moved_at[4] = {told, told, told, told};
  char corrupted[64] = "";
  for (;;) {
    struct timespec pause = timespec_of(20 * MS);
    nanosleep(&pause, NULL);
    uint64_t generation;
    while (read(teller[0], &generation, sizeof generation) == sizeof generation) {
      if (strcmp(corrupted, "exec") == 0) generation++;
      CHECK(generation == execs + 1, "exec number %lu followed number %lu", generation, execs);
      execs = generation;
    }
    int status;
    CHECK(waitpid(exec_child, &status, WNOHANG) == 0, "the child that execs itself has ended with status 0x%x", status);
    uint64_t operations = churners[0].operations + churners[1].operations, progress[4] = {operations, children_ended, threads_ended, execs};
    for (int i = 0; i < 4; i++) {
      if (progress[i] != moved[i]) moved_at[i] = now_ns(), moved[i] = progress[i];
      CHECK(now_ns() - moved_at[i] < 15 * SECOND, "%s have stopped at %lu", (const char *[]) {"mappings", "children", "threads", "execs"}[i], progress[i]);
    }
    char extra[512];
    if (corrupt_wanted(corrupted)) {
      if (strcmp(corrupted, "page") == 0) corrupt_page = DAMAGES;
      if (strcmp(corrupted, "dropped") == 0) corrupt_dropped = DAMAGES;
      if (strcmp(corrupted, "child") == 0) corrupt_child = 1;
    }
    snprintf(extra, sizeof extra, "operations=%lu\npages=%lu\nchildren=%lu\nthreads=%lu\nexecs=%lu\n", operations,
        churners[0].pages_held + churners[1].pages_held, children_ended, threads_ended, execs);
    write_status(extra);
    if (asked("finish")) {
      for (int i = 0; i < CHURNERS; i++) {
        pthread_mutex_lock(&churners[i].mutex);
        for (int r = 0; r < REGIONS; r++) {
          struct region *region = &churners[i].regions[r];
          for (uint64_t page = 0; region->at != NULL && page < region->pages; page++) verify(region, page, "at the end");
        }
      }
      kill(exec_child, SIGKILL);
      report_end();
    }
  }
}
