/* What prctl(2) and its relatives set: each in a child of its own, since some of it cannot be taken back. */
#include "kind.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif

static struct child named, securely, reaper, mortal, memory, slack, denied, policy, clockless, files, scheduled, rooted, dumps, barriers;

static void write_proc(const char *name, const char *text) {
  char path[80];
  snprintf(path, sizeof path, "/proc/self/%s", name);
  int fd = (int) WORKS(open(path, O_WRONLY));
  WORKS(write(fd, text, strlen(text)));
  close(fd);
}

static bool proc_says(const char *name, const char *text) {
  char path[80], got[4096] = {0};
  snprintf(path, sizeof path, "/proc/self/%s", name);
  int fd = (int) WORKS(open(path, O_RDONLY));
  WORKS(read(fd, got, sizeof got - 1));
  close(fd);
  return strstr(got, text) != NULL;
}

static void set_name(void) { WORKS(prctl(PR_SET_NAME, "a (strange) nam")); }
static void look_name(void) {
  char name[16] = {0};
  WORKS(prctl(PR_GET_NAME, name));
  HOLDS(strcmp(name, "a (strange) nam") == 0, "it is called %s", name);
}
static void damage_name(void) { WORKS(prctl(PR_SET_NAME, "other")); }

static void set_secure(void) {
  WORKS(prctl(PR_SET_DUMPABLE, 0));
  WORKS(prctl(PR_SET_KEEPCAPS, 1));
  WORKS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}
static void look_secure(void) {
  HOLDS(prctl(PR_GET_DUMPABLE) == 0, "it is dumpable");
  HOLDS(prctl(PR_GET_KEEPCAPS) == 1, "it does not keep its capabilities");
  HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "it can gain privileges");
}
static void damage_secure(void) { WORKS(prctl(PR_SET_KEEPCAPS, 0)); }

static void set_reaper(void) { WORKS(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)); }
static void look_reaper(void) {
  int on = 0;
  WORKS(prctl(PR_GET_CHILD_SUBREAPER, &on));
  HOLDS(on == 1, "it adopts nobody");
  pid_t child = (pid_t) WORKS(fork());
  if (child == 0) {
    if (fork() == 0) _exit(getppid() > 0 ? 21 : 22);
    _exit(0);
  }
  WORKS(waitpid(child, NULL, 0));
  int status = 0;
  WORKS(waitpid(-1, &status, 0));
  HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 21, "a grandchild is not its own");
}
static void damage_reaper(void) { WORKS(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)); }

static void set_mortal(void) { WORKS(prctl(PR_SET_PDEATHSIG, SIGUSR1)); }
static void look_mortal(void) {
  int signal = 0;
  WORKS(prctl(PR_GET_PDEATHSIG, &signal));
  HOLDS(signal == SIGUSR1, "it gets signal %d when its parent dies", signal);
}
static void damage_mortal(void) { WORKS(prctl(PR_SET_PDEATHSIG, SIGUSR2)); }

static void set_memory(void) {
  WORKS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  WORKS(prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0));
}
static void look_memory(void) {
  HOLDS(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, "it gets huge pages");
  HOLDS(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) == 1, "its pages are not merged");
}
static void damage_memory(void) { WORKS(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)); }

static void set_slack(void) { WORKS(prctl(PR_SET_TIMERSLACK, 123456)); }
static void look_slack(void) { HOLDS(prctl(PR_GET_TIMERSLACK) == 123456, "its slack is %d", prctl(PR_GET_TIMERSLACK)); }
static void damage_slack(void) { WORKS(prctl(PR_SET_TIMERSLACK, 1)); }

static void set_denied(void) { WORKS(prctl(PR_SET_MDWE, 1, 0, 0, 0)); }
static void look_denied(void) {
  HOLDS(prctl(PR_GET_MDWE, 0, 0, 0, 0) == 1, "it may make code");
  HOLDS(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED, "it makes code");
  HOLDS(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0, "it gets no huge pages");
}
static void damage_denied(void) { WORKS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)); }

/* MPOL_BIND and MPOL_INTERLEAVE of linux/mempolicy.h. */
static void set_policy(void) {
  unsigned long nodes = 1;
  WORKS(syscall(SYS_set_mempolicy, 2, &nodes, 8 * sizeof nodes));
}
static void look_policy(void) {
  int mode = 0;
  unsigned long nodes[16] = {0};
  WORKS(syscall(SYS_get_mempolicy, &mode, nodes, 8 * sizeof nodes, 0, 0));
  HOLDS(mode == 2 && nodes[0] == 1, "its memory comes by policy %d from nodes %lx", mode, nodes[0]);
}
static void damage_policy(void) {
  unsigned long nodes = 1;
  WORKS(syscall(SYS_set_mempolicy, 3, &nodes, 8 * sizeof nodes));
}

static void set_clockless(void) { WORKS(prctl(PR_SET_TSC, PR_TSC_SIGSEGV)); }
static void look_clockless(void) {
  int state = 0;
  WORKS(prctl(PR_GET_TSC, &state));
  HOLDS(state == PR_TSC_SIGSEGV, "it may read the time stamp counter");
}
static void damage_clockless(void) { WORKS(prctl(PR_SET_TSC, PR_TSC_ENABLE)); }

