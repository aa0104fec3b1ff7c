/* Memory: every kind of mapping, their flags and contents, and the layout as a whole. */
#ifndef EVERYTHING_MEMORY_H
#define EVERYTHING_MEMORY_H

#include "everything.h"

#include <link.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#define ADVICE_GUARD_INSTALL 102 /* MADV_GUARD_INSTALL, linux/mman.h since 6.13 */
#define RESERVED (256ull << 30)
#define ISLANDS 4

/* ---- reads that must fault: the handler jumps back ---- */

static sigjmp_buf fault_return;
static volatile sig_atomic_t fault_expected, faults_on_alternate_stack;
static char *alternate_stack;
#define ALTERNATE_STACK_BYTES (64 * 1024)

static void on_fault(int signal) {
  char here;
  if (&here >= alternate_stack && &here < alternate_stack + ALTERNATE_STACK_BYTES) faults_on_alternate_stack++;
  if (!fault_expected) {
    error_found("signal %d came unexpectedly", signal);
    _exit(6);
  }
  siglongjmp(fault_return, 1);
}

static bool faults(volatile char *at) {
  fault_expected = 1;
  bool faulted = true;
  if (sigsetjmp(fault_return, 1) == 0) {
    (void) *at;
    faulted = false;
  }
  fault_expected = 0;
  return faulted;
}

/* ---- flags of a mapping as the kernel shows them ---- */

static char smaps_text[1 << 20];

static void vm_flags(const void *address, char into[128]) {
  into[0] = 0;
  if (slurp("/proc/self/smaps", smaps_text, sizeof smaps_text) < 0) return;
  bool inside = false;
  for (char *line = smaps_text; *line != 0;) {
    char *end = line + strcspn(line, "\n");
    uint64_t from, to;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2) inside = from <= (uint64_t) address && (uint64_t) address < to;
    if (inside && strncmp(line, "VmFlags: ", 9) == 0) {
      size_t length = (size_t) (end - line) - 9;
      if (length > 127) length = 127;
      memcpy(into, line + 9, length);
      into[length] = 0;
      return;
    }
    line = *end == 0 ? end : end + 1;
  }
}

/* ---- areas with flags of every sort ---- */

struct area {
  const char *name;
  int advice;      /* madvise value, or 0 */
  int lock;        /* 0 none, 1 mlock, 2 mlock2(MLOCK_ONFAULT) */
  int map_flags;   /* besides PRIVATE and ANONYMOUS */
  uint64_t pages;
  char *at;
  char flags[128];
};

static struct area areas[] = {
    {.name = "dontfork", .advice = MADV_DONTFORK, .pages = 16},
    {.name = "dontdump", .advice = MADV_DONTDUMP, .pages = 16},
    {.name = "sequential", .advice = MADV_SEQUENTIAL, .pages = 16},
    {.name = "random", .advice = MADV_RANDOM, .pages = 16},
    {.name = "wipeonfork", .advice = MADV_WIPEONFORK, .pages = 16},
    {.name = "hugepage", .advice = MADV_HUGEPAGE, .pages = 2048},
    {.name = "nohugepage", .advice = MADV_NOHUGEPAGE, .pages = 1024},
    {.name = "mlock", .lock = 1, .pages = 16},
    {.name = "mlock-onfault", .lock = 2, .pages = 16},
    {.name = "noreserve", .map_flags = MAP_NORESERVE, .pages = 16},
    {.name = "growsdown", .map_flags = MAP_GROWSDOWN, .pages = 16},
    {.name = "map-locked", .map_flags = MAP_LOCKED, .pages = 16},
};
#define AREAS ((int) (sizeof areas / sizeof *areas))

static void prepare_areas(void) {
  for (int i = 0; i < AREAS; i++) {
    struct area *area = &areas[i];
    /* A hole on both sides keeps neighbours from being merged. */
    uint64_t align = area->pages > 512 ? 2ull << 20 : PAGE, bytes = area->pages * PAGE;
    char *hole = mmap(NULL, bytes + 2 * align + 32 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(hole == MAP_FAILED ? -1 : 0);
    munmap(hole, bytes + 2 * align + 32 * PAGE);
    char *place = (char *) (((uint64_t) hole + 16 * PAGE + align - 1) / align * align);
    area->at = mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | area->map_flags, -1, 0);
    MUST(area->at == MAP_FAILED ? -1 : 0);
    if (area->advice != 0) MUST(madvise(area->at, bytes, area->advice));
    if (area->lock != 0) MUST(area->lock == 1 ? mlock(area->at, bytes) : mlock2(area->at, bytes, MLOCK_ONFAULT));
    fill(area->at, bytes, (uint64_t) i);
    vm_flags(area->at, area->flags);
  }
}

