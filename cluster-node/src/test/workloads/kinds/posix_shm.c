/*
 * What a container has in /dev/shm: segments of shm_open, mapped by several processes, unlinked while mapped, that nobody has open; named
 * semaphores; directories, links, files with holes, a program that runs from there, files that come and go all the time.
 */
#include "kind.h"

#include <semaphore.h>

#define BIG ((3ul << 20) + 4096)
#define SMALL 8192ul
enum { PAGE = 4096 };

static int segment(const char *name, off_t bytes) {
  int fd = (int) MUST(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
  MUST(ftruncate(fd, bytes));
  return fd;
}

static void *mapped(int fd, size_t bytes, int prot, int flags) { return (void *) MUST(mmap(NULL, bytes, prot, flags, fd, 0)); }

static void *shared(int fd, size_t bytes) { return mapped(fd, bytes, PROT_READ | PROT_WRITE, MAP_SHARED); }

static struct stat stat_of(const char *path) {
  struct stat status = {0};
  WORKS(lstat(path, &status));
  return status;
}

/* Whether /proc/self/maps shows a mapping at an address under a name. */
static bool shows(const void *at, const char *name) {
  char line[700], begin[40];
  snprintf(begin, sizeof begin, "%lx-", (unsigned long) at);
  FILE *maps = fopen("/proc/self/maps", "re");
  bool found = false;
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
    line[strcspn(line, "\n")] = 0;
    size_t length = strlen(line), wanted = strlen(name);
    found |= strncmp(line, begin, strlen(begin)) == 0 && length > wanted && strcmp(line + length - wanted, name) == 0;
  }
  if (maps != NULL) fclose(maps);
  return found;
}

/* --- a segment with a name, mapped by parent and child -------------------------------------------------------------------------------- */

static uint64_t *here;
static const uint64_t *there;
static struct child other;
static uint64_t passed;

static void child_maps(void) {
  munmap(here, BIG);
  int fd = (int) MUST(shm_open("/gantry-segment", O_RDONLY, 0));
  there = mapped(fd, BIG, PROT_READ, MAP_SHARED);
  close(fd);
}