static void set_dumps(void) {
  write_proc("coredump_filter", "0x21");
  write_proc("oom_score_adj", "321");
  WORKS(personality(ADDR_NO_RANDOMIZE | PER_LINUX));
}
static void look_dumps(void) {
  HOLDS(proc_says("coredump_filter", "00000021"), "its dumps would hold other memory");
  HOLDS(proc_says("oom_score_adj", "321"), "it is killed later");
  HOLDS(personality(0xffffffff) == ADDR_NO_RANDOMIZE, "its personality is %x", personality(0xffffffff));
}
static void damage_dumps(void) { write_proc("oom_score_adj", "322"); }

/* IOPRIO_WHO_PROCESS; class idle is 3. */
static void set_scheduled(void) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(1, &cpus);
  WORKS(sched_setaffinity(0, sizeof cpus, &cpus));
  WORKS(syscall(SYS_ioprio_set, 1, 0, 3 << 13 | 5));
  struct sched_param none = {0};
  WORKS(sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &none));
}
static void look_scheduled(void) {
  cpu_set_t cpus;
  WORKS(sched_getaffinity(0, sizeof cpus, &cpus));
  HOLDS(CPU_COUNT(&cpus) == 1 && CPU_ISSET(1, &cpus), "it may run on %d processors", CPU_COUNT(&cpus));
  HOLDS(syscall(SYS_ioprio_get, 1, 0) == (3 << 13 | 5), "its input and output have precedence %lx", syscall(SYS_ioprio_get, 1, 0));
  HOLDS(sched_getscheduler(0) == (SCHED_BATCH | SCHED_RESET_ON_FORK), "it is scheduled by %x", sched_getscheduler(0));
}
static void damage_scheduled(void) { WORKS(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5)); }

static void set_barriers(void) {
  /* MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED and MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED. */
  WORKS(syscall(SYS_membarrier, 1 << 4, 0, 0));
  WORKS(syscall(SYS_membarrier, 1 << 2, 0, 0));
}
static void look_barriers(void) {
  WORKS(syscall(SYS_membarrier, 1 << 3, 0, 0));
  HOLDS(syscall(SYS_membarrier, 1 << 9, 0, 0) == (1 << 4 | 1 << 2), "it is registered for %lx", syscall(SYS_membarrier, 1 << 9, 0, 0));
}
static void damage_barriers(void) { WORKS(syscall(SYS_membarrier, 1 << 6, 0, 0)); }

/* A working directory that is gone, and a file mode mask. */
static void set_files(void) {
  WORKS(mkdir(own_path("gone"), 0755));
  WORKS(chdir(own_path("gone")));
  WORKS(rmdir(own_path("gone")));
  umask(0135);
}
static void look_files(void) {
  char path[700] = {0}, wanted[700];
  snprintf(wanted, sizeof wanted, "%s (deleted)", own_path("gone"));
  WORKS(readlink("/proc/self/cwd", path, sizeof path - 1));
  HOLDS(strcmp(path, wanted) == 0, "its directory is %s", path);
  HOLDS(open("new", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT, "a file can be made where there is no directory");
  mode_t mask = umask(0135);
  HOLDS(mask == 0135, "its mask is %o", mask);
}
static void damage_files(void) { WORKS(chdir("/")); }

static void set_rooted(void) {
  WORKS(mkdir(own_path("root"), 0755));
  WORKS(mkdir(own_path("root/inside"), 0755));
  WORKS(chroot(own_path("root")));
  WORKS(chdir("/inside"));
}
static void look_rooted(void) {
  char path[700] = {0};
  WORKS(getcwd(path, sizeof path) == NULL ? -1 : 0);
  HOLDS(strcmp(path, "/inside") == 0, "its directory is %s", path);
  HOLDS(access("/inside", F_OK) == 0 && access("/proc", F_OK) == -1, "its root is another");
}
static void damage_rooted(void) { WORKS(chdir("/")); }

#define IN_A_CHILD(name, item)                                                                       \
  static void make_##item(void) { item = child_begin(set_##name, look_##name, damage_##name); }      \
  static void ask_##item(void) { child_says(&item); }                                                \
  static void harm_##item(void) { child_damages(&item); }

IN_A_CHILD(name, named)
IN_A_CHILD(secure, securely)
IN_A_CHILD(reaper, reaper)
IN_A_CHILD(mortal, mortal)
IN_A_CHILD(memory, memory)
IN_A_CHILD(slack, slack)
IN_A_CHILD(denied, denied)
IN_A_CHILD(policy, policy)
IN_A_CHILD(clockless, clockless)
IN_A_CHILD(dumps, dumps)
IN_A_CHILD(scheduled, scheduled)
IN_A_CHILD(barriers, barriers)
IN_A_CHILD(files, files)
IN_A_CHILD(rooted, rooted)

#define ITEM(item) {#item, make_##item, ask_##item, harm_##item}

KIND(ITEM(named), ITEM(securely), ITEM(reaper), ITEM(mortal), ITEM(memory), ITEM(slack), ITEM(denied), ITEM(policy), ITEM(clockless), ITEM(dumps),
    ITEM(scheduled), ITEM(barriers), ITEM(files), ITEM(rooted));