static void look_at_areas(void) {
  for (int i = 0; i < AREAS; i++) {
    struct area *area = &areas[i];
    char flags[128];
    vm_flags(area->at, flags);
    HOLDS(strcmp(flags, area->flags) == 0, "the flags of area %s are '%s' instead of '%s'", area->name, flags, area->flags);
    HOLDS(holds(area->at, area->pages * PAGE, (uint64_t) i), "the content of area %s is wrong", area->name);
  }
}

static void damage_areas(void) { madvise(areas[2].at, 16 * PAGE, MADV_NORMAL); }

/* ---- private anonymous memory with holes, zero pages and read-only parts ---- */

static char *patchwork;

static void prepare_patchwork(void) {
  patchwork = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill(patchwork, 8 * PAGE, 11);
  memset(patchwork + 8 * PAGE, 0, 8 * PAGE);          /* written, and zero */
  (void) *(volatile char *) (patchwork + 20 * PAGE);  /* read only: the shared zero page */
  fill(patchwork + 32 * PAGE, 8 * PAGE, 12);
  MUST(mprotect(patchwork + 32 * PAGE, 4 * PAGE, PROT_READ));
  fill(patchwork + 48 * PAGE, 4 * PAGE, 13);
  MUST(madvise(patchwork + 48 * PAGE, 2 * PAGE, MADV_DONTNEED));
  MUST(mprotect(patchwork + 56 * PAGE, 4 * PAGE, PROT_NONE));
}

static void look_at_patchwork(void) {
  HOLDS(holds(patchwork, 8 * PAGE, 11), "written pages are wrong");
  HOLDS(all_zero(patchwork + 8 * PAGE, 24 * PAGE), "pages that were zero are not");
  HOLDS(holds(patchwork + 32 * PAGE, 8 * PAGE, 12), "read-only pages are wrong");
  HOLDS(all_zero(patchwork + 48 * PAGE, 2 * PAGE), "dropped pages are not zero");
  HOLDS(((uint64_t *) (patchwork + 50 * PAGE))[0] == mix(13 + 2 * PAGE / 8), "the page after the dropped ones is wrong");
  HOLDS(faults(patchwork + 57 * PAGE), "a page without rights can be read");
  HOLDS(!faults(patchwork + 33 * PAGE), "a read-only page cannot be read");
}

static void damage_patchwork(void) { patchwork[9 * PAGE + 5] = 1; }

/* ---- hundreds of gigabytes reserved, little used ---- */

static char *reservation;

static char *island(int i) { return reservation + RESERVED / ISLANDS * (uint64_t) i + 77 * PAGE; }

static void prepare_reservation(void) {
  reservation = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  MUST(reservation == MAP_FAILED ? -1 : 0);
  for (int i = 0; i < ISLANDS; i++) {
    MUST(mprotect(island(i), 8 * PAGE, PROT_READ | PROT_WRITE));
    fill(island(i), 4 * PAGE, 100 + (uint64_t) i);
  }
}

static void look_at_reservation(void) {
  for (int i = 0; i < ISLANDS; i++) {
    HOLDS(holds(island(i), 4 * PAGE, 100 + (uint64_t) i), "island %d of the reservation is wrong", i);
    HOLDS(all_zero(island(i) + 4 * PAGE, 4 * PAGE), "island %d of the reservation is not zero behind its content", i);
    HOLDS(faults(island(i) - 1), "the reservation can be read in front of island %d", i);
  }
}

static void damage_reservation(void) { mprotect(island(1) - PAGE, PAGE, PROT_READ); }

/* ---- guard pages: a page without rights, and MADV_GUARD_INSTALL where the kernel has it ---- */

static char *guarded;
static bool guard_markers;

static void prepare_guards(void) {
  guarded = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill(guarded, 16 * PAGE, 21);
  MUST(mprotect(guarded, PAGE, PROT_NONE));
  guard_markers = madvise(guarded + 8 * PAGE, PAGE, ADVICE_GUARD_INSTALL) == 0;
}

static void look_at_guards(void) {
  HOLDS(faults(guarded + 10), "a guard page can be read");
  HOLDS(!guard_markers || faults(guarded + 8 * PAGE + 10), "a page marked by MADV_GUARD_INSTALL can be read");
  HOLDS(holds(guarded + PAGE, 7 * PAGE, 21 + PAGE / 8) && holds(guarded + 9 * PAGE, 7 * PAGE, 21 + 9 * PAGE / 8), "pages between guards are wrong");
}

