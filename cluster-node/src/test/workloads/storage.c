/*
 * A program that writes, cuts, renames and deletes files of its own all the time, in one or two directories, and knows every byte that must be in them.
 *
 * usage: storage DIRECTORY VOLUME [VOLUME]     corrupt: byte, name, time
 */
#include "report.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define CHUNK 4096
#define CHUNKS 40
#define SLOTS 160
#define FOLDERS 6
#define KEPT 8
#define STACK (128 * 1024)
#define MAPPED_BYTES (64 * CHUNK)

struct slot {
  bool there;
  int folder, chunks, fd;
  unsigned name, version[CHUNKS];
};

static char **volumes;
static int volume_count;
static struct slot slots[SLOTS];
static int folder_name[FOLDERS];
static unsigned names_given;
static uint64_t dice = 17;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *shared_map, *private_map, *lost_map;
static int lost, shared_file, log_file, listener, fifo;
static uint64_t log_bytes, shared_version;
static atomic_ulong operations;

static const char *folder_path(int folder, int name, char path[700]) {
  snprintf(path, 700, "%s/folder-%d-%d", volumes[folder % volume_count], folder, name);
  return path;
}

static const char *slot_path(struct slot *slot, char path[700]) {
  char folder[700];
  snprintf(path, 700, "%s/file-%u", folder_path(slot->folder, folder_name[slot->folder], folder), slot->name);
  return path;
}

static void fill(char *bytes, int slot, int chunk, unsigned version) {
  uint64_t *words = (uint64_t *) bytes;
  for (int i = 0; i < CHUNK / 8; i++) words[i] = version == 0 ? 0 : mix((uint64_t) slot << 40 ^ (uint64_t) chunk << 24 ^ version) + (uint64_t) i;
}

static int open_slot(struct slot *slot, int flags) {
  char path[700];
  if (slot->fd >= 0) return slot->fd;
  int fd = open(slot_path(slot, path), flags | O_CLOEXEC, 0640);
  CHECK(fd >= 0, "opening %s: %s", path, strerror(errno));
  return fd;
}

static void close_slot(struct slot *slot, int fd) {
  if (slot->fd < 0 && fd >= 0) close(fd);
}

static void check_slot(int number) {
  struct slot *slot = &slots[number];
  char have[CHUNK], want[CHUNK], path[700];
  slot_path(slot, path);
  struct stat status;
  if (!slot->there) return;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0, "%s is not there: %s", path, strerror(errno));
  if (fd < 0) return;
  fstat(fd, &status);
  CHECK(status.st_size == (off_t) slot->chunks * CHUNK, "%s is %ld bytes long", path, (long) status.st_size);
  for (int chunk = 0; chunk < slot->chunks; chunk++) {
    ssize_t got = pread(fd, have, CHUNK, (off_t) chunk * CHUNK);
    fill(want, number, chunk, slot->version[chunk]);
    CHECK(got == CHUNK && memcmp(have, want, CHUNK) == 0, "chunk %d of %s does not hold version %u", chunk, path, slot->version[chunk]);
  }
  close(fd);
  if (slot->fd >= 0) {
    struct stat open_status;
    fstat(slot->fd, &open_status);
    CHECK(open_status.st_ino == status.st_ino, "the open file of slot %d is not %s", number, path);
  }
}

static void write_chunk(int number, int chunk) {
  struct slot *slot = &slots[number];
  char bytes[CHUNK];
  int fd = open_slot(slot, O_RDWR);
  if (fd < 0) return;
  fill(bytes, number, chunk, ++slot->version[chunk]);
  ssize_t put = pwrite(fd, bytes, CHUNK, (off_t) chunk * CHUNK);
  CHECK(put == CHUNK, "writing slot %d: %s", number, strerror(errno));
  if (chunk >= slot->chunks) {
    for (int between = slot->chunks; between < chunk; between++) slot->version[between] = 0;
    slot->chunks = chunk + 1;
  }
  close_slot(slot, fd);
}

