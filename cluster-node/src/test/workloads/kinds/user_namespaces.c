/* Processes in user namespaces that they have made themselves: with maps of every form, nested, shared, with threads. */
#include "kind.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { NOBODY = 65534, USER = 1000, RANGE = 100000, WORKER = 33 };

/* linux/nsfs.h */
#define NS_GET_PARENT_OF _IO(0xb7, 0x2)
#define NS_GET_OWNER_OF _IO(0xb7, 0x4)

#define ALL_CAPABILITIES 0x1ffffffffffull

static struct child unmapped, rooted, ranged, outer, shared, threaded;
/* Memory that children share with this process: what one has to know of another. */
static struct { pid_t inner, joined; } *known;
static int files = -1;

/* --- what is looked at ------------------------------------------------------------------------------------------------------------------- */

static void text_of(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, room - 1);
  text[length < 0 ? 0 : length] = 0;
  if (fd >= 0) close(fd);
  HOLDS(length >= 0, "%s cannot be read", path);
}

/* The first line of a map, or nothing. */
static void expect_map(const char *path, long inside, long outside, long count) {
  char text[256];
  long found[3] = {-1, -1, -1};
  text_of(path, text, sizeof text);
  sscanf(text, "%ld %ld %ld", &found[0], &found[1], &found[2]);
  HOLDS(found[0] == inside && found[1] == outside && found[2] == count, "%s is \"%s\"", path, text);
}

static void expect_setgroups(const char *wanted) {
  char text[32];
  text_of("/proc/self/setgroups", text, sizeof text);
  HOLDS(strncmp(text, wanted, strlen(wanted)) == 0, "setgroups is %s", text);
}

static void expect_ids(uid_t uid, gid_t gid) {
  uid_t u[3];
  gid_t g[3];
  WORKS(getresuid(&u[0], &u[1], &u[2]));
  WORKS(getresgid(&g[0], &g[1], &g[2]));
  for (int i = 0; i < 3; i++) {
    HOLDS(u[i] == uid, "uid %d is %u", i, u[i]);
    HOLDS(g[i] == gid, "gid %d is %u", i, g[i]);
  }
}

static void expect_groups(int count, ...) {
  gid_t groups[32];
  int found = (int) WORKS(getgroups(32, groups));
  HOLDS(found == count, "%d groups", found);
  va_list wanted;
  va_start(wanted, count);
  for (int i = 0; i < count && i < found; i++) {
    gid_t group = va_arg(wanted, unsigned);
    HOLDS(groups[i] == group, "group %d is %u, not %u", i, groups[i], group);
  }
  va_end(wanted);
}

static unsigned long long capabilities(int which) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  WORKS(syscall(SYS_capget, &header, data));
  unsigned long long low = which == 0 ? data[0].effective : data[0].permitted, high = which == 0 ? data[1].effective : data[1].permitted;
  return (low | high << 32) & ALL_CAPABILITIES;
}

static void expect_capabilities(unsigned long long effective, unsigned long long permitted) {
  HOLDS(capabilities(0) == effective, "effective capabilities are %llx", capabilities(0));
  HOLDS(capabilities(1) == permitted, "permitted capabilities are %llx", capabilities(1));
}

static void set_capabilities(unsigned long long wanted) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{.effective = (unsigned) wanted, .permitted = (unsigned) wanted},
      {.effective = (unsigned) (wanted >> 32), .permitted = (unsigned) (wanted >> 32)}};
  MUST(syscall(SYS_capset, &header, data));
}

/* Who a new file belongs to. */
static void expect_new_file(const char *name, uid_t uid, gid_t gid) {
  struct stat status;
  int fd = (int) WORKS(openat(files, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644));
  if (fd < 0) return;
  WORKS(fstat(fd, &status));
  HOLDS(status.st_uid == uid && status.st_gid == gid, "a new file belongs to %u and %u", status.st_uid, status.st_gid);
  close(fd);
}

/* The same from outside the namespace. */
static void expect_file(const char *name, uid_t uid, gid_t gid) {
  struct stat status = {0};
  WORKS(fstatat(files, name, &status, 0));
  HOLDS(status.st_uid == uid && status.st_gid == gid, "outside, its file belongs to %u and %u", status.st_uid, status.st_gid);
  unlinkat(files, name, 0);
}