static void damage_guards(void) { mprotect(guarded, PAGE, PROT_READ); }

/* ---- brk ---- */

static char *heap_end, *heap_piece;

static void prepare_brk(void) {
  heap_piece = sbrk(64 * 1024);
  MUST(heap_piece == (char *) -1 ? -1 : 0);
  fill(heap_piece, 64 * 1024, 31);
  heap_end = sbrk(0);
}

static void look_at_brk(void) {
  HOLDS(sbrk(0) == heap_end, "the program break is %p instead of %p", sbrk(0), heap_end);
  HOLDS(holds(heap_piece, 64 * 1024, 31), "memory below the program break is wrong");
  char *more = sbrk(8192);
  HOLDS(more == heap_end, "the heap does not grow where it ended: %p instead of %p", more, heap_end);
  if (more == heap_end) {
    HOLDS(all_zero(more, 8192), "fresh heap is not zero");
    sbrk(-8192);
  }
}

static void damage_brk(void) { sbrk(4096); }

/* ---- memory shared between processes ---- */

struct common {
  atomic_int number;
  char padding[PAGE - sizeof(atomic_int)];
  char content[15 * PAGE];
};
static struct common *common;

static void prepare_shared(void) {
  common = mmap(NULL, sizeof *common, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(common == MAP_FAILED ? -1 : 0);
  fill(common->content, sizeof common->content, 41);
}

static void look_at_shared(void) {
  HOLDS(holds(common->content, sizeof common->content, 41), "shared anonymous memory is wrong");
  /* The other processes of the tree look for this number after the first. */
  atomic_store(&common->number, asked_number);
}

static void look_at_shared_from_child(void) {
  HOLDS(atomic_load(&common->number) == asked_number, "what the first process wrote into shared memory just now, %d, is not there: %d",
      asked_number, atomic_load(&common->number));
  HOLDS(holds(common->content, sizeof common->content, 41), "shared anonymous memory is wrong in a child");
}

static void damage_shared(void) { common->content[5000] ^= 1; }

static void damage_shared_in_child(void) {
  mmap(common, sizeof *common, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* ---- copy-on-write: filled before the children are made, each side then writes a page of its own ---- */

static char *inherited;

static void prepare_inherited(void) {
  inherited = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill(inherited, 64 * PAGE, 51);
}

static void check_inherited(uint64_t page, uint64_t seed) {
  HOLDS(holds(inherited, page * PAGE, 51), "copy-on-write memory in front of the written page is wrong");
  HOLDS(holds(inherited + page * PAGE, PAGE, seed), "the page written by this side is wrong");
  HOLDS(holds(inherited + (page + 1) * PAGE, (63 - page) * PAGE, 51 + (page + 1) * PAGE / 8), "copy-on-write memory behind the written page is wrong");
}

static void write_inherited_main(void) { fill(inherited + 3 * PAGE, PAGE, 52); }
static void write_inherited_child(void) { fill(inherited + 7 * PAGE, PAGE, 53); }
static void look_at_inherited_main(void) { check_inherited(3, 52); }
static void look_at_inherited_child(void) { check_inherited(7, 53); }
static void damage_inherited(void) { inherited[100] ^= 1; }

/* ---- memfds ---- */

static int sealed_memfd, mapped_memfd;
static char *memfd_mapping;
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static void prepare_memfd(void) {
  static char text[3 * PAGE];
  fill(text, sizeof text, 61);
  sealed_memfd = (int) MUST(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  MUST(write(sealed_memfd, text, sizeof text));
  MUST(lseek(sealed_memfd, 100, SEEK_SET));
  MUST(fcntl(sealed_memfd, F_ADD_SEALS, SEALS));
  mapped_memfd = (int) MUST(memfd_create("mapped", 0));
  MUST(ftruncate(mapped_memfd, 16 * PAGE + 123));
  memfd_mapping = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mapped_memfd, 0);
  fill(memfd_mapping + 4 * PAGE, 4 * PAGE, 62);
}

static void look_at_memfd(void) {
  static char text[3 * PAGE];
  int seals = fcntl(sealed_memfd, F_GET_SEALS);
  HOLDS(seals == SEALS, "the seals are 0x%x instead of 0x%x", seals, SEALS);
  HOLDS(pread(sealed_memfd, text, sizeof text, 0) == sizeof text && holds(text, sizeof text, 61), "a sealed memfd's content is wrong");
  HOLDS(lseek(sealed_memfd, 0, SEEK_CUR) == 100, "a memfd's position is %ld instead of 100", (long) lseek(sealed_memfd, 0, SEEK_CUR));
  HOLDS(pwrite(sealed_memfd, "x", 1, 0) == -1 && errno == EPERM, "a sealed memfd can be written");
  struct stat found;
  WORKS(fstat(mapped_memfd, &found));
  HOLDS(found.st_size == 16 * (off_t) PAGE + 123, "a memfd's size is %ld", (long) found.st_size);
  HOLDS(holds(memfd_mapping + 4 * PAGE, 4 * PAGE, 62) && all_zero(memfd_mapping, 4 * PAGE), "a mapped memfd's content is wrong");
  uint64_t number = (uint64_t) asked_number;
  WORKS(pwrite(mapped_memfd, &number, sizeof number, (off_t) (9 * PAGE)));
  HOLDS(*(uint64_t *) (memfd_mapping + 9 * PAGE) == number, "a memfd and its mapping are not the same memory");
  char link[256] = "", path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", mapped_memfd);
  WORKS(readlink(path, link, sizeof link - 1));
  HOLDS(strcmp(link, "/memfd:mapped (deleted)") == 0, "a memfd is called '%s'", link);
}

static void look_at_memfd_from_child(void) {
  HOLDS(*(uint64_t *) (memfd_mapping + 9 * PAGE) == (uint64_t) asked_number, "a child's mapping of a memfd is not the parent's");
}

static void damage_memfd(void) { memfd_mapping[5 * PAGE] ^= 1; }
static void damage_memfd_in_child(void) { mmap(memfd_mapping, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); }

/* ---- files in memory ---- */

static char *private_file, *shared_file;
static int shared_file_descriptor;

static void prepare_file_mappings(void) {
  static char content[32 * PAGE];
  char path[600];
  fill(content, sizeof content, 71);
  replace_file("mapped-private", content, sizeof content);
  replace_file("mapped-shared", content, sizeof content);
  report_path(path, "mapped-private");
  int file = (int) MUST(open(path, O_RDONLY | O_CLOEXEC));
  private_file = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  close(file);
  fill(private_file + 3 * PAGE, 2 * PAGE, 72);
  report_path(path, "mapped-shared");
  shared_file_descriptor = (int) MUST(open(path, O_RDWR | O_CLOEXEC));
  shared_file = mmap(NULL, 28 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared_file_descriptor, (off_t) (4 * PAGE));
  fill(shared_file + PAGE, PAGE, 73);
}

static void look_at_file_mappings(void) {
  HOLDS(holds(private_file, 3 * PAGE, 71), "unwritten pages of a private file mapping are wrong");
  HOLDS(holds(private_file + 3 * PAGE, 2 * PAGE, 72), "written pages of a private file mapping are wrong");
  HOLDS(((uint64_t *) (private_file + 5 * PAGE))[0] == mix(71 + 5 * PAGE / 8), "a private file mapping is wrong behind the written pages");
  HOLDS(((uint64_t *) shared_file)[0] == mix(71 + 4 * PAGE / 8), "a shared file mapping is wrong");
  HOLDS(holds(shared_file + PAGE, PAGE, 73), "a page written through a shared file mapping is wrong");
  uint64_t number = (uint64_t) asked_number, back = 0;
  *(uint64_t *) (shared_file + 2 * PAGE) = number;
  WORKS(pread(shared_file_descriptor, &back, sizeof back, (off_t) (6 * PAGE)));
  HOLDS(back == number, "a write through a shared file mapping does not reach the file");
}

static void damage_file_mappings(void) { private_file[4 * PAGE] ^= 1; }

/* ---- what the kernel says about the whole address space ---- */

static char layout_before[1 << 18], layout_now[1 << 18];

/* Mappings as "from-to rights offset name"; neighbours that only an invisible line divides count as one. */
static void read_layout(char *into, size_t room) {
  static char text[1 << 18];
  uint64_t from = 0, to = 0, offset = 0;
  char rights[8] = "", name[300] = "", line_name[300];
  size_t length = 0;
  into[0] = 0;
  slurp("/proc/self/maps", text, sizeof text);
  for (char *line = text;;) {
    char *end = line + strcspn(line, "\n"), line_rights[8] = "";
    uint64_t line_from = 0, line_to = 0, line_offset = 0;
    int name_at = 0;
    bool more = *line != 0;
    if (more) {
      char saved = *end;
      *end = 0;
      sscanf(line, "%lx-%lx %7s %lx %*s %*s %n", &line_from, &line_to, line_rights, &line_offset, &name_at);
      snprintf(line_name, sizeof line_name, "%.299s", name_at > 0 ? line + name_at : "");
      *end = saved;
    }
    bool same = more && line_from == to && strcmp(rights, line_rights) == 0 && strcmp(name, line_name) == 0
        && (line_name[0] != '/' || line_offset == offset + (line_from - from));
    if (same) {
      to = line_to;
    } else {
      if (to != 0 && length < room) {
        length += (size_t) snprintf(into + length, room - length, "%lx-%lx %s %lx %s\n", from, to, rights, name[0] == '/' ? offset : 0, name);
      }
      from = line_from;
      to = line_to;
      offset = line_offset;
      strcpy(rights, line_rights);
      strcpy(name, line_name);
    }
    if (!more) break;
    line = *end == 0 ? end : end + 1;
  }
}

static void prepare_layout(void) { read_layout(layout_before, sizeof layout_before); }

static void look_at_layout(void) {
  read_layout(layout_now, sizeof layout_now);
  if (strcmp(layout_before, layout_now) == 0) return;
  size_t at = 0;
  while (layout_before[at] == layout_now[at]) at++;
  while (at > 0 && layout_before[at - 1] != '\n') at--;
  HOLDS(false, "the first mapping that differs is '%.*s' and was '%.*s'", (int) strcspn(layout_now + at, "\n"), layout_now + at,
      (int) strcspn(layout_before + at, "\n"), layout_before + at);
}

static void damage_layout(void) { mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }

/* ---- what a process says about itself ---- */

static const char *const self_files[] = {"cmdline", "environ", "auxv", "comm"};
static char self_before[4][16384], self_now[16384];
static ssize_t self_length[4];
static char exe_before[600];

static void prepare_self(void) {
  char path[64];
  for (int i = 0; i < 4; i++) {
    snprintf(path, sizeof path, "/proc/self/%s", self_files[i]);
    self_length[i] = MUST(slurp(path, self_before[i], sizeof self_before[i]));
  }
  MUST(readlink("/proc/self/exe", exe_before, sizeof exe_before - 1));
}

static void look_at_self(void) {
  char path[64], link[600] = "";
  for (int i = 0; i < 4; i++) {
    snprintf(path, sizeof path, "/proc/self/%s", self_files[i]);
    ssize_t length = WORKS(slurp(path, self_now, sizeof self_now));
    HOLDS(length == self_length[i] && memcmp(self_now, self_before[i], (size_t) length) == 0, "/proc/self/%s has changed", self_files[i]);
  }
  WORKS(readlink("/proc/self/exe", link, sizeof link - 1));
  HOLDS(strcmp(link, exe_before) == 0, "/proc/self/exe is %s instead of %s", link, exe_before);
  HOLDS(getauxval(AT_SYSINFO_EHDR) != 0 && memcmp((void *) getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG) == 0, "the vdso is not where the auxiliary vector says");
}

static void damage_self(void) {
  prctl(PR_SET_NAME, "else");
}

static void add_memory_items(adder *add) {
  add(MAIN, "memory-flags", prepare_areas, look_at_areas, damage_areas);
  add(MAIN, "memory-private", prepare_patchwork, look_at_patchwork, damage_patchwork);
  add(MAIN, "memory-reservation", prepare_reservation, look_at_reservation, damage_reservation);
  add(MAIN, "memory-guards", prepare_guards, look_at_guards, damage_guards);
  add(MAIN, "memory-brk", prepare_brk, look_at_brk, damage_brk);
  add(MAIN, "memory-shared", prepare_shared, look_at_shared, damage_shared);
  add(MAIN, "memory-memfd", prepare_memfd, look_at_memfd, damage_memfd);
  add(MAIN, "memory-files", prepare_file_mappings, look_at_file_mappings, damage_file_mappings);
  add(MAIN, "memory-inherited", prepare_inherited, look_at_inherited_main, damage_inherited);
  add(MAIN, "self", prepare_self, look_at_self, damage_self);
  add(MEMBER, "memory-shared-child", NULL, look_at_shared_from_child, damage_shared_in_child);
  add(MEMBER, "memory-memfd-child", NULL, look_at_memfd_from_child, damage_memfd_in_child);
  add(MEMBER, "memory-inherited-child", write_inherited_child, look_at_inherited_child, damage_inherited);
}

#endif
