/* Files that are mapped, or run, and have no name any more: private and shared, written meanwhile, replaced libraries, a program that was removed. */
#include "kind.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/sendfile.h>

enum { PAGE = 4096, PAGES = 64, BYTES = PAGES * PAGE };

static int create(const char *name) { return (int) MUST(open(own_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0750)); }

static char *map(int fd, int pages, int protection, int flags, int first) {
  void *at = mmap(NULL, (size_t) pages * PAGE, protection, flags, fd, (off_t) first * PAGE);
  if (at == MAP_FAILED) {
    fprintf(stderr, "mmap: %s\n", strerror(errno));
    exit(2);
  }
  return at;
}

static void copy(const char *from, const char *to) {
  int in = (int) MUST(open(from, O_RDONLY | O_CLOEXEC));
  int out = create(to);
  struct stat status;
  MUST(fstat(in, &status));
  for (off_t done = 0; done < status.st_size;) {
    done += (off_t) MUST(sendfile(out, in, NULL, (size_t) (status.st_size - done)));
  }
  close(in);
  close(out);
}

/* What /proc/self/maps calls the file at an address. */
static void name_at(const void *at, char name[600]) {
  FILE *maps = fopen("/proc/self/maps", "re");
  char line[900];
  name[0] = 0;
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
    unsigned long start, end;
    int begin = 0;
    if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &begin) == 2 && start <= (uintptr_t) at && (uintptr_t) at < end) {
      snprintf(name, 600, "%s", line + begin);
      name[strcspn(name, "\n")] = 0;
    }
  }
  if (maps != NULL) fclose(maps);
}

static bool ends_with(const char *text, const char *end) { return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0; }

/* --- one file, mapped in every way and open as well --------------------------------------------------------------------------------------- */

static int together;
static char *own, *reading, *shared;
static struct child heir;

static void look_heir(void) {
  HOLDS(holds(own + 3 * PAGE, PAGE, 77) && holds(own + PAGE, PAGE, 1 + PAGE / 8), "the child's private copy differs");
  HOLDS(holds(shared + 60 * PAGE, PAGE, 1 + 60 * PAGE / 8), "the child sees another file");
  shared[40 * PAGE + 8]++;
}

