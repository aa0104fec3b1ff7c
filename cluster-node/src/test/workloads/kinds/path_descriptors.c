/* O_PATH: a file, a directory, a symbolic link, a FIFO, a device; and a directory that is being read. */
#include "kind.h"

#include <dirent.h>

enum { ENTRIES = 300, READ_FIRST = 120 };

static int file, directory, symbolic, fifo, device;
static DIR *listing;
static char rest[ENTRIES + 4][32];
static int rest_count;
static off_t listing_at;

static void make_paths(void) {
  close((int) MUST(open(own_path("file"), O_WRONLY | O_CREAT, 0000)));
  MUST(mkdir(own_path("directory"), 0700));
  MUST(symlink("leads/nowhere", own_path("symbolic")));
  MUST(mkfifo(own_path("fifo"), 0600));
  file = (int) MUST(open(own_path("file"), O_PATH));
  directory = (int) MUST(open(own_path("directory"), O_PATH | O_DIRECTORY | O_CLOEXEC));
  symbolic = (int) MUST(open(own_path("symbolic"), O_PATH | O_NOFOLLOW));
  fifo = (int) MUST(open(own_path("fifo"), O_PATH));
  device = (int) MUST(open("/dev/tty", O_PATH));
}

static void expect(int fd, mode_t type, int flags) {
  struct stat status;
  WORKS(fstat(fd, &status));
  HOLDS((status.st_mode & S_IFMT) == type, "descriptor %d is of type %o", fd, status.st_mode & S_IFMT);
  HOLDS(fcntl(fd, F_GETFL) == (O_PATH | flags), "descriptor %d has flags %o", fd, fcntl(fd, F_GETFL));
  char byte;
  HOLDS(read(fd, &byte, 1) == -1 && errno == EBADF, "descriptor %d can be read", fd);
}

static void look_paths(void) {
  expect(file, S_IFREG, 0);
  expect(directory, S_IFDIR, O_DIRECTORY);
  expect(symbolic, S_IFLNK, O_NOFOLLOW);
  expect(fifo, S_IFIFO, 0);
  expect(device, S_IFCHR, 0);
  char target[64] = "";
  WORKS(readlinkat(symbolic, "", target, sizeof target - 1));
  HOLDS(strcmp(target, "leads/nowhere") == 0, "the link leads to %s", target);
  int made = openat(directory, "made", O_WRONLY | O_CREAT, 0600);
  HOLDS(made >= 0 && access(own_path("directory/made"), F_OK) == 0, "nothing can be made below the directory");
  close(made);
}

static void damage_paths(void) { WORKS(dup2(file, symbolic)); }

static void read_rest(bool keep) {
  struct dirent *entry;
  int at = 0;
  for (; (entry = readdir(listing)) != NULL; at++) {
    if (keep) snprintf(rest[at], sizeof rest[at], "%.31s", entry->d_name);
    HOLDS(at < rest_count || keep, "there is one entry more: %s", entry->d_name);
    if (!keep && at < rest_count) HOLDS(strcmp(rest[at], entry->d_name) == 0, "entry %d is %s, not %s", at, entry->d_name, rest[at]);
  }
  if (keep) rest_count = at;
  HOLDS(at == rest_count, "there are %d entries left, not %d", at, rest_count);
  seekdir(listing, listing_at);
}

static void make_listing(void) {
  MUST(mkdir(own_path("many"), 0700));
  for (int i = 0; i < ENTRIES; i++) {
    char name[32];
    snprintf(name, sizeof name, "many/%d", i);
    close((int) MUST(open(own_path(name), O_WRONLY | O_CREAT, 0600)));
  }
  listing = opendir(own_path("many"));
  for (int i = 0; i < READ_FIRST; i++) readdir(listing);
  listing_at = telldir(listing);
  read_rest(true);
  if (rest_count < ENTRIES - READ_FIRST) exit(2);
}

static void look_listing(void) {
  HOLDS(lseek(dirfd(listing), 0, SEEK_CUR) == listing_at, "the position is another one");
  read_rest(false);
}

static void damage_listing(void) { rewinddir(listing); WORKS(unlink(own_path("many/7"))); WORKS(unlink(own_path("many/8"))); listing_at = 0; }

KIND({"paths", make_paths, look_paths, damage_paths}, {"listing", make_listing, look_listing, damage_listing});
