/*
 * The tree, and what belongs to a process as a whole:
 *
 *   MAIN ─┬─ LEADER (a session of its own) ─┬─ MEMBER (a group of its own in that session)
 *         │                                 └─ SIBLING (in MEMBER's group)
 *         ├─ ORPHAN (its session's leader has ended, its group's too)
 *         ├─ CREDENTIALS (other ids, few capabilities)
 *         ├─ LIMITS (limits, priorities, names, places)
 *         ├─ a zombie that ended with status 42
 *         └─ a zombie that was killed
 */
#ifndef EVERYTHING_TREE_H
#define EVERYTHING_TREE_H

#include "everything.h"
#include "everything_memory.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct ids {
  pid_t process, parent, session, group;
};
static struct ids ids_before;
static pid_t ended_zombie, killed_zombie;

static struct ids read_ids(void) { return (struct ids) {getpid(), getppid(), getsid(0), getpgrp()}; }

static void look_at_ids(void) {
  struct ids now = read_ids();
  HOLDS(memcmp(&now, &ids_before, sizeof now) == 0, "process, parent, session and group are %d %d %d %d instead of %d %d %d %d", now.process,
      now.parent, now.session, now.group, ids_before.process, ids_before.parent, ids_before.session, ids_before.group);
  char text[100] = "";
  char link[20] = "";
  snprintf(text, sizeof text, "%d", now.process);
  WORKS(readlink("/proc/self", link, sizeof link - 1));
  HOLDS(strcmp(link, text) == 0, "/proc is that of another pid namespace: /proc/self is %s in process %s", link, text);
}

static void prepare_leader(void) {
  ids_before = read_ids();
  HOLDS(ids_before.session == ids_before.process && ids_before.parent == process_of[MAIN], "not a leader");
}

static void prepare_ids(void) { ids_before = read_ids(); }

static void damage_ids(void) { ids_before.parent++; }

/* ---- making the tree ---- */

static pid_t start_process(enum role role) {
  pid_t child = (pid_t) MUST(fork());
  if (child != 0) return child;
  process_of[role] = getpid();
  /* A process whose first one has died must not stay behind. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (role == LEADER) MUST(setsid());
  if (role == LEADER) {
    pid_t member = start_process(MEMBER);
    setpgid(member, member);
    pid_t sibling = start_process(SIBLING);
    setpgid(sibling, member);
  }
  if (role == MEMBER) setpgid(0, 0);
  if (role == SIBLING) setpgid(0, process_of[MEMBER]);
  serve(role);
}

static void wait_until_ready(enum role role) {
  char answer[4];
  MUST(read(answer_pipe[role][0], answer, 4) == 4 && memcmp(answer, "end\n", 4) == 0 ? 0 : -1);
}

static void prepare_tree(void) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  process_of = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MUST(process_of == MAP_FAILED ? -1 : 0);
  process_of[MAIN] = getpid();
  for (int role = MAIN + 1; role < ROLES; role++) {
    MUST(pipe2(order_pipe[role], O_CLOEXEC));
    MUST(pipe2(answer_pipe[role], O_CLOEXEC));
  }
  start_process(LEADER);
  wait_until_ready(MEMBER);
  wait_until_ready(SIBLING);
  wait_until_ready(LEADER);
  pid_t passing = (pid_t) MUST(fork());
  if (passing == 0) {
    setsid();
    start_process(ORPHAN);
    _exit(0);
  }
  MUST(waitpid(passing, NULL, 0));
  wait_until_ready(ORPHAN);
  start_process(CREDENTIALS);
  wait_until_ready(CREDENTIALS);
  start_process(LIMITS);
  wait_until_ready(LIMITS);
  ended_zombie = (pid_t) MUST(fork());
  if (ended_zombie == 0) _exit(42);
  killed_zombie = (pid_t) MUST(fork());
  if (killed_zombie == 0) {
    setpgid(0, 0);
    kill(getpid(), SIGKILL);
    pause();
  }
  siginfo_t info;
  MUST(waitid(P_PID, (id_t) ended_zombie, &info, WEXITED | WNOWAIT));
  MUST(waitid(P_PID, (id_t) killed_zombie, &info, WEXITED | WNOWAIT));
  ids_before = read_ids();
  /* Now that the children have their copies. */
  write_inherited_main();
}

/* The orphan's own: its parent is the first process once its maker is gone. */
static void prepare_orphan(void) {
  prctl(PR_SET_PDEATHSIG, 0);
  uint64_t started = now_ns();
  while (getppid() != process_of[MAIN] && now_ns() - started < 5 * SECOND) sched_yield();
  ids_before = read_ids();
}

static void look_at_orphan(void) {
  look_at_ids();
  HOLDS(kill(ids_before.session, 0) == -1 && errno == ESRCH, "the ended leader of a session, process %d, is there again", ids_before.session);
}