static void create(int number) {
  struct slot *slot = &slots[number];
  char path[700];
  slot->there = true;
  slot->folder = (int) (next_random(&dice) % FOLDERS);
  slot->name = ++names_given;
  slot->chunks = 0;
  memset(slot->version, 0, sizeof slot->version);
  int fd = open(slot_path(slot, path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  CHECK(fd >= 0, "making %s: %s", path, strerror(errno));
  slot->fd = number < KEPT ? fd : -1;
  if (slot->fd < 0) close(fd);
  write_chunk(number, (int) (next_random(&dice) % CHUNKS));
}

static void operate(void) {
  int number = (int) (next_random(&dice) % SLOTS);
  struct slot *slot = &slots[number];
  char from[700], to[700];
  if (!slot->there) {
    create(number);
    return;
  }
  switch (next_random(&dice) % 16) {
    case 0:
      CHECK(unlink(slot_path(slot, from)) == 0, "deleting %s: %s", from, strerror(errno));
      if (slot->fd >= 0) close(slot->fd);
      slot->fd = -1;
      slot->there = false;
      break;
    case 1: {
      int fd = open_slot(slot, O_RDWR);
      slot->chunks = (int) (next_random(&dice) % (unsigned) (slot->chunks + 1));
      CHECK(ftruncate(fd, (off_t) slot->chunks * CHUNK) == 0, "cutting slot %d: %s", number, strerror(errno));
      close_slot(slot, fd);
      for (int chunk = slot->chunks; chunk < CHUNKS; chunk++) slot->version[chunk] = 0;
      break;
    }
    case 2:
      slot_path(slot, from);
      /* Within one volume: they may be two file systems. */
      slot->folder = (slot->folder + volume_count * (int) (next_random(&dice) % 8)) % FOLDERS / volume_count * volume_count + slot->folder % volume_count;
      slot->name = ++names_given;
      CHECK(rename(from, slot_path(slot, to)) == 0, "renaming %s to %s: %s", from, to, strerror(errno));
      break;
    case 3: {
      int folder = (int) (next_random(&dice) % FOLDERS);
      folder_path(folder, folder_name[folder], from);
      CHECK(rename(from, folder_path(folder, ++folder_name[folder], to)) == 0, "renaming %s: %s", from, strerror(errno));
      break;
    }
    default:
      write_chunk(number, (int) (next_random(&dice) % CHUNKS));
  }
}

static void check_rest(void) {
  for (int i = 0; i < MAPPED_BYTES / 8; i += CHUNK / 8) {
    CHECK(((uint64_t *) shared_map)[i] == mix(shared_version) + (uint64_t) i, "page %d of the shared mapping is wrong", i / (CHUNK / 8));
  }
  uint64_t word;
  CHECK(pread(shared_file, &word, 8, CHUNK) == 8 && word == mix(shared_version) + CHUNK / 8, "the mapped file has not what the mapping has");
  CHECK(private_map[5] == 5 && private_map[CHUNK + 1] == 'p', "the private mapping is wrong");
  CHECK(lost_map[7] == 'l', "the mapping of the deleted file is wrong");
  struct stat status;
  CHECK(fstat(lost, &status) == 0 && status.st_nlink == 0 && status.st_size == CHUNK, "the deleted file is wrong");
  CHECK(fstat(log_file, &status) == 0 && (uint64_t) status.st_size == log_bytes, "the log is %ld bytes long, not %lu", (long) status.st_size, log_bytes);
  char path[700], value[16], cwd[700];
  snprintf(path, sizeof path, "%s/odd", volumes[0]);
  CHECK(stat(path, &status) == 0 && status.st_mtim.tv_sec == 1000000 && status.st_mtim.tv_nsec == 123456789, "the times of %s are wrong", path);
  CHECK(status.st_mode == (S_IFREG | 04751) && status.st_uid == 1234 && status.st_gid == 4321 && status.st_nlink == 2, "%s has mode %o", path, status.st_mode);
  CHECK(getxattr(path, "user.mark", value, sizeof value) == 3 && memcmp(value, "abc", 3) == 0, "%s has lost its mark", path);
  snprintf(path, sizeof path, "%s/holes", volumes[0]);
  CHECK(stat(path, &status) == 0 && status.st_size == 64 << 20 && status.st_blocks <= 64, "%s takes %ld blocks", path, (long) status.st_blocks);
  snprintf(path, sizeof path, "%s/empty", volumes[0]);
  CHECK(getcwd(cwd, sizeof cwd) != NULL && strcmp(cwd, path) == 0, "the working directory is %s", cwd);
  snprintf(path, sizeof path, "%s/socket", volumes[0]);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int caller = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(connect(caller, (struct sockaddr *) &address, sizeof address) == 0, "connecting to %s: %s", path, strerror(errno));
  int called = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  CHECK(called >= 0, "accepting at %s: %s", path, strerror(errno));
  close(caller);
  close(called);
  CHECK(write(fifo, "x", 1) == 1 && read(fifo, value, 1) == 1 && value[0] == 'x', "the FIFO does not give what it gets");
  int found = 0;
  for (int i = 0; i < FOLDERS; i++) {
    DIR *folder = opendir(folder_path(i, folder_name[i], path));
    CHECK(folder != NULL, "%s is not there: %s", path, strerror(errno));
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) found += entry->d_name[0] != '.';
    if (folder != NULL) closedir(folder);
  }
  int wanted = 0;
  for (int i = 0; i < SLOTS; i++) wanted += slots[i].there;
  CHECK(found == wanted, "there are %d files, not %d", found, wanted);
}

static void change_rest(void) {
  shared_version++;
  for (int i = 0; i < MAPPED_BYTES / 8; i += CHUNK / 8) ((uint64_t *) shared_map)[i] = mix(shared_version) + (uint64_t) i;
  if (write(log_file, "a line of the log\n", 18) == 18) log_bytes += 18;
}

static void *work(void *nothing) {
  (void) nothing;
  for (uint64_t round = 0;; round++) {
    pthread_mutex_lock(&lock);
    operate();
    check_slot((int) (next_random(&dice) % SLOTS));
    if (round % 16 == 0) change_rest();
    if (round % 64 == 0) check_rest();
    pthread_mutex_unlock(&lock);
    operations++;
    struct timespec pause = timespec_of(MS / 4);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static int make(const char *name, int flags) {
  char path[700];
  snprintf(path, sizeof path, "%s/%s", volumes[0], name);
  return (int) MUST(open(path, flags | O_CREAT | O_CLOEXEC, 0644));
}

static void prepare(void) {
  char path[700], other[700], page[2 * CHUNK];
  for (int i = 0; i < FOLDERS; i++) MUST(mkdir(folder_path(i, 0, path), 0755));
  for (int i = 0; i < SLOTS; i++) slots[i].fd = -1;
  for (int i = 0; i < SLOTS; i++) create(i);
  int odd = make("odd", O_RDWR);
  MUST(write(odd, "odd", 3));
  MUST(fchown(odd, 1234, 4321));
  MUST(fchmod(odd, 04751));
  MUST(fsetxattr(odd, "user.mark", "abc", 3, 0));
  snprintf(path, sizeof path, "%s/odd", volumes[0]);
  snprintf(other, sizeof other, "%s/same", volumes[0]);
  MUST(link(path, other));
  struct timespec times[2] = {{1000000, 987654321}, {1000000, 123456789}};
  MUST(futimens(odd, times));
  close(odd);
  int holes = make("holes", O_RDWR);
  MUST(ftruncate(holes, 64 << 20));
  MUST(pwrite(holes, "x", 1, 33 << 20));
  close(holes);
  snprintf(path, sizeof path, "%s/empty", volumes[0]);
  MUST(mkdir(path, 0700));
  MUST(chdir(path));
  shared_file = make("shared", O_RDWR);
  MUST(ftruncate(shared_file, MAPPED_BYTES));
  shared_map = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, shared_file, 0);
  memset(page, 'p', sizeof page);
  int private_file = make("private", O_RDWR);
  MUST(write(private_file, page, sizeof page));
  private_map = mmap(NULL, sizeof page, PROT_READ | PROT_WRITE, MAP_PRIVATE, private_file, 0);
  private_map[5] = 5;
  close(private_file);
  memset(page, 'l', sizeof page);
  lost = make("lost", O_RDWR);
  MUST(write(lost, page, CHUNK));
  lost_map = mmap(NULL, CHUNK, PROT_READ, MAP_SHARED, lost, 0);
  snprintf(path, sizeof path, "%s/lost", volumes[0]);
  MUST(unlink(path));
  log_file = make("log", O_WRONLY | O_APPEND);
  if (shared_map == MAP_FAILED || private_map == MAP_FAILED || lost_map == MAP_FAILED) exit(2);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(path, sizeof path, "%s/socket", volumes[0]);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  listener = (int) MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(bind(listener, (struct sockaddr *) &address, sizeof address));
  MUST(listen(listener, 4));
  snprintf(path, sizeof path, "%s/fifo", volumes[0]);
  MUST(mkfifo(path, 0600));
  fifo = (int) MUST(open(path, O_RDWR | O_CLOEXEC));
  change_rest();
}

static void damage(const char *what) {
  char path[700];
  struct slot *slot = &slots[KEPT];
  while (!slot->there || slot->chunks == 0) slot++;
  slot_path(slot, path);
  if (strcmp(what, "name") == 0) {
    MUST(unlink(path));
  } else if (strcmp(what, "time") == 0) {
    snprintf(path, sizeof path, "%s/odd", volumes[0]);
    struct timespec times[2] = {{1000000, 987654321}, {1000000, 123456788}};
    MUST(utimensat(AT_FDCWD, path, times, 0));
  } else {
    int fd = (int) MUST(open(path, O_RDWR | O_CLOEXEC));
    char byte;
    MUST(pread(fd, &byte, 1, 11));
    byte++;
    MUST(pwrite(fd, &byte, 1, 11));
    close(fd);
    check_slot((int) (slot - slots));
  }
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  report_begin(arguments[1]);
  volumes = arguments + 2;
  volume_count = count - 2;
  prepare();
  start_thread(watch_gaps, NULL, STACK);
  start_thread(work, NULL, STACK);
  for (;;) {
    struct timespec pause = timespec_of(10 * MS);
    nanosleep(&pause, NULL);
    char what[64], extra[64];
    if (corrupt_wanted(what)) {
      pthread_mutex_lock(&lock);
      damage(what);
      pthread_mutex_unlock(&lock);
    }
    snprintf(extra, sizeof extra, "operations=%lu\n", (unsigned long) operations);
    write_status(extra);
    if (asked("finish")) {
      pthread_mutex_lock(&lock);
      for (int i = 0; i < SLOTS; i++) check_slot(i);
      check_rest();
      report_end();
    }
  }
}
