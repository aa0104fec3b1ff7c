/* shmget segments: attached in several processes, read-only, in parts, detached, locked, removed but attached, with owners and modes. */
#include "kind.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define BIG (8ul << 20)
#define SMALL 8192ul

static struct child other;

static struct shmid_ds stat_of(int id) {
  struct shmid_ds status = {0};
  WORKS(shmctl(id, IPC_STAT, &status));
  return status;
}

static void *attached(int id, int flags) { return (void *) MUST(shmat(id, NULL, flags)); }

/* --- with a key, shared with a child that reads only ----------------------------------------------------------------------------------------- */

static int keyed;
static uint64_t *here;
static const uint64_t *there;

static void make_keyed(void) {
  /* Ids of those that come later have a sequence number that is not 0. */
  for (int i = 0; i < 5; i++) MUST(shmctl((int) MUST(shmget(IPC_PRIVATE, SMALL, 0600)), IPC_RMID, NULL));
  keyed = (int) MUST(shmget(0x4761, BIG, IPC_CREAT | IPC_EXCL | 0640));
  here = attached(keyed, 0);
  fill(here, BIG, 1);
}

static void look_keyed(void) {
  HOLDS(shmget(0x4761, BIG, 0) == keyed, "the key leads to segment %d, not %d", shmget(0x4761, BIG, 0), keyed);
  struct shmid_ds status = stat_of(keyed);
  HOLDS((status.shm_perm.mode & 0777) == 0640, "mode 0%o", status.shm_perm.mode);
  HOLDS(status.shm_segsz == BIG, "%zu bytes", status.shm_segsz);
  HOLDS(status.shm_nattch == 2, "attached %lu times, not by this process and its child", (unsigned long) status.shm_nattch);
  HOLDS(holds(here, BIG, 1), "the content is another");
}

static void damage_keyed(void) { here[BIG / 16] ^= 1; }

static void child_attaches(void) {
  there = attached(keyed, SHM_RDONLY);
  MUST(shmdt(here));
}

