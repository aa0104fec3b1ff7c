/* Filters of system calls: a chain, one thread's own, one shared by all threads, those that allow next to nothing, and strict mode. */
#include "kind.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#define LOAD_NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define ANSWER(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define LET(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), ALLOW

static long install(unsigned flags, struct sock_filter *program, size_t length) {
  struct sock_fprog argument = {.len = (unsigned short) length, .filter = program};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &argument);
}

/* Makes one call, which would fail in any case, fail with an error of our own. */
static long deny(unsigned flags, int number, int error) {
  struct sock_filter program[] = {LOAD_NUMBER, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), ANSWER(error), ALLOW};
  return install(flags, program, sizeof program / sizeof *program);
}

static int error_of(int number) { return syscall(number, -1, -1, -1) == -1 ? errno : 0; }

/* A number of /proc/PID/status. */
static int status_number(int pid, const char *field) {
  char path[64], text[8192];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  int fd = (int) WORKS(open(path, O_RDONLY | O_CLOEXEC));
  ssize_t length = WORKS(read(fd, text, sizeof text - 1));
  close(fd);
  text[length > 0 ? length : 0] = 0;
  char *at = strstr(text, field);
  return at == NULL ? -1 : atoi(at + strlen(field));
}

/* --- a chain of two that everything here inherits ------------------------------------------------------------------------------------------ */

static int chain_error = 71;

static void make_chain(void) {
  MUST(deny(SECCOMP_FILTER_FLAG_LOG, SYS_acct, 70));
  MUST(deny(0, SYS_acct, 71));
}

static void look_chain(void) {
  HOLDS(error_of(SYS_acct) == chain_error, "the filter answers %d", error_of(SYS_acct));
  HOLDS(error_of(SYS_swapon) != 73, "the main thread has another thread's filter");
  HOLDS(status_number(getpid(), "\nSeccomp:\t") == 2 && status_number(getpid(), "Seccomp_filters:\t") == 2, "it has %d filters",
      status_number(getpid(), "Seccomp_filters:\t"));
}

static void damage_chain(void) { chain_error = 70; }

/* --- one thread's own --------------------------------------------------------------------------------------------------------------------- */

static atomic_int own_wanted, own_answer, own_number = SYS_swapon;

static void *own_filter(void *argument) {
  (void) argument;
  MUST(deny(0, SYS_swapon, 73));
  for (;;) {
    if (atomic_exchange(&own_wanted, 0)) atomic_store(&own_answer, error_of(atomic_load(&own_number)));
    struct timespec pause = timespec_of(MS);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static void make_own(void) {
  pthread_t thread;
  MUST(-pthread_create(&thread, NULL, own_filter, NULL));
}

static void look_own(void) {
  atomic_store(&own_answer, -1);
  atomic_store(&own_wanted, 1);
  uint64_t end = now_ns() + 2 * SECOND;
  while (atomic_load(&own_answer) == -1 && now_ns() < end) usleep(1000);
  HOLDS(atomic_load(&own_answer) == 73, "the thread's filter answers %d", atomic_load(&own_answer));
}

static void damage_own(void) { atomic_store(&own_number, SYS_swapoff); }

/* --- shared by the threads of a process: a new one can still be given to all of them ------------------------------------------------------ */

static struct child synchronized, narrow, dropped, strict;
static bool damaged;

static void *sleep_forever(void *argument) {
  pause();
  return argument;
}

static void make_synchronized(void) {
  pthread_t thread;
  MUST(-pthread_create(&thread, NULL, sleep_forever, NULL));
  MUST(deny(SECCOMP_FILTER_FLAG_TSYNC, SYS_swapon, 74));
}

static void look_synchronized(void) {
  HOLDS(error_of(SYS_swapon) == 74, "the filter answers %d", error_of(SYS_swapon));
  long answer = deny(SECCOMP_FILTER_FLAG_TSYNC, SYS_swapon, 74);
  HOLDS(answer == 0, "thread %ld cannot be given the same filter", answer);
}

static void diverge(void) {
  static pthread_t thread;
  MUST(-pthread_create(&thread, NULL, own_filter, NULL));
  uint64_t end = now_ns() + 200 * MS;
  while (now_ns() < end) usleep(1000);
}

static void begin_synchronized(void) { synchronized = child_begin(make_synchronized, look_synchronized, diverge); }

static void look_at_synchronized(void) { child_says(&synchronized); }

static void damage_synchronized(void) { child_damages(&synchronized); }

/* --- a process that may do next to nothing, and is killed for anything else ---------------------------------------------------------------- */

static void make_narrow(void) {
  struct sock_filter program[] = {LOAD_NUMBER, LET(SYS_read), LET(SYS_write), LET(SYS_exit_group), LET(SYS_restart_syscall),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  MUST(install(0, program, sizeof program / sizeof *program));
}

static void look_undamaged(void) { HOLDS(!damaged, "it was damaged"); }

static void damage_it(void) { damaged = true; }

static void begin_narrow(void) { narrow = child_begin(make_narrow, look_undamaged, damage_it); }

static void look_narrow(void) {
  child_says(&narrow);
  HOLDS(status_number(narrow.pid, "Seccomp_filters:\t") == 3, "it has %d filters", status_number(narrow.pid, "Seccomp_filters:\t"));
}

static void damage_narrow(void) { child_damages(&narrow); }

/* --- one that has given up its rights first ----------------------------------------------------------------------------------------------- */

static void make_dropped(void) {
  MUST(setresgid(1234, 1234, 1234));
  MUST(setresuid(1234, 1234, 1234));
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  MUST(deny(0, SYS_swapon, 75));
}

static int dropped_error = 75;

static void look_as_dropped(void) {
  HOLDS(error_of(SYS_swapon) == dropped_error, "the filter answers %d", error_of(SYS_swapon));
  HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && getuid() == 1234, "its rights are not what they were");
}

static void damage_as_dropped(void) { dropped_error = 76; }

static void begin_dropped(void) { dropped = child_begin(make_dropped, look_as_dropped, damage_as_dropped); }

static void look_dropped(void) { child_says(&dropped); }

static void damage_dropped(void) { child_damages(&dropped); }

/* --- strict mode: read, write, exit and sigreturn; not for who has filters, so it comes first ---------------------------------------------- */

static void make_strict(void) { MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0)); }

static void begin_strict(void) { strict = child_begin(make_strict, look_undamaged, damage_it); }

static void look_strict(void) {
  child_says(&strict);
  HOLDS(status_number(strict.pid, "\nSeccomp:\t") == 1, "its mode is %d", status_number(strict.pid, "\nSeccomp:\t"));
}

static void damage_strict(void) { child_damages(&strict); }

KIND({"strict", begin_strict, look_strict, damage_strict}, {"chain", make_chain, look_chain, damage_chain},
    {"synchronized", begin_synchronized, look_at_synchronized, damage_synchronized}, {"narrow", begin_narrow, look_narrow, damage_narrow},
    {"dropped", begin_dropped, look_dropped, damage_dropped}, {"own", make_own, look_own, damage_own});
