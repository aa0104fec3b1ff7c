/* Threads with a working directory, a root and a umask of their own (unshare(CLONE_FS)). */
#include "kind.h"

#include <sched.h>

enum { FREE, ROOTED, REMOVED, PLACES };

/* A thread that does as it is told, as a child does. */
struct place {
  void (*prepare)(void);
  void (*look)(void);
  void (*damage)(void);
  atomic_int order;
  char fault[FAULT_ROOM];
};

static char directory[600];
static struct place places[PLACES];
/* One look at a time writes item_fault. */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

static void expect_here(const char *wanted) {
  char path[600] = "";
  HOLDS(syscall(SYS_getcwd, path, sizeof path) > 0 && strcmp(path, wanted) == 0, "the working directory is %s, not %s", path, wanted);
}

static void expect_mask(unsigned wanted) {
  unsigned mask = (unsigned) umask(wanted);
  HOLDS(mask == wanted, "the umask is %o, not %o", mask, wanted);
}

static void prepare_free(void) {
  MUST(mkdir(own_path("free"), 0755));
  MUST(chdir(own_path("free")));
  umask(0117);
}

static void look_free(void) {
  char wanted[700];
  snprintf(wanted, sizeof wanted, "%s/free", directory);
  expect_here(wanted);
  expect_mask(0117);
}

static void damage_free(void) { umask(0); }

static void prepare_rooted(void) {
  MUST(mkdir(own_path("rooted"), 0755));
  MUST(mkdir(own_path("rooted/inside"), 0755));
  MUST(chroot(own_path("rooted")));
  MUST(chdir("/inside"));
}

static void look_rooted(void) {
  expect_here("/inside");
  HOLDS(access("/inside", F_OK) == 0 && access("/proc", F_OK) == -1, "the root is another directory");
}

static void damage_rooted(void) { WORKS(chdir("/")); }

static void prepare_removed(void) {
  MUST(mkdir(own_path("removed"), 0710));
  MUST(chdir(own_path("removed")));
  MUST(rmdir(own_path("removed")));
}

static void look_removed(void) {
  struct stat status;
  WORKS(stat(".", &status));
  HOLDS(status.st_nlink == 0 && (status.st_mode & 07777) == 0710, "links %lu, mode %o", (unsigned long) status.st_nlink, status.st_mode);
}

static void damage_removed(void) { WORKS(chdir("/")); }

static void *stay(void *argument) {
  struct place *place = argument;
  MUST(unshare(CLONE_FS));
  place->prepare();
  atomic_store(&place->order, 0);
  for (;;) {
    int order = atomic_load(&place->order);
    if (order == 0) {
      usleep(1000);
      continue;
    }
    pthread_mutex_lock(&asking);
    item_fault[0] = 0;
    if (order == 'l') place->look();
    if (order == 'd') place->damage();
    memcpy(place->fault, item_fault, FAULT_ROOM);
    item_fault[0] = 0;
    pthread_mutex_unlock(&asking);
    atomic_store(&place->order, 0);
  }
  return NULL;
}

static void tell(struct place *place, int order) {
  atomic_store(&place->order, order);
  for (int waited = 0; atomic_load(&place->order) != 0 && waited < 2000; waited++) usleep(1000);
  HOLDS(atomic_load(&place->order) == 0, "the thread does not answer");
  HOLDS(place->fault[0] == 0, "%s", place->fault);
}

static void begin(int number, void (*prepare)(void), void (*look)(void), void (*damage)(void)) {
  places[number] = (struct place) {.prepare = prepare, .look = look, .damage = damage, .order = 1};
  pthread_t thread;
  MUST(pthread_create(&thread, NULL, stay, &places[number]) == 0 ? 0 : -1);
  while (atomic_load(&places[number].order) != 0) usleep(1000);
}

static void make_free(void) {
  snprintf(directory, sizeof directory, "%s", report_directory);
  umask(0022);
  begin(FREE, prepare_free, look_free, damage_free);
}

static void make_rooted(void) { begin(ROOTED, prepare_rooted, look_rooted, damage_rooted); }

static void make_removed(void) { begin(REMOVED, prepare_removed, look_removed, damage_removed); }

static void ask_free(void) { tell(&places[FREE], 'l'); }

static void harm_free(void) { tell(&places[FREE], 'd'); }

static void ask_rooted(void) { tell(&places[ROOTED], 'l'); }

static void harm_rooted(void) { tell(&places[ROOTED], 'd'); }

static void ask_removed(void) { tell(&places[REMOVED], 'l'); }

static void harm_removed(void) { tell(&places[REMOVED], 'd'); }

/* The process's own is the main thread's and that of all threads that share it. */
static void look_process(void) {
  expect_here("/");
  expect_mask(0022);
}

static void damage_process(void) { umask(0); }

static void make_process(void) { MUST(chdir("/")); }

KIND({"free", make_free, ask_free, harm_free}, {"rooted", make_rooted, ask_rooted, harm_rooted},
    {"removed", make_removed, ask_removed, harm_removed}, {"process", make_process, look_process, damage_process});