static void check_zombie(pid_t zombie, int code, int status, pid_t group) {
  siginfo_t info = {0};
  WORKS(waitid(P_PID, (id_t) zombie, &info, WEXITED | WNOWAIT | WNOHANG));
  HOLDS(info.si_pid == zombie && info.si_code == code && info.si_status == status, "zombie %d: waitid says process %d, code %d, status %d", zombie,
      info.si_pid, info.si_code, info.si_status);
  char path[64], value[64] = "";
  snprintf(path, sizeof path, "/proc/%d/status", zombie);
  HOLDS(proc_field(path, "State", value, sizeof value) && value[0] == 'Z', "process %d is no zombie but '%s'", zombie, value);
  HOLDS(proc_field(path, "Name", value, sizeof value) && strncmp(value, "everything", 10) == 0, "zombie %d is called '%s'", zombie, value);
  HOLDS(getpgid(zombie) == group, "zombie %d is in group %d instead of %d", zombie, getpgid(zombie), group);
}

static void look_at_zombies(void) {
  check_zombie(ended_zombie, CLD_EXITED, 42, getpgrp());
  check_zombie(killed_zombie, CLD_KILLED, SIGKILL, killed_zombie);
}

static void damage_zombies(void) { waitpid(ended_zombie, NULL, 0); }

/* ---- credentials ---- */

#define CAPABILITY(name) (1u << (name))
static const char *const credential_fields[] = {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"};
#define CREDENTIAL_FIELDS ((int) (sizeof credential_fields / sizeof *credential_fields))
static char credentials_before[CREDENTIAL_FIELDS][128];
static int securebits_before, dumpable_before;

static void set_capabilities(uint32_t permitted, uint32_t effective, uint32_t inheritable) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{.permitted = permitted, .effective = effective, .inheritable = inheritable}};
  MUST(syscall(SYS_capset, &header, data));
}

static void prepare_credentials(void) {
  ids_before = read_ids();
  gid_t groups[] = {5, 2001, 70000};
  MUST(setgroups(3, groups));
  MUST(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NOROOT));
  MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE));
  MUST(prctl(PR_CAPBSET_DROP, CAP_MKNOD));
  MUST(setresgid(100, 101, 102));
  MUST(setresuid(1001, 1002, 1003));
  uint32_t kept = CAPABILITY(CAP_CHOWN) | CAPABILITY(CAP_NET_BIND_SERVICE) | CAPABILITY(CAP_SYS_NICE);
  set_capabilities(kept, CAPABILITY(CAP_CHOWN), CAPABILITY(CAP_NET_BIND_SERVICE));
  MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  MUST(prctl(PR_SET_PDEATHSIG, SIGKILL)); /* the change of ids has cleared it */
  for (int i = 0; i < CREDENTIAL_FIELDS; i++) {
    MUST(proc_field("/proc/self/status", credential_fields[i], credentials_before[i], sizeof credentials_before[i]) ? 0 : -1);
  }
  securebits_before = prctl(PR_GET_SECUREBITS);
  dumpable_before = prctl(PR_GET_DUMPABLE);
}

static void look_at_credentials(void) {
  look_at_ids();
  for (int i = 0; i < CREDENTIAL_FIELDS; i++) {
    char value[128] = "";
    HOLDS(proc_field("/proc/self/status", credential_fields[i], value, sizeof value) && strcmp(value, credentials_before[i]) == 0,
        "%s is '%s' instead of '%s'", credential_fields[i], value, credentials_before[i]);
  }
  HOLDS(prctl(PR_GET_SECUREBITS) == securebits_before, "the securebits are 0x%x instead of 0x%x", prctl(PR_GET_SECUREBITS), securebits_before);
  HOLDS(prctl(PR_GET_DUMPABLE) == dumpable_before, "dumpable is %d instead of %d", prctl(PR_GET_DUMPABLE), dumpable_before);
  int death_signal = 0;
  prctl(PR_GET_PDEATHSIG, &death_signal);
  HOLDS(death_signal == SIGKILL, "the parent-death signal is %d instead of %d", death_signal, SIGKILL);
}

static void damage_credentials(void) { set_capabilities(CAPABILITY(CAP_CHOWN), 0, 0); }

/* ---- limits, priorities, names, places ---- */

/* All of them lower than usual, since raising a hard limit takes CAP_SYS_RESOURCE, which a container's host may not have. */
static const struct {
  __rlimit_resource_t resource;
  struct rlimit limit;
} limits[] = {
    {RLIMIT_NOFILE, {900, 1000}},
    {RLIMIT_CORE, {0, 1 << 20}},
    {RLIMIT_STACK, {16 << 20, 32 << 20}},
    {RLIMIT_FSIZE, {1ul << 34, RLIM_INFINITY}},
    {RLIMIT_CPU, {10000, 20000}},
    {RLIMIT_MEMLOCK, {1 << 20, 2 << 20}},
    {RLIMIT_SIGPENDING, {501, 502}},
    {RLIMIT_MSGQUEUE, {1000, 2000}},
    {RLIMIT_NPROC, {5000, 6000}},
};
#define LIMITS_COUNT ((int) (sizeof limits / sizeof *limits))
#define IOPRIO_BEST_EFFORT_7 (2 << 13 | 7)

