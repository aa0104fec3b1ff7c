/* Reserved huge pages: private ones, also dropped and touched again, shared with a child, of memory files mapped both ways and only open. */
#include "kind.h"

enum { PAGE = 4096, HUGE = 2 << 20 };

static char *map(int fd, int pages, int flags) {
  char *at = mmap(NULL, (size_t) pages * HUGE, PROT_READ | PROT_WRITE, flags | (fd < 0 ? MAP_ANONYMOUS | MAP_HUGETLB : 0), fd, 0);
  if (at == MAP_FAILED) {
    fprintf(stderr, "mmap of huge pages: %s; is vm.nr_hugepages large enough?\n", strerror(errno));
    exit(2);
  }
  return at;
}

static bool is_zero(const char *at, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) {
    if (at[i] != 0) return false;
  }
  return true;
}

/* Size of the kernel's pages in the mapping at an address, in kB. */
static long page_size_at(const void *at) {
  FILE *maps = fopen("/proc/self/smaps", "re");
  char line[900];
  long size = -1;
  bool here = false;
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) here = start <= (uintptr_t) at && (uintptr_t) at < end;
    if (here) sscanf(line, "KernelPageSize: %ld", &size);
  }
  if (maps != NULL) fclose(maps);
  return size;
}

/* --- private ------------------------------------------------------------------------------------------------------------------------------ */

/* Filled whole; one small page in it; never touched; without any access. */
static char *private, *locked;

static void make_private(void) {
  private = map(-1, 3, MAP_PRIVATE);
  fill(private, HUGE, 1);
  fill(private + HUGE + 7 * PAGE, PAGE, 2);
  locked = map(-1, 1, MAP_PRIVATE);
  fill(locked, PAGE, 3);
  MUST(mprotect(locked, HUGE, PROT_NONE));
}

static void look_private(void) {
  HOLDS(page_size_at(private) == 2048 && page_size_at(locked) == 2048, "its pages are %ld kB", page_size_at(private));
  HOLDS(holds(private, HUGE, 1), "the full page differs");
  HOLDS(is_zero(private + HUGE, 7 * PAGE) && holds(private + HUGE + 7 * PAGE, PAGE, 2) && is_zero(private + HUGE + 8 * PAGE, HUGE - 8 * PAGE), "the sparse page differs");
  WORKS(mprotect(locked, HUGE, PROT_READ));
  HOLDS(holds(locked, PAGE, 3), "the page without access differs");
  WORKS(mprotect(locked, HUGE, PROT_NONE));
  /* Another content until the next look. */
  if (asked_number % 2 == 0) fill(private + HUGE + 7 * PAGE, PAGE, 2);
}

static void damage_private(void) { private[HUGE + 100 * PAGE] = 1; }

/* --- dropped, and touched again by reading: nothing is written, and yet it is another page ------------------------------------------------- */

static char *dropped;
static atomic_bool drop_wanted = true;

static void *drop(void *nothing) {
  (void) nothing;
  for (uint64_t turn = 0;; turn++) {
    /* Whatever a round sends, by the freeze it is gone. */
    if (atomic_load(&drop_wanted)) {
      memset(dropped, (int) (1 + turn % 100), HUGE);
      usleep(20000);
      madvise(dropped, HUGE, MADV_DONTNEED);
      if (!is_zero(dropped, HUGE)) error_found("a page that was dropped is not zero");
      usleep(20000);
      if (!is_zero(dropped, HUGE)) error_found("a page that was dropped has become what it was");
    } else {
      usleep(1000);
    }
  }
  return NULL;
}

static void make_dropped(void) {
  dropped = map(-1, 1, MAP_PRIVATE);
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, drop, NULL) == 0 ? 0 : -1);
}

static void look_dropped(void) { HOLDS(page_size_at(dropped) == 2048, "it is no huge page"); }

static void damage_dropped(void) {
  atomic_store(&drop_wanted, false);
  usleep(100000);
  WORKS(munmap(dropped, HUGE));
}

/* --- shared with a child ------------------------------------------------------------------------------------------------------------------- */

static char *shared, *inherited;
static struct child other;

static void child_looks(void) {
  HOLDS(page_size_at(shared) == 2048, "in the child it is no huge page");
  HOLDS(holds(shared + 5 * PAGE, PAGE, 4), "the child sees something else");
  HOLDS(holds(inherited, HUGE, 5), "what the child has inherited differs");
  shared[HUGE - 1]++;
}

static void child_writes(void) { shared[5 * PAGE]++; }

static void make_shared(void) {
  shared = map(-1, 1, MAP_SHARED);
  fill(shared + 5 * PAGE, PAGE, 4);
  inherited = map(-1, 1, MAP_PRIVATE);
  fill(inherited, HUGE, 5);
  other = child_begin(NULL, child_looks, child_writes);
}

static void look_shared(void) {
  char before = shared[HUGE - 1];
  child_says(&other);
  HOLDS(shared[HUGE - 1] == (char) (before + 1), "what the child writes does not come");
  HOLDS(holds(shared + 5 * PAGE, PAGE, 4), "it differs");
}

static void damage_shared(void) { child_damages(&other); }

/* --- memory files ---------------------------------------------------------------------------------------------------------------------------- */

static int mapped_file, open_file;
static char *file_shared, *file_private;

static void make_file(void) {
  mapped_file = (int) MUST(memfd_create("huge-mapped", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING));
  MUST(ftruncate(mapped_file, HUGE));
  file_shared = map(mapped_file, 1, MAP_SHARED);
  fill(file_shared, HUGE / 2, 6);
  MUST(fcntl(mapped_file, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
  file_private = map(mapped_file, 1, MAP_PRIVATE);
  fill(file_private + 9 * PAGE, PAGE, 7);
  open_file = (int) MUST(memfd_create("huge-open", MFD_CLOEXEC | MFD_HUGETLB));
  MUST(ftruncate(open_file, HUGE));
  char *once = map(open_file, 1, MAP_SHARED);
  fill(once + 3 * PAGE, PAGE, 8);
  munmap(once, HUGE);
}

static void look_file(void) {
  HOLDS(page_size_at(file_shared) == 2048 && page_size_at(file_private) == 2048, "it has no huge pages");
  HOLDS(holds(file_shared, HUGE / 2, 6) && is_zero(file_shared + HUGE / 2, HUGE / 2), "the content differs");
  HOLDS(holds(file_private, 9 * PAGE, 6) && holds(file_private + 9 * PAGE, PAGE, 7), "the private copy differs");
  HOLDS(WORKS(fcntl(mapped_file, F_GET_SEALS)) == (F_SEAL_GROW | F_SEAL_SHRINK), "the seals differ");
  char page[PAGE];
  HOLDS(WORKS(pread(open_file, page, PAGE, 3 * PAGE)) == PAGE && holds(page, PAGE, 8), "the file that is only open differs");
  struct stat status;
  WORKS(fstat(open_file, &status));
  HOLDS(status.st_blksize == HUGE && status.st_size == HUGE, "the file that is only open has another size");
}

static void damage_file(void) { file_shared[HUGE / 2 + 17] = 1; }

/* The child first, so that it inherits no more than it is to have. */
KIND({"shared", make_shared, look_shared, damage_shared}, {"private", make_private, look_private, damage_private},
    {"file", make_file, look_file, damage_file}, {"dropped", make_dropped, look_dropped, damage_dropped});
