/* Files that are open without the name they were opened by: removed, replaced, never named, in removed directories, with other names left. */
#include "kind.h"

#include <poll.h>

enum { BLOCK = 4096 };

static int create(const char *name, int flags) { return (int) MUST(open(own_path(name), flags | O_CREAT | O_CLOEXEC, 0640)); }

static bool same_inode(int a, int b) {
  struct stat first, second;
  return WORKS(fstat(a, &first)) == 0 && WORKS(fstat(b, &second)) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static void says(int fd, const char *text) {
  char found[64] = "";
  ssize_t got = WORKS(pread(fd, found, sizeof found - 1, 0));
  HOLDS(got == (ssize_t) strlen(text) && strcmp(found, text) == 0, "the content is \"%s\"", found);
}

/* --- opened several times, and by several processes -------------------------------------------------------------------------------------- */

static int twice, appending, reading;
static struct child other;

static void look_child(void) {
  says(twice, "one inode, many openings");
  HOLDS(write(reading, "x", 1) == -1 && errno == EBADF, "a file that was open for reading can be written");
  HOLDS((fcntl(appending, F_GETFL) & O_APPEND) != 0, "O_APPEND is lost");
}

static void make_twice(void) {
  twice = create("twice", O_RDWR);
  appending = create("twice", O_WRONLY | O_APPEND);
  reading = create("twice", O_RDONLY);
  MUST(write(appending, "one inode, many openings", 24));
  MUST(fchmod(twice, 0604));
  MUST(unlink(own_path("twice")));
  other = child_begin(NULL, look_child, NULL);
}

static void look_twice(void) {
  child_says(&other);
  struct stat status;
  WORKS(fstat(twice, &status));
  HOLDS((status.st_mode & 07777) == 0604 && status.st_nlink == 0, "mode %o, links %lu", status.st_mode, (unsigned long) status.st_nlink);
  HOLDS(same_inode(twice, appending) && same_inode(twice, reading), "it is more than one file now");
}

static void damage_twice(void) { WORKS(pwrite(twice, "O", 1, 0)); }

/* --- holes ------------------------------------------------------------------------------------------------------------------------------- */

static int sparse;

static void make_sparse(void) {
  sparse = create("sparse", O_RDWR);
  MUST(unlink(own_path("sparse")));
  char block[BLOCK];
  memset(block, 's', sizeof block);
  MUST(pwrite(sparse, block, BLOCK, 3 * BLOCK));
  MUST(pwrite(sparse, block, BLOCK, 5 * BLOCK));
  memset(block, 0, sizeof block);
  MUST(pwrite(sparse, block, BLOCK, 40 * BLOCK));
  MUST(pwrite(sparse, block, BLOCK, 3000l * BLOCK));
  MUST(ftruncate(sparse, 8l << 30));
}

static void look_sparse(void) {
  static const long data[] = {3, 5, 40, 3000};
  off_t at = 0;
  for (int i = 0; i < 4; i++) {
    at = lseek(sparse, at, SEEK_DATA);
    HOLDS(at == data[i] * BLOCK, "data begins at %ld, not at block %ld", (long) at, data[i]);
    at = lseek(sparse, at, SEEK_HOLE);
    HOLDS(at == (data[i] + 1) * BLOCK, "a hole begins at %ld, not behind block %ld", (long) at, data[i]);
  }
  HOLDS(lseek(sparse, at, SEEK_DATA) == -1 && errno == ENXIO, "there is more data");
  HOLDS(lseek(sparse, 0, SEEK_END) == 8l << 30, "its length is wrong");
  char byte = 0;
  WORKS(pread(sparse, &byte, 1, 5 * BLOCK + 17));
  HOLDS(byte == 's', "the data is wrong");
}

static void damage_sparse(void) { WORKS(pwrite(sparse, "d", 1, 100 * BLOCK)); }

/* --- O_TMPFILE --------------------------------------------------------------------------------------------------------------------------- */

static int temporary, links_made;

static void make_temporary(void) {
  temporary = (int) MUST(open(report_directory, O_TMPFILE | O_RDWR, 0600));
  MUST(write(temporary, "never named", 11));
}

/* It gets a name once, late, and keeps it: a file that had a name and lost it cannot get one again. */
static void look_temporary(void) {
  says(temporary, "never named");
  if (asked_number < 2 || links_made > 0) return;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", temporary);
  WORKS(linkat(AT_FDCWD, link, AT_FDCWD, own_path("named"), AT_SYMLINK_FOLLOW));
  links_made++;
  int named = (int) WORKS(open(own_path("named"), O_RDONLY));
  HOLDS(same_inode(temporary, named), "the name leads to another file");
  close(named);
}

static void damage_temporary(void) { WORKS(ftruncate(temporary, 3)); }

/* --- removed directories ----------------------------------------------------------------------------------------------------------------- */

static int directory, inside;
static struct child lost;

static void remove_around(void) {
  MUST(mkdir(own_path("left"), 0750));
  MUST(chdir(own_path("left")));
  MUST(rmdir(own_path("left")));
}

static void look_lost(void) {
  struct stat here, opened;
  WORKS(stat(".", &here));
  int fd = (int) WORKS(open(".", O_RDONLY | O_DIRECTORY));
  WORKS(fstat(fd, &opened));
  close(fd);
  HOLDS(here.st_nlink == 0 && here.st_ino == opened.st_ino && (here.st_mode & 07777) == 0750, "links %lu, mode %o", (unsigned long) here.st_nlink,
      here.st_mode);
  char path[600];
  HOLDS(syscall(SYS_getcwd, path, sizeof path) == -1 && errno == ENOENT, "the working directory has a name");
}

static void damage_lost(void) { WORKS(chdir("/")); }

static void make_directory(void) {
  MUST(mkdir(own_path("outer"), 0755));
  MUST(mkdir(own_path("outer/removed"), 0711));
  directory = (int) MUST(open(own_path("outer/removed"), O_RDONLY | O_DIRECTORY));
  inside = create("outer/removed/file", O_RDWR);
  MUST(write(inside, "in a removed directory", 22));
  MUST(unlink(own_path("outer/removed/file")));
  MUST(rmdir(own_path("outer/removed")));
  MUST(rmdir(own_path("outer")));
  lost = child_begin(remove_around, look_lost, damage_lost);
}

static void look_directory(void) {
  child_says(&lost);
  says(inside, "in a removed directory");
  struct stat status;
  WORKS(fstat(directory, &status));
  HOLDS(status.st_nlink == 0 && status.st_mode == (S_IFDIR | 0711), "links %lu, mode %o", (unsigned long) status.st_nlink, status.st_mode);
  HOLDS(openat(directory, "new", O_WRONLY | O_CREAT, 0600) == -1 && errno == ENOENT, "a file can be made in a removed directory");
  HOLDS(access(own_path("outer"), F_OK) == -1, "the directories have names again");
}

static void damage_directory(void) { child_damages(&lost); }

/* --- other names ------------------------------------------------------------------------------------------------------------------------- */

static int linked, renamed, replaced, odd;

static void make_linked(void) {
  linked = create("first-name", O_RDWR);
  MUST(write(linked, "linked", 6));
  MUST(link(own_path("first-name"), own_path("second-name")));
  MUST(unlink(own_path("first-name")));
  renamed = create("before", O_RDWR);
  MUST(write(renamed, "renamed", 7));
  MUST(rename(own_path("before"), own_path("after")));
  replaced = create("replaced", O_RDWR);
  MUST(write(replaced, "the old one", 11));
  int successor = create("successor", O_RDWR);
  MUST(write(successor, "the new one", 11));
  close(successor);
  MUST(rename(own_path("successor"), own_path("replaced")));
  odd = create("odd\nname (deleted)", O_RDWR);
  MUST(write(odd, "odd", 3));
}

static void expect_name(int fd, const char *name) {
  int named = (int) WORKS(open(own_path(name), O_RDONLY));
  if (named < 0) return;
  HOLDS(same_inode(fd, named), "%s leads to another file", name);
  close(named);
}

static void look_linked(void) {
  says(linked, "linked");
  expect_name(linked, "second-name");
  says(renamed, "renamed");
  expect_name(renamed, "after");
  says(replaced, "the old one");
  int successor = (int) WORKS(open(own_path("replaced"), O_RDONLY));
  says(successor, "the new one");
  close(successor);
  says(odd, "odd");
  expect_name(odd, "odd\nname (deleted)");
}

static void damage_linked(void) { WORKS(pwrite(replaced, "THE", 3, 0)); }

/* --- a FIFO ------------------------------------------------------------------------------------------------------------------------------ */

static int fifo_in, fifo_out;

static void make_fifo(void) {
  MUST(mkfifo(own_path("fifo"), 0600));
  fifo_out = (int) MUST(open(own_path("fifo"), O_RDONLY | O_NONBLOCK));
  fifo_in = (int) MUST(open(own_path("fifo"), O_WRONLY));
  MUST(unlink(own_path("fifo")));
  MUST(write(fifo_in, "waiting", 7));
}

static void look_fifo(void) {
  char found[16] = "";
  HOLDS(WORKS(read(fifo_out, found, sizeof found)) == 7 && memcmp(found, "waiting", 7) == 0, "in the FIFO is %.16s", found);
  HOLDS(read(fifo_out, found, 1) == -1 && errno == EAGAIN, "the FIFO does not end there");
  HOLDS(same_inode(fifo_in, fifo_out), "its ends belong to different FIFOs");
  WORKS(write(fifo_in, "waiting", 7));
}

static void damage_fifo(void) { WORKS(write(fifo_in, "!", 1)); }

KIND({"twice", make_twice, look_twice, damage_twice}, {"sparse", make_sparse, look_sparse, damage_sparse},
    {"temporary", make_temporary, look_temporary, damage_temporary}, {"directory", make_directory, look_directory, damage_directory},
    {"linked", make_linked, look_linked, damage_linked}, {"fifo", make_fifo, look_fifo, damage_fifo});