static char work_directory[600];

static void prepare_limits(void) {
  ids_before = read_ids();
  umask(027);
  report_path(work_directory, "work");
  MUST(mkdir(work_directory, 0700));
  MUST(chdir(work_directory));
  for (int i = 0; i < LIMITS_COUNT; i++) MUST(setrlimit(limits[i].resource, &limits[i].limit));
  MUST(setpriority(PRIO_PROCESS, 0, -3));
  struct sched_param round_robin = {.sched_priority = 3};
  MUST(sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &round_robin));
  MUST(syscall(SYS_ioprio_set, 1, 0, IOPRIO_BEST_EFFORT_7));
  MUST(prctl(PR_SET_NAME, "with: (limits)"));
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  MUST(prctl(PR_SET_PDEATHSIG, SIGKILL));
  MUST(prctl(PR_SET_DUMPABLE, 0));
  MUST(personality(ADDR_NO_RANDOMIZE));
  int file = (int) MUST(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  MUST(write(file, "321", 3));
  close(file);
}

static void look_at_limits(void) {
  look_at_ids();
  mode_t mask = umask(0);
  umask(mask);
  HOLDS(mask == 027, "the umask is 0%o instead of 027", mask);
  char text[600] = "";
  HOLDS(getcwd(text, sizeof text) != NULL && strcmp(text, work_directory) == 0, "the working directory is %s", text);
  for (int i = 0; i < LIMITS_COUNT; i++) {
    struct rlimit found;
    WORKS(getrlimit(limits[i].resource, &found));
    HOLDS(found.rlim_cur == limits[i].limit.rlim_cur && found.rlim_max == limits[i].limit.rlim_max, "limit %d is %lu, %lu instead of %lu, %lu",
        (int) limits[i].resource, found.rlim_cur, found.rlim_max, limits[i].limit.rlim_cur, limits[i].limit.rlim_max);
  }
  errno = 0;
  HOLDS(getpriority(PRIO_PROCESS, 0) == -3, "the nice value is %d instead of -3", getpriority(PRIO_PROCESS, 0));
  struct sched_param found;
  WORKS(sched_getparam(0, &found));
  HOLDS(sched_getscheduler(0) == (SCHED_RR | SCHED_RESET_ON_FORK) && found.sched_priority == 3, "the scheduling policy is 0x%x with priority %d",
      sched_getscheduler(0), found.sched_priority);
  HOLDS(syscall(SYS_ioprio_get, 1, 0) == IOPRIO_BEST_EFFORT_7, "the I/O priority is 0x%lx", syscall(SYS_ioprio_get, 1, 0));
  prctl(PR_GET_NAME, text);
  HOLDS(strcmp(text, "with: (limits)") == 0, "the name is '%s'", text);
  int value = 0;
  prctl(PR_GET_CHILD_SUBREAPER, &value);
  HOLDS(value == 1, "it is no subreaper any more");
  HOLDS(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1, "transparent huge pages are no longer disabled");
  prctl(PR_GET_PDEATHSIG, &value);
  HOLDS(value == SIGKILL, "the parent-death signal is %d", value);
  HOLDS(prctl(PR_GET_DUMPABLE) == 0, "dumpable is %d instead of 0", prctl(PR_GET_DUMPABLE));
  HOLDS(personality(0xffffffff) == ADDR_NO_RANDOMIZE, "the personality is 0x%x", personality(0xffffffff));
  WORKS(slurp("/proc/self/oom_score_adj", text, sizeof text));
  HOLDS(strcmp(text, "321\n") == 0, "oom_score_adj is %s", text);
}

static void damage_limits(void) { umask(077); }

/* ---- host name: only where it is the container's own ---- */

static char host_name[65];

static void prepare_host_name(void) {
  if (getpid() == 1) MUST(sethostname("everything-inside", 17));
  MUST(gethostname(host_name, sizeof host_name));
}

static void look_at_host_name(void) {
  char found[65] = "";
  WORKS(gethostname(found, sizeof found));
  HOLDS(strcmp(found, host_name) == 0, "the host name is %s instead of %s", found, host_name);
}

static void damage_host_name(void) { host_name[0] ^= 1; }

static void add_tree_items(adder *add) {
  add(MAIN, "tree-main", prepare_tree, look_at_ids, damage_ids);
  add(MAIN, "tree-zombies", NULL, look_at_zombies, damage_zombies);
  add(MAIN, "host-name", prepare_host_name, look_at_host_name, damage_host_name);
  add(LEADER, "tree-leader", prepare_leader, look_at_ids, damage_ids);
  add(MEMBER, "tree-member", prepare_ids, look_at_ids, damage_ids);
  add(SIBLING, "tree-sibling", prepare_ids, look_at_ids, damage_ids);
  add(ORPHAN, "tree-orphan", prepare_orphan, look_at_orphan, damage_ids);
  add(CREDENTIALS, "credentials", prepare_credentials, look_at_credentials, damage_credentials);
  add(LIMITS, "limits", prepare_limits, look_at_limits, damage_limits);
}

#endif