static void child_looks(void) {
  HOLDS(holds(there, BIG, 1), "the child sees other content");
  /* Must not become writable, as it never was. */
  HOLDS(mprotect((void *) there, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES, "a read-only attachment can be written");
}

static void child_damages_it(void) { there = here = (uint64_t *) attached(keyed, 0), here[9] ^= 1; }

static void make_child(void) { other = child_begin(child_attaches, child_looks, child_damages_it); }

static void look_child(void) { child_says(&other); }

static void damage_child(void) {
  child_damages(&other);
  child_damages(&other);
}

/* What one writes the other sees. */
static uint64_t passed;

static void look_shared(void) {
  uint64_t before = here[0];
  here[0] = ++passed;
  HOLDS(before == mix(1), "the first word is %lu", (unsigned long) before);
  here[0] = before;
  struct shmid_ds status = stat_of(keyed);
  HOLDS(status.shm_perm.cuid == 0 && status.shm_perm.uid == 0, "owner %u, creator %u", status.shm_perm.uid, status.shm_perm.cuid);
}

static void damage_shared(void) { here[0] = 5; }

/* --- detached, of another owner ------------------------------------------------------------------------------------------------------------- */

static int detached;

static void make_detached(void) {
  detached = (int) MUST(shmget(0x4762, 5000, IPC_CREAT | IPC_EXCL | 0600));
  void *at = attached(detached, 0);
  fill(at, 4992, 2);
  MUST(shmdt(at));
  struct shmid_ds status = stat_of(detached);
  status.shm_perm.uid = 1234;
  status.shm_perm.gid = 5678;
  status.shm_perm.mode = 0604;
  MUST(shmctl(detached, IPC_SET, &status));
}

static void look_detached(void) {
  struct shmid_ds status = stat_of(detached);
  HOLDS(status.shm_nattch == 0, "attached %lu times", (unsigned long) status.shm_nattch);
  HOLDS(status.shm_segsz == 5000, "%zu bytes", status.shm_segsz);
  HOLDS(status.shm_perm.uid == 1234 && status.shm_perm.gid == 5678 && (status.shm_perm.mode & 0777) == 0604, "owner %u:%u, mode 0%o",
      status.shm_perm.uid, status.shm_perm.gid, status.shm_perm.mode);
  HOLDS(status.shm_perm.__key == 0x4762, "key 0x%x", status.shm_perm.__key);
  void *at = shmat(detached, NULL, SHM_RDONLY);
  if (WORKS(at) == -1) return;
  HOLDS(holds(at, 4992, 2), "the content is another");
  WORKS(shmdt(at));
}

static void damage_detached(void) {
  uint64_t *at = attached(detached, 0);
  at[600] ^= 1;
  MUST(shmdt(at));
}

/* --- made by somebody who is not root ------------------------------------------------------------------------------------------------------- */

static int strangers;

static void make_strangers(void) {
  MUST(setegid(77));
  MUST(seteuid(99));
  strangers = (int) MUST(shmget(IPC_PRIVATE, SMALL, 0666));
  MUST(seteuid(0));
  MUST(setegid(0));
}

static void look_strangers(void) {
  struct shmid_ds status = stat_of(strangers);
  HOLDS(status.shm_perm.cuid == 99 && status.shm_perm.cgid == 77 && status.shm_perm.uid == 99, "creator %u:%u, owner %u", status.shm_perm.cuid,
      status.shm_perm.cgid, status.shm_perm.uid);
}

static void damage_strangers(void) {
  struct shmid_ds status = stat_of(strangers);
  status.shm_perm.uid = 98;
  MUST(shmctl(strangers, IPC_SET, &status));
}

/* --- removed, but attached, while another has taken the key ---------------------------------------------------------------------------------- */

static int removed, successor;
static uint64_t *removed_at;

static void make_removed(void) {
  removed = (int) MUST(shmget(0x4763, SMALL, IPC_CREAT | IPC_EXCL | 0600));
  removed_at = attached(removed, 0);
  fill(removed_at, SMALL, 3);
  MUST(shmctl(removed, IPC_RMID, NULL));
  successor = (int) MUST(shmget(0x4763, SMALL, IPC_CREAT | IPC_EXCL | 0600));
}

static void look_removed(void) {
  struct shmid_ds status = stat_of(removed);
  HOLDS((status.shm_perm.mode & SHM_DEST) != 0, "it is not to be destroyed any more");
  HOLDS(status.shm_nattch == 1, "attached %lu times", (unsigned long) status.shm_nattch);
  HOLDS(holds(removed_at, SMALL, 3), "the content is another");
  HOLDS(shmget(0x4763, SMALL, 0) == successor, "the key leads to another segment");
}

static void damage_removed(void) { removed_at[0] ^= 1; }

/* Goes with its last attachment. */
static void look_successor(void) {
  int id = (int) WORKS(shmget(IPC_PRIVATE, SMALL, 0600));
  void *at = shmat(id, NULL, 0);
  WORKS(shmctl(id, IPC_RMID, NULL));
  WORKS(shmdt(at));
  HOLDS(stat_of(successor).shm_nattch == 0, "the successor is attached");
}

static void damage_successor(void) { attached(successor, 0); }

/* --- locked, and attached in parts with several protections --------------------------------------------------------------------------------- */

static int parts;
static char *parts_at;

static void make_parts(void) {
  parts = (int) MUST(shmget(IPC_PRIVATE, 16 * 4096, 0600));
  parts_at = attached(parts, 0);
  fill(parts_at, 16 * 4096, 4);
  MUST(munmap(parts_at, 3 * 4096));
  MUST(munmap(parts_at + 6 * 4096, 2 * 4096));
  MUST(mprotect(parts_at + 10 * 4096, 2 * 4096, PROT_READ));
  MUST(shmctl(parts, SHM_LOCK, NULL));
}

static void look_parts(void) {
  struct shmid_ds status = stat_of(parts);
  HOLDS((status.shm_perm.mode & SHM_LOCKED) != 0, "it is not locked");
  HOLDS(status.shm_nattch == 4, "%lu attachments instead of one per part", (unsigned long) status.shm_nattch);
  for (int page = 0; page < 16; page++) {
    bool gone = page < 3 || page == 6 || page == 7;
    HOLDS(gone || holds(parts_at + page * 4096, 4096, 4 + 512ul * (uint64_t) page), "page %d has other content", page);
  }
}

static void damage_parts(void) { MUST(shmctl(parts, SHM_UNLOCK, NULL)); }

/* --- written all the time, also by a process that has only just come ------------------------------------------------------------------------- */

static uint64_t *counted;
static struct child counter;

static void *count_on(void *forever) {
  for (uint64_t n = 0; n < UINT64_MAX; n++) {
    counted[1 + n % 1000] = n;
    __atomic_store_n(&counted[0], n, __ATOMIC_RELEASE);
    if (n % 1024 == 0) usleep(100);
  }
  return forever;
}

static void child_counts(void) {
  MUST(shmdt(here));
  MUST(shmdt(removed_at));
  MUST(munmap(parts_at + 3 * 4096, 3 * 4096));
  MUST(munmap(parts_at + 8 * 4096, 8 * 4096));
  start_thread(count_on, NULL, 64 * 1024);
}

static uint64_t counted_before;

static void child_has_counted(void) {
  uint64_t n = __atomic_load_n(&counted[0], __ATOMIC_ACQUIRE);
  HOLDS(n >= counted_before, "the counter went from %lu to %lu", (unsigned long) counted_before, (unsigned long) n);
  counted_before = n;
}

static void child_miscounts(void) { counted_before = UINT64_MAX; }

static void make_counted(void) {
  counted = attached((int) MUST(shmget(IPC_PRIVATE, 4096 * 64, 0600)), 0);
  counter = child_begin(child_counts, child_has_counted, child_miscounts);
}

static void look_counted(void) {
  child_says(&counter);
  uint64_t before = __atomic_load_n(&counted[0], __ATOMIC_ACQUIRE);
  for (int i = 0; i < 200 && __atomic_load_n(&counted[0], __ATOMIC_ACQUIRE) == before; i++) usleep(1000);
  HOLDS(__atomic_load_n(&counted[0], __ATOMIC_ACQUIRE) > before, "nobody counts on");
}

static void damage_counted(void) { child_damages(&counter); }

KIND({"keyed", make_keyed, look_keyed, damage_keyed}, {"child", make_child, look_child, damage_child},
    {"shared", NULL, look_shared, damage_shared}, {"detached", make_detached, look_detached, damage_detached},
    {"strangers", make_strangers, look_strangers, damage_strangers}, {"removed", make_removed, look_removed, damage_removed},
    {"successor", NULL, look_successor, damage_successor}, {"parts", make_parts, look_parts, damage_parts},
    {"counted", make_counted, look_counted, damage_counted});