static void expect_owner(pid_t pid, uid_t wanted) {
  char path[64];
  uid_t owner = (uid_t) -1;
  snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
  int fd = (int) WORKS(open(path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) return;
  WORKS(ioctl(fd, NS_GET_OWNER_OF, &owner));
  HOLDS(owner == wanted, "its namespace belongs to %u", owner);
  close(fd);
}

static ino_t namespace_of(pid_t pid) {
  char path[64];
  struct stat status = {0};
  snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
  WORKS(stat(path, &status));
  return status.st_ino;
}

/* --- how namespaces are made ------------------------------------------------------------------------------------------------------------- */

static void put(const char *path, const char *text) {
  int fd = (int) MUST(open(path, O_WRONLY | O_CLOEXEC));
  MUST(write(fd, text, strlen(text)) == (ssize_t) strlen(text) ? 0 : -1);
  close(fd);
}

/* Enters a new namespace whose maps a process outside writes. */
static void enter_mapped(const char *users, const char *groups) {
  int go[2];
  char path[64], byte = 0;
  pid_t self = getpid();
  MUST(pipe2(go, O_CLOEXEC));
  pid_t writer = (pid_t) MUST(fork());
  if (writer == 0) {
    MUST(read(go[0], &byte, 1) == 1 ? 0 : -1);
    snprintf(path, sizeof path, "/proc/%d/uid_map", self);
    put(path, users);
    snprintf(path, sizeof path, "/proc/%d/gid_map", self);
    put(path, groups);
    _exit(0);
  }
  MUST(unshare(CLONE_NEWUSER));
  MUST(write(go[1], &byte, 1) == 1 ? 0 : -1);
  int status = -1;
  MUST(waitpid(writer, &status, 0));
  MUST(status == 0 ? 0 : -1);
  close(go[0]);
  close(go[1]);
}

static void open_files(void) {
  if (files >= 0) return;
  mkdir(own_path("files"), 0777);
  MUST(chmod(own_path("files"), 0777));
  files = (int) MUST(open(own_path("files"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  known = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(known == MAP_FAILED ? -1 : 0);
}

/* --- without maps ------------------------------------------------------------------------------------------------------------------------ */

static void prepare_unmapped(void) { MUST(unshare(CLONE_NEWUSER)); }

static void look_unmapped(void) {
  expect_ids(NOBODY, NOBODY);
  expect_map("/proc/self/uid_map", -1, -1, -1);
  expect_map("/proc/self/gid_map", -1, -1, -1);
  expect_setgroups("allow");
  expect_capabilities(ALL_CAPABILITIES, ALL_CAPABILITIES);
  HOLDS(setresuid(0, 0, 0) == -1, "it can become root");
}

static void damage_unmapped(void) { set_capabilities(1); }

static void make_unmapped(void) {
  open_files();
  unmapped = child_begin(prepare_unmapped, look_unmapped, damage_unmapped);
}

static void ask_unmapped(void) {
  child_says(&unmapped);
  HOLDS(namespace_of(unmapped.pid) != namespace_of(getpid()), "it is in its parent's namespace");
  expect_owner(unmapped.pid, 0);
}

static void harm_unmapped(void) { child_damages(&unmapped); }

/* --- as unshare --map-root-user does it, by an ordinary user ----------------------------------------------------------------------------- */

static void prepare_rooted(void) {
  struct rlimit limit = {1 << 20, 1 << 21};
  gid_t groups[] = {27, USER};
  MUST(setrlimit(RLIMIT_MEMLOCK, &limit));
  MUST(setgroups(2, groups));
  MUST(setresgid(USER, USER, USER));
  MUST(setresuid(USER, USER, USER));
  MUST(prctl(PR_SET_DUMPABLE, 1));
  MUST(unshare(CLONE_NEWUSER));
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", "0 1000 1");
  put("/proc/self/gid_map", "0 1000 1");
}

static void look_rooted(void) {
  struct rlimit limit;
  expect_ids(0, 0);
  expect_groups(2, NOBODY, 0);
  expect_map("/proc/self/uid_map", 0, USER, 1);
  expect_map("/proc/self/gid_map", 0, USER, 1);
  expect_setgroups("deny");
  expect_capabilities(ALL_CAPABILITIES, ALL_CAPABILITIES);
  expect_new_file("rooted", 0, 0);
  gid_t none[1] = {0};
  HOLDS(setgroups(1, none) == -1 && errno == EPERM, "it can set groups");
  HOLDS(setresuid(5, 5, 5) == -1, "it can become somebody else");
  HOLDS(kill(getppid(), 0) == -1 && errno == EPERM, "it can send signals to its parent");
  HOLDS(prctl(PR_GET_DUMPABLE) == 1, "dumpable is %d", prctl(PR_GET_DUMPABLE));
  WORKS(getrlimit(RLIMIT_MEMLOCK, &limit));
  HOLDS(limit.rlim_cur == 1 << 20 && limit.rlim_max == 1 << 21, "limits are %lu and %lu", limit.rlim_cur, limit.rlim_max);
}

static void damage_rooted(void) { set_capabilities(0); }

static void make_rooted(void) { rooted = child_begin(prepare_rooted, look_rooted, damage_rooted); }

static void ask_rooted(void) {
  child_says(&rooted);
  expect_file("rooted", USER, USER);
  expect_owner(rooted.pid, USER);
}

static void harm_rooted(void) { child_damages(&rooted); }

/* --- many ids, and few rights ------------------------------------------------------------------------------------------------------------ */

static void prepare_ranged(void) {
  gid_t groups[] = {5, WORKER};
  enter_mapped("0 100000 1000\n5000 5000 10\n", "0 100000 1000\n");
  MUST(setgroups(2, groups));
  MUST(prctl(PR_SET_SECUREBITS, 1 << 4 | 1 << 5)); /* SECBIT_KEEP_CAPS and its lock */
  MUST(setresgid(WORKER, WORKER, WORKER));
  MUST(setresuid(WORKER, WORKER, WORKER));
  set_capabilities(1 << CAP_CHOWN | 1 << CAP_SETPCAP | 1 << CAP_KILL);
  MUST(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void look_ranged(void) {
  unsigned long long rights = 1 << CAP_CHOWN | 1 << CAP_SETPCAP | 1 << CAP_KILL;
  expect_ids(WORKER, WORKER);
  expect_groups(2, 5, WORKER);
  expect_map("/proc/self/uid_map", 0, RANGE, 1000);
  expect_map("/proc/self/gid_map", 0, RANGE, 1000);
  expect_setgroups("allow");
  expect_capabilities(rights, rights);
  HOLDS(prctl(PR_CAPBSET_READ, CAP_NET_RAW) == 0 && prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1, "the bounding set is another");
  HOLDS(prctl(PR_GET_SECUREBITS) == (1 << 4 | 1 << 5), "securebits are %x", prctl(PR_GET_SECUREBITS));
  HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "it may get new privileges");
  expect_new_file("ranged", WORKER, WORKER);
  /* What CAP_CHOWN is good for: to anybody in the namespace. */
  WORKS(fchownat(files, "ranged", 7, 8, 0));
  HOLDS(fchownat(files, "ranged", 2000, 8, 0) == -1 && errno == EINVAL, "it knows user 2000");
}

static void damage_ranged(void) { set_capabilities(0); }

static void make_ranged(void) { ranged = child_begin(prepare_ranged, look_ranged, damage_ranged); }

static void ask_ranged(void) {
  child_says(&ranged);
  expect_file("ranged", RANGE + 7, RANGE + 8);
  expect_owner(ranged.pid, 0);
}

static void harm_ranged(void) { child_damages(&ranged); }

/* --- one in the other -------------------------------------------------------------------------------------------------------------------- */

static struct child inner;

static void prepare_inner(void) { enter_mapped("0 10 5\n", "0 10 5\n"); }

/* The user of the outer namespace whom the inner one does not know. */
static void look_inner(void) {
  expect_ids(NOBODY, NOBODY);
  expect_map("/proc/self/uid_map", 0, 10, 5);
  expect_capabilities(ALL_CAPABILITIES, ALL_CAPABILITIES);
  int own = (int) WORKS(open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
  HOLDS(ioctl(own, NS_GET_PARENT_OF) == -1 && errno == EPERM, "it can reach its namespace's parent");
  close(own);
}

static void damage_inner(void) { MUST(setresuid(1, 1, 1)); }

static void prepare_outer(void) {
  enter_mapped("0 200000 1000\n", "0 200000 1000\n");
  MUST(setresgid(0, 0, 0));
  MUST(setresuid(0, 0, 0));
  /* Or its files in /proc, and those of its children, belong to the first namespace's root. */
  MUST(prctl(PR_SET_DUMPABLE, 1));
  inner = child_begin(prepare_inner, look_inner, damage_inner);
  known->inner = inner.pid;
}

static void look_outer(void) {
  expect_ids(0, 0);
  expect_map("/proc/self/uid_map", 0, 200000, 1000);
  child_says(&inner);
  expect_owner(inner.pid, 0);
  WORKS(kill(inner.pid, 0));
}

static void damage_outer(void) { child_damages(&inner); }

static void make_nested(void) { outer = child_begin(prepare_outer, look_outer, damage_outer); }

static void ask_nested(void) {
  char path[64];
  struct stat parent = {0};
  child_says(&outer);
  expect_owner(known->inner, 200000);
  snprintf(path, sizeof path, "/proc/%d/ns/user", known->inner);
  int fd = (int) WORKS(open(path, O_RDONLY | O_CLOEXEC));
  int above = (int) WORKS(ioctl(fd, NS_GET_PARENT_OF));
  WORKS(fstat(above, &parent));
  HOLDS(parent.st_ino == namespace_of(outer.pid), "the inner namespace's parent is another one");
  close(above);
  close(fd);
}

static void harm_nested(void) { child_damages(&outer); }

/* --- several processes in one ------------------------------------------------------------------------------------------------------------ */

static struct child second;

static void prepare_second(void) { known->joined = getpid(); }

static void look_second(void) {
  expect_ids(0, 0);
  WORKS(kill(getppid(), 0));
}

static void damage_second(void) { MUST(unshare(CLONE_NEWUSER)); }

static void prepare_shared(void) {
  enter_mapped("0 300000 100\n", "0 300000 100\n");
  MUST(setresgid(0, 0, 0));
  MUST(setresuid(0, 0, 0));
  second = child_begin(prepare_second, look_second, damage_second);
}

static void look_shared(void) {
  expect_ids(0, 0);
  child_says(&second);
}

static void damage_shared(void) { child_damages(&second); }

static void make_shared(void) { shared = child_begin(prepare_shared, look_shared, damage_shared); }

static void ask_shared(void) {
  child_says(&shared);
  HOLDS(namespace_of(known->joined) == namespace_of(shared.pid), "the two are in different namespaces");
  expect_owner(shared.pid, 0);
}

static void harm_shared(void) { child_damages(&shared); }

/* --- threads ----------------------------------------------------------------------------------------------------------------------------- */

enum { THREADS = 3 };

static struct { atomic_int asked, tid, uid, damaged; } threads[THREADS];
static pid_t tids[THREADS];

static void *answer(void *argument) {
  int number = *(int *) argument;
  for (;;) {
    if (atomic_load(&threads[number].damaged)) syscall(SYS_setresuid, 1, 1, 1);
    atomic_store(&threads[number].damaged, 0);
    if (atomic_load(&threads[number].asked)) {
      atomic_store(&threads[number].uid, (int) syscall(SYS_getuid));
      atomic_store(&threads[number].tid, (int) syscall(SYS_gettid));
      atomic_store(&threads[number].asked, 0);
    }
    usleep(500);
  }
  return NULL;
}

static void ask_thread(int number) {
  atomic_store(&threads[number].asked, 1);
  for (int waited = 0; atomic_load(&threads[number].asked) && waited < 4000; waited++) usleep(500);
  HOLDS(!atomic_load(&threads[number].asked), "thread %d does not answer", number);
}

static void prepare_threaded(void) {
  static int numbers[THREADS] = {0, 1, 2};
  enter_mapped("0 400000 100\n", "0 400000 100\n");
  MUST(setresgid(0, 0, 0));
  MUST(setresuid(0, 0, 0));
  for (int i = 0; i < THREADS; i++) {
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, answer, &numbers[i]) == 0 ? 0 : -1);
    ask_thread(i);
    tids[i] = atomic_load(&threads[i].tid);
  }
}

static void look_threaded(void) {
  expect_ids(0, 0);
  for (int i = 0; i < THREADS; i++) {
    ask_thread(i);
    HOLDS(atomic_load(&threads[i].tid) == tids[i], "thread %d has id %d", i, atomic_load(&threads[i].tid));
    HOLDS(atomic_load(&threads[i].uid) == 0, "thread %d is user %d", i, atomic_load(&threads[i].uid));
  }
}

static void damage_threaded(void) {
  atomic_store(&threads[1].damaged, 1);
  for (int waited = 0; atomic_load(&threads[1].damaged) && waited < 4000; waited++) usleep(500);
}

static void make_threaded(void) { threaded = child_begin(prepare_threaded, look_threaded, damage_threaded); }

static void ask_threaded(void) {
  child_says(&threaded);
  expect_owner(threaded.pid, 0);
}

static void harm_threaded(void) { child_damages(&threaded); }

KIND({"unmapped", make_unmapped, ask_unmapped, harm_unmapped}, {"rooted", make_rooted, ask_rooted, harm_rooted},
    {"ranged", make_ranged, ask_ranged, harm_ranged}, {"nested", make_nested, ask_nested, harm_nested}, {"shared", make_shared, ask_shared, harm_shared},
    {"threaded", make_threaded, ask_threaded, harm_threaded});
