/*
 * A parent that fills memory and then forks children which go on using it: private memory that is shared copy-on-write, a table of
 * accounts in memory that all of them write, jobs through one pipe that all children read, answers through another. Children retire
 * after a while and are replaced, as prefork servers do.
 *
 * usage: prefork DIRECTORY PRIVATE_MIB SHARED_MIB CHILDREN     corrupt: private, shared, job, child
 */
#include "report.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096ull
#define WORDS (PAGE / 8)
#define CHILDREN_MAX 32
#define JOBS_WAITING 64
#define ACCOUNTS_OFFSET PAGE

struct job {
  uint64_t number, check;
};

/* Begins the shared memory; the accounts follow on the next page, the rest is numbered pages written by whoever comes. */
struct shared {
  pthread_mutex_t mutex;
  uint64_t transfers;
  uint64_t balance_sum;
  uint64_t accounts;
  atomic_uint corrupt_private, corrupt_shared, corrupt_job, corrupt_child;
  atomic_uint ending;
  atomic_ulong checks, errors;
  struct {
    atomic_ulong beats;
    atomic_ulong max_gap_ns;
  } child[CHILDREN_MAX];
};

static uint64_t *heap;
static uint64_t heap_pages, shared_bytes, shared_pages;
static struct shared *shared;
static int64_t *accounts;
static uint64_t *pages;
static int jobs[2], answers[2];
static pid_t parent;

/* Content of private page p as the parent (writer 0) or a child (its process id) has written it. */
static uint64_t word_of(uint64_t page, uint64_t word, uint64_t writer) { return mix(page * WORDS + word) ^ (writer * 0x9e3779b97f4a7c15ull); }

static void fill_page(uint64_t page, uint64_t writer) {
  for (uint64_t word = 0; word < WORDS; word++) heap[page * WORDS + word] = word_of(page, word, writer);
}

static bool page_holds(uint64_t page, uint64_t writer) {
  for (uint64_t word = 0; word < WORDS; word++) {
    if (heap[page * WORDS + word] != word_of(page, word, writer)) return false;
  }
  return true;
}

/* ---- shared memory: money moves between accounts, none is made or lost; numbered pages say who they are ---- */

static void transfer(uint64_t *random) {
  pthread_mutex_lock(&shared->mutex);
  uint64_t from = next_random(random) % shared->accounts, to = next_random(random) % shared->accounts;
  int64_t amount = (int64_t) (next_random(random) % 1000);
  accounts[from] -= amount;
  accounts[to] += amount;
  shared->transfers++;
  pthread_mutex_unlock(&shared->mutex);
}

static void check_accounts(void) {
  pthread_mutex_lock(&shared->mutex);
  int64_t sum = 0;
  for (uint64_t i = 0; i < shared->accounts; i++) sum += accounts[i];
  CHECK((uint64_t) sum == shared->balance_sum, "the accounts in shared memory sum up to %ld instead of %lu", sum, shared->balance_sum);
  pthread_mutex_unlock(&shared->mutex);
}

/* A numbered page: [sequence, page, contents…] under a lock of its own in the first word (odd while it is written). */
static void rewrite_shared_page(uint64_t *random) {
  uint64_t page = next_random(random) % shared_pages;
  _Atomic uint64_t *sequence = (_Atomic uint64_t *) &pages[page * WORDS];
  uint64_t before = atomic_load(sequence);
  if (before % 2 == 1 || !atomic_compare_exchange_strong(sequence, &before, before + 1)) return;
  for (uint64_t word = 1; word < WORDS; word++) {
    CHECK(pages[page * WORDS + word] == mix(before + page * 31 + word), "word %lu of shared page %lu is not what version %lu holds", word, page, before);
    pages[page * WORDS + word] = mix(before + 2 + page * 31 + word);
  }
  atomic_store(sequence, before + 2);
}

/* ---- children ---- */