static void make_together(void) {
  together = create("together");
  char content[PAGE];
  for (int page = 0; page < PAGES; page++) {
    fill(content, PAGE, (uint64_t) (1 + page * PAGE / 8));
    if (page == 20) memset(content, 0, sizeof content);
    MUST(pwrite(together, content, PAGE, page * PAGE));
  }
  own = map(together, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  reading = map(together, 8, PROT_READ, MAP_PRIVATE, 10);
  shared = map(together, PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  fill(own + 3 * PAGE, PAGE, 77);
  MUST(mprotect(own + 5 * PAGE, PAGE, PROT_READ));
  MUST(unlink(own_path("together")));
  heir = child_begin(NULL, look_heir, NULL);
}

static void look_together(void) {
  unsigned char before = (unsigned char) shared[40 * PAGE + 8];
  child_says(&heir);
  HOLDS((unsigned char) shared[40 * PAGE + 8] == (unsigned char) (before + 1), "what the child writes does not arrive");
  HOLDS(holds(own, 3 * PAGE, 1) && holds(own + 4 * PAGE, 16 * PAGE, 1 + 4 * PAGE / 8), "clean pages of the private mapping differ");
  HOLDS(holds(own + 3 * PAGE, PAGE, 77), "the private copy differs");
  HOLDS(holds(reading, 8 * PAGE, 1 + 10 * PAGE / 8), "the mapping for reading differs");
  HOLDS(holds(shared, 20 * PAGE, 1) && holds(shared + 41 * PAGE, 23 * PAGE, 1 + 41 * PAGE / 8), "the shared mapping differs");
  char byte = 0;
  shared[30 * PAGE] = (char) asked_number;
  WORKS(pread(together, &byte, 1, 30 * PAGE));
  HOLDS(byte == (char) asked_number, "the descriptor leads to another file than the shared mapping");
  HOLDS(own[30 * PAGE] == (char) asked_number, "the private mapping shows another file than the shared one");
  struct stat status;
  WORKS(fstat(together, &status));
  HOLDS(status.st_nlink == 0 && status.st_size == BYTES && (status.st_mode & 07777) == 0750, "links %lu, size %ld, mode %o",
      (unsigned long) status.st_nlink, (long) status.st_size, status.st_mode);
}

static void damage_together(void) { own[4 * PAGE] ^= 1; }

/* --- written all the time, with nothing open ------------------------------------------------------------------------------------------------ */

enum { WRITTEN_BYTES = 512 * PAGE };
static char *written, *looking;
/* How often the writer has been through; what it writes is that number. */
static atomic_ulong passes, writer_waits, writer_stands;

static void *write_on(void *nothing) {
  (void) nothing;
  for (;;) {
    while (atomic_load(&writer_waits) != 0) {
      atomic_store(&writer_stands, 1);
      usleep(100);
    }
    atomic_store(&writer_stands, 0);
    unsigned long pass = atomic_load(&passes) + 1;
    for (int page = 0; page < 512; page++) {
      *(volatile unsigned long *) (written + page * PAGE + 16) = pass * 1000 + (unsigned long) page;
    }
    atomic_store(&passes, pass);
    usleep(500);
  }
  return NULL;
}

static void make_written(void) {
  int fd = create("written");
  MUST(ftruncate(fd, WRITTEN_BYTES + 100));
  written = map(fd, 512, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  close(fd);
  fd = (int) MUST(open(own_path("written"), O_RDONLY | O_CLOEXEC));
  looking = map(fd, 513, PROT_READ, MAP_SHARED, 0);
  close(fd);
  MUST(unlink(own_path("written")));
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, write_on, NULL) == 0 ? 0 : -1);
}

static void look_written(void) {
  atomic_store(&writer_waits, 1);
  while (atomic_load(&writer_stands) == 0) usleep(100);
  unsigned long pass = atomic_load(&passes);
  for (int page = 0; page < 512; page++) {
    unsigned long found = *(volatile unsigned long *) (looking + page * PAGE + 16);
    HOLDS(pass == 0 || found == pass * 1000 + (unsigned long) page, "page %d holds %lu after pass %lu", page, found, pass);
  }
  HOLDS(mprotect(looking, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "a mapping that was made for reading can be written");
  struct stat status;
  char link[100];
  snprintf(link, sizeof link, "/proc/self/map_files/%lx-%lx", (unsigned long) looking, (unsigned long) looking + 513 * PAGE);
  if (stat(link, &status) == 0) HOLDS(status.st_size == WRITTEN_BYTES + 100, "it is %ld bytes long", (long) status.st_size);
  atomic_store(&writer_stands, 0);
  atomic_store(&writer_waits, 0);
}

static void damage_written(void) {
  atomic_store(&writer_waits, 1);
  while (atomic_load(&writer_stands) == 0) usleep(100);
  written[100 * PAGE + 17]++;
  atomic_store(&passes, atomic_load(&passes) | 1);
  /* It would mend that in the next pass. */
  written = map(-1, 512, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
  atomic_store(&writer_waits, 0);
}

/* --- a library that was replaced by a new one ------------------------------------------------------------------------------------------------ */

static const char *library;
static double (*cosine)(double);

static void make_library(void) {
  static char path[600];
  double (*known)(double);
  void *handle = dlopen("libm.so.6", RTLD_NOW);
  *(void **) &known = handle == NULL ? NULL : dlsym(handle, "lgamma");
  Dl_info info;
  if (known == NULL || dladdr(*(void **) &known, &info) == 0) exit(2);
  copy(info.dli_fname, "libown.so");
  snprintf(path, sizeof path, "%s", own_path("libown.so"));
  handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  *(void **) &cosine = handle == NULL ? NULL : dlsym(handle, "lgamma");
  if (cosine == NULL || dladdr(*(void **) &cosine, &info) == 0) {
    fprintf(stderr, "dlopen: %s\n", dlerror());
    exit(2);
  }
  library = info.dli_fbase;
  int fd = create("libnew.so");
  MUST(write(fd, "not a library at all", 20));
  close(fd);
  MUST(rename(own_path("libnew.so"), path));
}

static void look_library(void) {
  char name[600];
  double result = cosine(0.5);
  HOLDS(result > 0.57236 && result < 0.57237, "it computes %f", result);
  HOLDS(memcmp(library, "\177ELF\2\1\1", 7) == 0 && library[8] == 0, "its first page differs");
  name_at(library, name);
  HOLDS(strstr(name, "libown.so") != NULL && ends_with(name, " (deleted)"), "it is called %s", name);
  char content[32] = "";
  int fd = (int) WORKS(open(own_path("libown.so"), O_RDONLY));
  WORKS(read(fd, content, sizeof content - 1));
  close(fd);
  HOLDS(strcmp(content, "not a library at all") == 0, "the new one holds %s", content);
}

static void damage_library(void) {
  WORKS(mprotect((void *) library, PAGE, PROT_READ | PROT_WRITE));
  ((char *) library)[8] = 1;
}

/* --- a program that was removed -------------------------------------------------------------------------------------------------------------- */

static struct child ran;

static void look_ran(void) {
  char link[600] = "", name[600];
  WORKS(readlink("/proc/self/exe", link, sizeof link - 1));
  HOLDS(strstr(link, "/ran") != NULL && ends_with(link, " (deleted)"), "it runs %s", link);
  name_at((const void *) (uintptr_t) look_ran, name);
  HOLDS(strcmp(name, link) == 0, "it has mapped %s and runs %s", name, link);
  struct stat status;
  WORKS(stat("/proc/self/exe", &status));
  HOLDS(status.st_nlink == 0 && (status.st_mode & 07777) == 0750, "links %lu, mode %o", (unsigned long) status.st_nlink, status.st_mode);
  HOLDS(open("/proc/self/exe", O_RDWR) == -1 && errno == ETXTBSY, "the program that runs can be written");
}

static void serve(int order, int answer) {
  for (;;) {
    char wanted;
    if (write(answer, item_fault, sizeof item_fault) != sizeof item_fault || read(order, &wanted, 1) != 1) _exit(0);
    item_fault[0] = 0;
    if (wanted == 'l') look_ran();
    if (wanted == 'd') {
      char numbers[2][20], program[40];
      snprintf(numbers[0], 20, "%d", order);
      snprintf(numbers[1], 20, "%d", answer);
      snprintf(program, sizeof program, "/proc/%d/exe", getppid());
      execl(program, "ran", "ran", numbers[0], numbers[1], (char *) NULL);
      _exit(4);
    }
  }
}

/* Before main, which would begin another report. */
__attribute__((constructor)) static void begin_ran(int count, char **arguments) {
  if (count == 4 && strcmp(arguments[1], "ran") == 0) serve(atoi(arguments[2]), atoi(arguments[3]));
}

static void make_ran(void) {
  copy("/proc/self/exe", "ran");
  MUST(pipe2(ran.order, O_CLOEXEC));
  MUST(pipe2(ran.answer, O_CLOEXEC));
  ran.pid = (pid_t) MUST(fork());
  if (ran.pid == 0) {
    char numbers[2][20];
    int order = dup(ran.order[0]), answer = dup(ran.answer[1]);
    snprintf(numbers[0], 20, "%d", order);
    snprintf(numbers[1], 20, "%d", answer);
    execl(own_path("ran"), "ran", "ran", numbers[0], numbers[1], (char *) NULL);
    _exit(4);
  }
  close(ran.order[0]);
  close(ran.answer[1]);
  char nothing[FAULT_ROOM];
  MUST(read(ran.answer[0], nothing, sizeof nothing) == sizeof nothing ? 0 : -1);
  MUST(unlink(own_path("ran")));
}

static void look_program(void) { child_says(&ran); }

static void damage_program(void) { child_damages(&ran); }

/* --- O_TMPFILE, in a removed directory, and under another name -------------------------------------------------------------------------------- */

static char *temporary, *inside, *linked;

static void make_others(void) {
  int fd = (int) MUST(open(report_directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  MUST(ftruncate(fd, 4 * PAGE));
  temporary = map(fd, 4, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  close(fd);
  fill(temporary, 4 * PAGE, 4242);
  MUST(mkdir(own_path("around"), 0755));
  fd = create("around/inside");
  MUST(ftruncate(fd, 4 * PAGE));
  inside = map(fd, 4, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  close(fd);
  fill(inside + PAGE, PAGE, 4343);
  MUST(unlink(own_path("around/inside")));
  MUST(rmdir(own_path("around")));
  fd = create("first-name");
  MUST(ftruncate(fd, PAGE));
  linked = map(fd, 1, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
  close(fd);
  MUST(link(own_path("first-name"), own_path("second-name")));
  MUST(unlink(own_path("first-name")));
}

static void look_others(void) {
  HOLDS(holds(temporary, 4 * PAGE, 4242), "what never had a name differs");
  HOLDS(holds(inside + PAGE, PAGE, 4343) && inside[0] == 0 && inside[3 * PAGE] == 0, "what was in a removed directory differs");
  HOLDS(access(own_path("around"), F_OK) == -1, "the directory is there again");
  linked[7] = (char) asked_number;
  int fd = (int) WORKS(open(own_path("second-name"), O_RDONLY));
  char byte = 0;
  WORKS(pread(fd, &byte, 1, 7));
  close(fd);
  HOLDS(byte == (char) asked_number, "the other name leads to another file");
}

static void damage_others(void) { inside[0] = 1; }

KIND({"together", make_together, look_together, damage_together}, {"written", make_written, look_written, damage_written},
    {"library", make_library, look_library, damage_library}, {"program", make_ran, look_program, damage_program},
    {"others", make_others, look_others, damage_others});