static void child_looks(void) {
  HOLDS(holds(there + 1, BIG - 8, 2), "the child sees other content");
  HOLDS(there[0] == mix(1) + passed, "the child does not see what its parent writes");
  passed++;
  HOLDS(mprotect((void *) there, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "what was opened for reading can be written");
}

static void make_segment(void) {
  int fd = segment("/gantry-segment", BIG - 1000);
  MUST(ftruncate(fd, BIG));
  here = shared(fd, BIG);
  fill(here, BIG, 1);
  MUST(fchmod(fd, 0640));
  MUST(fchown(fd, 12, 34));
  close(fd);
  other = child_begin(child_maps, child_looks, NULL);
}

static void look_segment(void) {
  child_says(&other);
  here[0]++;
  struct stat status = stat_of("/dev/shm/gantry-segment");
  HOLDS(status.st_mode == (S_IFREG | 0640) && status.st_uid == 12 && status.st_gid == 34, "mode 0%o, owner %u:%u", status.st_mode, status.st_uid,
      status.st_gid);
  HOLDS(status.st_size == BIG, "%ld bytes", (long) status.st_size);
  HOLDS(shows(here, " /dev/shm/gantry-segment"), "the mapping has another name");
}

static void damage_segment(void) { here[BIG / 16] ^= 1; }

/* --- unlinked while mapped, and the name used again ----------------------------------------------------------------------------------- */

static uint64_t *unlinked;
static struct child heir;

static void heir_looks(void) {
  HOLDS(holds(unlinked, BIG, 7), "the child sees other content");
  unlinked[5] ^= 1;
}

static void heir_damages(void) { unlinked[9] ^= 1; }

static void make_unlinked(void) {
  int fd = segment("/gantry-unlinked", BIG);
  unlinked = shared(fd, BIG);
  close(fd);
  MUST(shm_unlink("/gantry-unlinked"));
  fill(unlinked, BIG, 7);
  heir = child_begin(NULL, heir_looks, heir_damages);
}

static void look_unlinked(void) {
  child_says(&heir);
  HOLDS(unlinked[5] == (mix(12) ^ 1), "the child's write is not seen");
  unlinked[5] ^= 1;
  HOLDS(holds(unlinked, BIG, 7), "the content is another");
  HOLDS(shows(unlinked, " /dev/shm/gantry-unlinked (deleted)"), "the mapping has another name");
}

static void damage_unlinked(void) { child_damages(&heir); }

static void make_successor(void) { dprintf(segment("/gantry-unlinked", 0), "the new one"); }

static void look_successor(void) {
  char found[16] = "";
  int fd = (int) WORKS(shm_open("/gantry-unlinked", O_RDONLY, 0));
  HOLDS(read(fd, found, sizeof found) == 11 && strcmp(found, "the new one") == 0, "under the name is \"%s\"", found);
  close(fd);
}

static void damage_successor(void) { MUST(shm_unlink("/gantry-unlinked")); }

/* --- that nobody has open ------------------------------------------------------------------------------------------------------------- */

static void make_unopened(void) {
  int fd = segment("/gantry-unopened", 5000);
  MUST(pwrite(fd, "alone", 5, 4990));
  MUST(fchmod(fd, 0604));
  struct timespec times[2] = {{1500000000, 123456789}, {1400000000, 987654321}};
  MUST(futimens(fd, times));
  close(fd);
}

static void look_unopened(void) {
  struct stat status = stat_of("/dev/shm/gantry-unopened");
  HOLDS(status.st_size == 5000 && status.st_mode == (S_IFREG | 0604), "%ld bytes, mode 0%o", (long) status.st_size, status.st_mode);
  HOLDS(status.st_mtim.tv_sec == 1400000000 && status.st_mtim.tv_nsec == 987654321, "written at %ld", (long) status.st_mtim.tv_sec);
  HOLDS(status.st_atim.tv_sec == 1500000000 && status.st_atim.tv_nsec == 123456789, "read at %ld", (long) status.st_atim.tv_sec);
  char found[8] = "";
  int fd = (int) WORKS(open("/dev/shm/gantry-unopened", O_RDONLY | O_NOATIME));
  HOLDS(pread(fd, found, 6, 4990) == 6 && strcmp(found, "alone") == 0 && found[5] == 0, "the content is \"%s\"", found);
  close(fd);
}

static void damage_unopened(void) { MUST(truncate("/dev/shm/gantry-unopened", 4993)); }

/* --- descriptors ---------------------------------------------------------------------------------------------------------------------- */

static int named, nameless, directory;
static char *nameless_at;

static void make_descriptors(void) {
  named = (int) MUST(open("/dev/shm/gantry-named", O_RDWR | O_CREAT | O_APPEND, 0600));
  MUST(write(named, "0123456789", 10));
  MUST(lseek(named, 4, SEEK_SET));
  nameless = segment("/gantry-nameless", SMALL);
  nameless_at = shared(nameless, SMALL);
  MUST(shm_unlink("/gantry-nameless"));
  MUST(pwrite(nameless, "first", 5, 4096));
  MUST(lseek(nameless, 77, SEEK_SET));
  directory = (int) MUST(open("/dev/shm", O_RDONLY | O_DIRECTORY));
}

static void look_descriptors(void) {
  HOLDS(lseek(named, 0, SEEK_CUR) == 4 && (fcntl(named, F_GETFL) & O_APPEND) != 0, "position %ld", (long) lseek(named, 0, SEEK_CUR));
  HOLDS(lseek(nameless, 0, SEEK_CUR) == 77, "position %ld", (long) lseek(nameless, 0, SEEK_CUR));
  HOLDS(memcmp(nameless_at + 4096, "first", 5) == 0, "the mapping shows other content");
  nameless_at[100] = (char) (asked_number + 1);
  char byte = 0;
  WORKS(pread(nameless, &byte, 1, 100));
  HOLDS(byte == (char) (asked_number + 1), "mapping and descriptor are different files");
  struct stat status = {0}, root = stat_of("/dev/shm");
  WORKS(fstat(nameless, &status));
  HOLDS(status.st_nlink == 0 && status.st_size == SMALL && status.st_dev == root.st_dev, "%lu links, %ld bytes", (unsigned long) status.st_nlink,
      (long) status.st_size);
  WORKS(fstatat(directory, "gantry-named", &status, 0));
  HOLDS(status.st_dev == root.st_dev && status.st_size == 10 && root.st_mode == (S_IFDIR | 01777), "mode of /dev/shm 0%o", root.st_mode);
}

static void damage_descriptors(void) { MUST(pwrite(nameless, "F", 1, 4096)); }

/* --- named semaphores ----------------------------------------------------------------------------------------------------------------- */

static sem_t *three, *question, *answer;

static sem_t *semaphore(const char *name, unsigned value) {
  sem_t *made = sem_open(name, O_CREAT | O_EXCL, 0600, value);
  if (made == SEM_FAILED) exit(2);
  return made;
}

static void make_three(void) { three = semaphore("/gantry-three", 3); }

static void look_three(void) {
  int value = 0;
  WORKS(sem_getvalue(three, &value));
  HOLDS(value == 3, "its value is %d", value);
  sem_t *again = sem_open("/gantry-three", 0);
  if (WORKS(again == SEM_FAILED ? -1 : 0) == -1) return;
  /* The C library knows it again by its inode number, which is another one now, so it may be mapped twice. */
  HOLDS(sem_post(again) == 0 && sem_getvalue(three, &value) == 0 && value == 4, "the name leads to another semaphore");
  HOLDS(sem_trywait(three) == 0 && sem_getvalue(again, &value) == 0 && value == 3, "it cannot be taken");
  sem_close(again);
}

static void damage_three(void) { MUST(sem_post(three)); }

static void make_waiter(void) {
  question = semaphore("/gantry-question", 0);
  answer = semaphore("/gantry-answer", 0);
  if (MUST(fork()) == 0) {
    for (;;) {
      while (sem_wait(question) != 0) {
      }
      sem_post(answer);
    }
  }
}

static void look_waiter(void) {
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_sec += 2;
  HOLDS(sem_trywait(answer) == -1 && errno == EAGAIN, "there is an answer to no question");
  WORKS(sem_post(question));
  WORKS(sem_timedwait(answer, &limit));
}

static void damage_waiter(void) { MUST(sem_post(answer)); }

/* --- directories, links, a FIFO ------------------------------------------------------------------------------------------------------- */

static void make_tree(void) {
  MUST(mkdir("/dev/shm/gantry-tree", 0711));
  MUST(mkdir("/dev/shm/gantry-tree/inner", 0500));
  MUST(symlink("../gantry-tree/inner/\xc3\xa4", "/dev/shm/gantry-tree/link"));
  MUST(lchown("/dev/shm/gantry-tree/link", 5, 6));
  MUST(mkfifo("/dev/shm/gantry-tree/fifo", 0600));
  MUST(chmod("/dev/shm/gantry-tree/fifo", 0620));
  int fd = (int) MUST(open("/dev/shm/gantry-tree/inner/\xc3\xa4", O_RDWR | O_CREAT, 0600));
  MUST(write(fd, "inside", 6));
  close(fd);
  MUST(link("/dev/shm/gantry-tree/inner/\xc3\xa4", "/dev/shm/gantry-tree/second"));
  struct timespec times[2] = {{0, UTIME_OMIT}, {1300000000, 5}};
  MUST(utimensat(AT_FDCWD, "/dev/shm/gantry-tree", times, 0));
  MUST(utimensat(AT_FDCWD, "/dev/shm/gantry-tree/link", times, AT_SYMLINK_NOFOLLOW));
}

static void look_tree(void) {
  struct stat outer = stat_of("/dev/shm/gantry-tree"), inner = stat_of("/dev/shm/gantry-tree/inner");
  HOLDS(outer.st_mode == (S_IFDIR | 0711) && inner.st_mode == (S_IFDIR | 0500), "modes 0%o and 0%o", outer.st_mode, inner.st_mode);
  HOLDS(outer.st_mtim.tv_sec == 1300000000 && outer.st_mtim.tv_nsec == 5, "the directory was written at %ld", (long) outer.st_mtim.tv_sec);
  struct stat link = stat_of("/dev/shm/gantry-tree/link"), fifo = stat_of("/dev/shm/gantry-tree/fifo");
  HOLDS(S_ISLNK(link.st_mode) && link.st_uid == 5 && link.st_gid == 6 && link.st_mtim.tv_sec == 1300000000, "the link is another");
  HOLDS(fifo.st_mode == (S_IFIFO | 0620), "the FIFO has mode 0%o", fifo.st_mode);
  struct stat first = stat_of("/dev/shm/gantry-tree/inner/\xc3\xa4"), second = stat_of("/dev/shm/gantry-tree/second");
  HOLDS(first.st_ino == second.st_ino && first.st_nlink == 2, "the hard links are %lu", (unsigned long) first.st_nlink);
  char found[8] = "";
  int fd = (int) WORKS(open("/dev/shm/gantry-tree/link", O_RDONLY));
  HOLDS(read(fd, found, sizeof found) == 6 && memcmp(found, "inside", 6) == 0, "at the end of the link is \"%s\"", found);
  close(fd);
}

static void damage_tree(void) { MUST(chmod("/dev/shm/gantry-tree/inner", 0700)); }

/* --- holes ---------------------------------------------------------------------------------------------------------------------------- */

static void make_sparse(void) {
  int fd = segment("/gantry-sparse", 1l << 30);
  MUST(pwrite(fd, "data", 4, 3 * PAGE));
  MUST(pwrite(fd, "data", 4, 5000l * PAGE));
  close(fd);
}

static void look_sparse(void) {
  int fd = (int) WORKS(shm_open("/gantry-sparse", O_RDONLY, 0));
  HOLDS(lseek(fd, 0, SEEK_DATA) == 3 * PAGE && lseek(fd, 3 * PAGE, SEEK_HOLE) == 4 * PAGE, "data begins at %ld", (long) lseek(fd, 0, SEEK_DATA));
  HOLDS(lseek(fd, 4 * PAGE, SEEK_DATA) == 5000l * PAGE, "more data at %ld", (long) lseek(fd, 4 * PAGE, SEEK_DATA));
  char found[5] = "";
  WORKS(pread(fd, found, 4, 5000l * PAGE));
  HOLDS(strcmp(found, "data") == 0, "the data is \"%s\"", found);
  close(fd);
  struct stat status = stat_of("/dev/shm/gantry-sparse");
  HOLDS(status.st_size == 1l << 30 && status.st_blocks == 2 * PAGE / 512, "%ld bytes in %ld blocks", (long) status.st_size, (long) status.st_blocks);
}

static void damage_sparse(void) { MUST(truncate("/dev/shm/gantry-sparse", 1l << 29)); }

/* --- mapped private ------------------------------------------------------------------------------------------------------------------- */

static uint64_t *copy;

static void make_private(void) {
  int fd = segment("/gantry-private", SMALL);
  void *all = shared(fd, SMALL);
  fill(all, SMALL, 20);
  MUST(munmap(all, SMALL));
  copy = mapped(fd, SMALL, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  close(fd);
  MUST(shm_unlink("/gantry-private"));
  copy[3] = 99;
}

static void look_private(void) {
  HOLDS(copy[3] == 99, "the private change is lost");
  HOLDS(holds(copy + 4, SMALL - 32, 24) && holds(copy, 24, 20), "the content is another");
}

static void damage_private(void) { copy[600] = 0; }

/* --- written all the time ------------------------------------------------------------------------------------------------------------- */

static uint64_t *counted;
static uint64_t counted_before;

static void make_counted(void) {
  int fd = segment("/gantry-counted", 64 * PAGE);
  counted = shared(fd, 64 * PAGE);
  if (MUST(fork()) == 0) {
    for (uint64_t n = 1;; n++) {
      if (pwrite(fd, &n, sizeof n, (off_t) (8 * (1 + n % 8000))) != sizeof n) _exit(4);
      __atomic_store_n(&counted[0], n, __ATOMIC_RELEASE);
      if (n % 256 == 0) usleep(500);
    }
  }
  close(fd);
}

static void look_counted(void) {
  uint64_t before = __atomic_load_n(&counted[0], __ATOMIC_ACQUIRE);
  HOLDS(before >= counted_before && before < UINT64_MAX / 2, "the counter went from %lu to %lu", (unsigned long) counted_before,
      (unsigned long) before);
  for (int i = 0; i < 1000 && __atomic_load_n(&counted[0], __ATOMIC_ACQUIRE) == before; i++) usleep(1000);
  counted_before = __atomic_load_n(&counted[0], __ATOMIC_ACQUIRE);
  HOLDS(counted_before > before, "nobody counts on");
}

static void damage_counted(void) { counted_before = UINT64_MAX; }

/* --- a program that lies there, and has its working directory there ------------------------------------------------------------------- */

#define PROGRAM "/dev/shm/gantry-program"

static pid_t runs;

static void make_program(void) {
  char content[1 << 16];
  int from = (int) MUST(open("/bin/sleep", O_RDONLY)), to = (int) MUST(open(PROGRAM, O_WRONLY | O_CREAT, 0700));
  for (ssize_t bytes; (bytes = MUST(read(from, content, sizeof content))) > 0;) MUST(write(to, content, (size_t) bytes));
  close(from);
  close(to);
  int begun[2];
  MUST(pipe2(begun, O_CLOEXEC));
  runs = (pid_t) MUST(fork());
  if (runs == 0) {
    MUST(chdir("/dev/shm"));
    execl(PROGRAM, PROGRAM, "10000", NULL);
    _exit(4);
  }
  close(begun[1]);
  // Ends when the other end is closed, by execve.
  MUST(read(begun[0], content, 1));
  close(begun[0]);
}

static void look_program(void) {
  char link[40], target[100] = "";
  snprintf(link, sizeof link, "/proc/%d/exe", runs);
  WORKS(readlink(link, target, sizeof target - 1));
  HOLDS(strcmp(target, PROGRAM) == 0, "the program is %s", target);
  snprintf(link, sizeof link, "/proc/%d/cwd", runs);
  memset(target, 0, sizeof target);
  WORKS(readlink(link, target, sizeof target - 1));
  HOLDS(strcmp(target, "/dev/shm") == 0, "its working directory is %s", target);
  HOLDS(open(PROGRAM, O_WRONLY) == -1 && errno == ETXTBSY, "a program that runs can be written");
  HOLDS(waitpid(runs, NULL, WNOHANG) == 0, "it has ended");
}

static void damage_program(void) {
  kill(runs, SIGKILL);
  waitid(P_PID, (id_t) runs, NULL, WEXITED | WNOWAIT);
}

/* --- files that come, grow, shrink, change their names and go all the time ------------------------------------------------------------ */

static uint64_t *turns, turns_before;

static void turn_over(void) {
  for (uint64_t n = 1;; n++) {
    char now[40], next[40];
    snprintf(now, sizeof now, "/dev/shm/gantry-turn-%d", (int) (n % 7));
    snprintf(next, sizeof next, "/dev/shm/gantry-turn-%d", (int) ((n + 3) % 7));
    int fd = open(now, O_RDWR | O_CREAT, 0600);
    /* The size is what the first eight bytes say. */
    uint64_t size = PAGE * (1 + n % 5), said = 0;
    off_t has = lseek(fd, 0, SEEK_END);
    if (has != 0 && (pread(fd, &said, sizeof said, 0) != sizeof said || (uint64_t) has != said)) _exit(3);
    if (fd < 0 || ftruncate(fd, (off_t) size) != 0 || pwrite(fd, &size, sizeof size, 0) != sizeof size) _exit(4);
    close(fd);
    if (rename(now, next) != 0) _exit(5);
    if (n % 3 == 0 && unlink(next) != 0) _exit(6);
    __atomic_store_n(turns, n, __ATOMIC_RELEASE);
    if (n % 16 == 0) usleep(300);
  }
}

static void make_turns(void) {
  turns = mapped(-1, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  if (MUST(fork()) == 0) turn_over();
}

static void look_turns(void) {
  uint64_t before = __atomic_load_n(turns, __ATOMIC_ACQUIRE);
  HOLDS(before >= turns_before && before < UINT64_MAX / 2, "the turns went from %lu to %lu", (unsigned long) turns_before, (unsigned long) before);
  for (int i = 0; i < 1000 && __atomic_load_n(turns, __ATOMIC_ACQUIRE) == before; i++) usleep(1000);
  turns_before = __atomic_load_n(turns, __ATOMIC_ACQUIRE);
  HOLDS(turns_before > before, "nobody turns files over any more");
}

static void damage_turns(void) { turns_before = UINT64_MAX; }

KIND({"segment", make_segment, look_segment, damage_segment}, {"unlinked", make_unlinked, look_unlinked, damage_unlinked},
    {"successor", make_successor, look_successor, damage_successor}, {"unopened", make_unopened, look_unopened, damage_unopened},
    {"descriptors", make_descriptors, look_descriptors, damage_descriptors}, {"three", make_three, look_three, damage_three},
    {"waiter", make_waiter, look_waiter, damage_waiter}, {"tree", make_tree, look_tree, damage_tree},
    {"sparse", make_sparse, look_sparse, damage_sparse}, {"private", make_private, look_private, damage_private},
    {"counted", make_counted, look_counted, damage_counted}, {"program", make_program, look_program, damage_program},
    {"turns", make_turns, look_turns, damage_turns});