static void child_main(int place, uint64_t retire_ns) {
  uint64_t random = mix((uint64_t) getpid() * 77 + now_ns()), me = (uint64_t) getpid(), quota = heap_pages / 64, own[512], owned = 0;
  pid_t mine = getpid();
  if (quota > 512) quota = 512;
  uint64_t born = now_ns(), before = born;
  struct pollfd work = {.fd = jobs[0], .events = POLLIN};
  while (now_ns() - born < retire_ns && !atomic_load(&shared->ending)) {
    CHECK(getppid() == parent && getpid() == mine, "a child became process %d with parent %d", getpid(), getppid());
    /* A page of its own now and then: the copy-on-write sharing must neither be lost nor let the write through to others. */
    if (owned < quota && next_random(&random) % 4 == 0) {
      uint64_t page = next_random(&random) % heap_pages;
      bool known = false;
      for (uint64_t i = 0; i < owned; i++) known |= own[i] == page;
      if (!known) {
        CHECK(page_holds(page, 0), "private page %lu is not the parent's before the first write", page);
        fill_page(page, me);
        own[owned++] = page;
      }
    }
    for (int look = 0; look < 64; look++) {
      uint64_t page = next_random(&random) % heap_pages;
      bool known = false;
      for (uint64_t i = 0; i < owned; i++) known |= own[i] == page;
      CHECK(page_holds(page, known ? me : 0), "private page %lu of a child does not hold what %s wrote", page, known ? "it" : "the parent");
    }
    for (int i = 0; i < 4; i++) transfer(&random);
    if (next_random(&random) % 16 == 0) check_accounts();
    for (int i = 0; i < 4; i++) rewrite_shared_page(&random);
    int ready = poll(&work, 1, 5);
    if (ready < 0) error_found("a child's poll ended with %s", strerror(errno));
    if (ready == 1) {
      struct job job;
      ssize_t got = read(jobs[0], &job, sizeof job);
      if (got == sizeof job) {
        CHECK(job.check == mix(job.number), "job %lu came through the pipe with a wrong checksum", job.number);
        job.check = mix(job.check);
        if (atomic_exchange(&shared->corrupt_job, 0)) job.check++;
        MUST(write(answers[1], &job, sizeof job));
      } else {
        CHECK(got == -1 && errno == EAGAIN, "a job of %zd bytes came through the pipe", got);
      }
    }
    if (atomic_exchange(&shared->corrupt_private, 0)) heap[next_random(&random) % heap_pages * WORDS + 5] ^= 1;
    struct timespec pause = timespec_of(2 * MS);
    if (nanosleep(&pause, NULL) != 0) error_found("a child's nanosleep ended with %s", strerror(errno));
    uint64_t after = now_ns();
    if (after - before > atomic_load(&shared->child[place].max_gap_ns)) atomic_store(&shared->child[place].max_gap_ns, after - before);
    before = after;
    atomic_fetch_add(&shared->child[place].beats, 1);
    if (atomic_exchange(&shared->corrupt_child, 0)) abort();
  }
  /* Everything once before it goes. */
  for (uint64_t page = 0; page < heap_pages; page++) {
    bool known = false;
    for (uint64_t i = 0; i < owned; i++) known |= own[i] == page;
    CHECK(page_holds(page, known ? me : 0), "private page %lu of a child does not hold what %s wrote", page, known ? "it" : "the parent");
  }
  atomic_fetch_add(&shared->checks, atomic_load(&report_checks));
  atomic_fetch_add(&shared->errors, atomic_load(&report_errors));
  _exit(17);
}

static pid_t spawn_child(int place, uint64_t retire_ns) {
  fflush(NULL);
  pid_t child = (pid_t) MUST(fork());
  if (child == 0) {
    atomic_store(&report_checks, 0);
    atomic_store(&report_errors, 0);
    child_main(place, retire_ns);
  }
  return child;
}

