/*
 * What images are exchanged with CRIU by: a program that checks itself all the time and says so once per round in a file.
 *
 * exchange LOG single   one process with private memory, a private file mapping it has written to, and a file it appends to
 * exchange LOG tree     two threads and two children more; numbers go around through pipes and memory they share
 *
 * Each round appends "round N" to LOG; when something is not as it was, "WRONG what" is appended and everything ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PRIVATE_PAGES = 600, SHARED_PAGES = 64, MEMFD_PAGES = 32 };

static int log_fd;
static pid_t first;
static unsigned char *memory;
static unsigned char *file_memory;
static int data_fd;

static void wrong(const char *what) {
  dprintf(log_fd, "WRONG %s in %d\n", what, getpid());
  kill(first, SIGKILL);
  _exit(1);
}

static void nap(void) {
  struct timespec time = {0, 5 * 1000 * 1000};
  nanosleep(&time, 0);
}

static unsigned char pattern(unsigned page, unsigned seed) { return page % 3 == 0 ? 0 : (unsigned char)(page * 7 + seed); }

/* Every third page was touched and is zero, every fifth was given back. */
static void fill(unsigned char *at, unsigned pages, unsigned seed) {
  for (unsigned page = 0; page < pages; page++) memset(at + page * PAGE, pattern(page, seed), PAGE);
}

static void compare(unsigned char *at, unsigned pages, unsigned seed, const char *what) {
  for (unsigned page = 0; page < pages; page++)
    for (unsigned offset = 0; offset < PAGE; offset += 509)
      if (at[page * PAGE + offset] != pattern(page, seed)) wrong(what);
}

static void prepare_memory(const char *log) {
  memory = mmap(0, PRIVATE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill(memory, PRIVATE_PAGES, 1);
  char name[512];
  snprintf(name, sizeof name, "%s.data", log);
  data_fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  for (unsigned page = 0; page < 8; page++) {
    unsigned char bytes[PAGE];
    memset(bytes, 0x11 + page, PAGE);
    if (write(data_fd, bytes, PAGE) != PAGE) wrong("write");
  }
  file_memory = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, data_fd, 0);
  memset(file_memory + 2 * PAGE, 0xaa, PAGE);
  memset(file_memory + 5 * PAGE, 0, PAGE);
  lseek(data_fd, 12345, SEEK_SET);
  mprotect(memory + 100 * PAGE, 10 * PAGE, PROT_READ);
}

static void check_memory(void) {
  compare(memory, PRIVATE_PAGES, 1, "private memory");
  for (unsigned page = 0; page < 8; page++) {
    unsigned char expected = page == 2 ? 0xaa : page == 5 ? 0 : 0x11 + page;
    if (file_memory[page * PAGE + 77] != expected) wrong("private file mapping");
  }
  if (lseek(data_fd, 0, SEEK_CUR) != 12345) wrong("file position");
  if (fcntl(data_fd, F_GETFL) != (O_RDWR | 0100000) && fcntl(data_fd, F_GETFL) != O_RDWR) wrong("file flags");
}

static void say(unsigned round) { dprintf(log_fd, "round %u\n", round); }

static void single(void) {
  for (unsigned round = 1;; round++) {
    check_memory();
    say(round);
    nap();
  }
}

struct shared {
  atomic_uint turns;
  unsigned char bytes[];
};

static struct shared *shared;
static unsigned char *memfd_memory;
static int memfd;
static atomic_uint thread_rounds[2];
static __thread unsigned tls = 0;

static void *thread(void *argument) {
  unsigned number = (unsigned)(unsigned long)argument;
  tls = 1000 + number;
  for (;;) {
    if (tls != 1000 + number) wrong("thread-local storage");
    atomic_fetch_add(&thread_rounds[number], 1);
    nap();
  }
  return 0;
}

static void check_shared(void) {
  compare(shared->bytes + PAGE, SHARED_PAGES - 2, 2, "shared memory");
  compare(memfd_memory, MEMFD_PAGES, 3, "memory file");
}

/* Passes on what comes, one more each time. */
static void child(int in, int out) {
  memset(memory + 50 * PAGE, 0x77, PAGE);
  for (;;) {
    unsigned value;
    if (read(in, &value, sizeof value) != sizeof value) wrong("pipe to a child");
    for (unsigned offset = 0; offset < PAGE; offset += 13)
      if (memory[50 * PAGE + offset] != 0x77) wrong("a child's own page");
    compare(memory, 50, 1, "memory of a child before its own page");
    compare(memory + 60 * PAGE, PRIVATE_PAGES - 60, 1 + 60 * 7, "memory of a child");
    check_shared();
    atomic_fetch_add(&shared->turns, 1);
    value++;
    if (write(out, &value, sizeof value) != sizeof value) wrong("pipe from a child");
  }
}

static void tree(void) {
  int there[2], between[2], back[2], full[2];
  if (pipe(there) || pipe(between) || pipe(back) || pipe2(full, O_NONBLOCK)) wrong("pipe");
  fcntl(full[1], F_SETPIPE_SZ, 16 * PAGE);
  char lying[20000];
  for (unsigned i = 0; i < sizeof lying; i++) lying[i] = (char)(i * 31);
  if (write(full[1], lying, sizeof lying) != sizeof lying) wrong("write");
  shared = mmap(0, SHARED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  fill(shared->bytes + PAGE, SHARED_PAGES - 2, 2);
  memfd = memfd_create("exchange", 0);
  if (ftruncate(memfd, MEMFD_PAGES * PAGE)) wrong("ftruncate");
  memfd_memory = mmap(0, MEMFD_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
  fill(memfd_memory, MEMFD_PAGES, 3);
  pid_t children[2];
  if (!(children[0] = fork())) child(there[0], between[1]);
  if (!(children[1] = fork())) child(between[0], back[1]);
  pthread_t threads[2];
  for (unsigned long number = 0; number < 2; number++) pthread_create(&threads[number], 0, thread, (void *)number);
  for (unsigned round = 1;; round++) {
    check_memory();
    check_shared();
    unsigned before[2] = {thread_rounds[0], thread_rounds[1]};
    unsigned turns = shared->turns, value = round * 10;
    if (write(there[1], &value, sizeof value) != sizeof value) wrong("pipe");
    if (read(back[0], &value, sizeof value) != sizeof value || value != round * 10 + 2) wrong("what came back");
    if (shared->turns != turns + 2) wrong("turns in shared memory");
    char found[sizeof lying];
    if (read(full[0], found, sizeof found) != sizeof found || memcmp(found, lying, sizeof found)) wrong("what lay in the pipe");
    if (write(full[1], lying, sizeof lying) != sizeof lying) wrong("what is put back into the pipe");
    if (fcntl(full[1], F_GETPIPE_SZ) != 16 * PAGE) wrong("size of the pipe");
    int status;
    if (waitpid(-1, &status, WNOHANG) != 0) wrong("a child has ended");
    for (unsigned number = 0, tries = 0; number < 2; number++)
      while (thread_rounds[number] == before[number])
        if (tries++ > 2000) wrong("a thread stands still");
        else nap();
    say(round);
  }
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  first = getpid();
  log_fd = open(arguments[1], O_WRONLY | O_APPEND | O_CREAT, 0644);
  prepare_memory(arguments[1]);
  if (!strcmp(arguments[2], "single")) single();
  else tree();
}