int main(int count, char **arguments) {
  if (count < 5) return 2;
  report_begin(arguments[1]);
  heap_pages = (uint64_t) atoll(arguments[2]) * 256;
  shared_bytes = (uint64_t) atoll(arguments[3]) << 20;
  int children = atoi(arguments[4]);
  if (children > CHILDREN_MAX || heap_pages == 0 || shared_bytes < (1 << 20)) return 2;
  parent = getpid();
  heap = mmap(NULL, heap_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  shared = mmap(NULL, shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (heap == MAP_FAILED || shared == MAP_FAILED) return 2;
  for (uint64_t page = 0; page < heap_pages; page++) fill_page(page, 0);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &attributes);
  accounts = (int64_t *) ((char *) shared + ACCOUNTS_OFFSET);
  shared->accounts = 15 * WORDS;
  for (uint64_t i = 0; i < shared->accounts; i++) accounts[i] = 1000000;
  shared->balance_sum = shared->accounts * 1000000;
  pages = (uint64_t *) ((char *) shared + 16 * PAGE);
  shared_pages = shared_bytes / PAGE - 16;
  for (uint64_t page = 0; page < shared_pages; page++) {
    for (uint64_t word = 1; word < WORDS; word++) pages[page * WORDS + word] = mix(page * 31 + word);
  }
  MUST(pipe2(jobs, O_NONBLOCK));
  MUST(pipe2(answers, O_NONBLOCK));
  pid_t child[CHILDREN_MAX];
  uint64_t random = mix(4711), replaced = 0, sent = 0, answered = 0, answered_sum = 0, expected_sum = 0;
  for (int i = 0; i < children; i++) child[i] = spawn_child(i, (4 + next_random(&random) % 8) * SECOND);
  bool ending = false;
  uint64_t last_answer = now_ns(), before = last_answer, first_look = 0, told = 0;
  for (;;) {
    while (!ending && sent - answered < JOBS_WAITING) {
      struct job job = {sent, mix(sent)};
      ssize_t put = write(jobs[1], &job, sizeof job);
      if (put != sizeof job) {
        CHECK(put == -1 && errno == EAGAIN, "writing a job gave %zd", put);
        break;
      }
      expected_sum += mix(mix(sent));
      sent++;
    }
    struct pollfd answer = {.fd = answers[0], .events = POLLIN};
    struct timespec pause = timespec_of(2 * MS);
    if (nanosleep(&pause, NULL) != 0) error_found("the parent's nanosleep ended with %s", strerror(errno));
    if (poll(&answer, 1, 5) < 0) error_found("the parent's poll ended with %s", strerror(errno));
    struct job job;
    ssize_t got;
    while ((got = read(answers[0], &job, sizeof job)) == sizeof job) {
      CHECK(job.check == mix(mix(job.number)), "the answer to job %lu is wrong", job.number);
      answered++;
      answered_sum += job.check;
      last_answer = now_ns();
    }
    CHECK(got == -1 && errno == EAGAIN, "reading answers gave %zd", got);
    CHECK(answered == sent || now_ns() - last_answer < 15 * SECOND, "%lu jobs were never answered", sent - answered);
    int status;
    pid_t gone;
    while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 17, "child %d ended with status 0x%x", gone, status);
      for (int i = 0; i < children; i++) {
        if (child[i] == gone) child[i] = ending ? 0 : spawn_child(i, (4 + next_random(&random) % 8) * SECOND);
      }
      replaced++;
    }
    for (uint64_t page = first_look; page < first_look + 256 && page < heap_pages; page++) {
      CHECK(page_holds(page, 0), "private page %lu of the parent has changed", page);
    }
    first_look = first_look + 256 < heap_pages ? first_look + 256 : 0;
    for (int i = 0; i < 4; i++) rewrite_shared_page(&random);
    char what[64], extra[1024];
    if (corrupt_wanted(what)) {
      if (strcmp(what, "private") == 0) atomic_store(&shared->corrupt_private, 1);
      if (strcmp(what, "shared") == 0) accounts[77]++, pages[(shared_pages / 2) * WORDS + 9]++;
      if (strcmp(what, "job") == 0) atomic_store(&shared->corrupt_job, 1);
      if (strcmp(what, "child") == 0) atomic_store(&shared->corrupt_child, 1);
    }
    uint64_t after = now_ns(), children_gap = 0;
    saw_gap(after - before);
    before = after;
    int length = 0;
    if (!ending && asked("finish")) {
      ending = true;
      atomic_store(&shared->ending, 1);
    }
    if (after - told >= 20 * MS || ending) {
      told = after;
      for (int i = 0; i < children; i++) {
        uint64_t gap = atomic_load(&shared->child[i].max_gap_ns);
        if (gap > children_gap) children_gap = gap;
        length += snprintf(extra + length, sizeof extra - (size_t) length, "%s%d", i == 0 ? "children=" : ",", child[i]);
      }
      snprintf(extra + length, sizeof extra - (size_t) length,
          "\nanswered=%lu\ntransfers=%lu\nreplaced=%lu\nchildren_max_gap_ms=%.3f\nchild_checks=%lu\n", answered, shared->transfers, replaced,
          (double) children_gap / 1e6, (unsigned long) atomic_load(&shared->checks));
      write_status(extra);
    }
    if (ending) {
      bool left = false;
      for (int i = 0; i < children; i++) left |= child[i] != 0;
      if (!left) {
        CHECK(answered <= sent && (answered < sent || answered_sum == expected_sum), "the answers' sum is wrong");
        for (uint64_t page = 0; page < heap_pages; page++) CHECK(page_holds(page, 0), "private page %lu of the parent has changed", page);
        check_accounts();
        report_end();
      }
    }
  }
}
