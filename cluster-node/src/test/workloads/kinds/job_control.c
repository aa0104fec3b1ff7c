/* Jobs: stopped and continued, in the background, orphaned, and sessions whose leader has gone. */
#include "kind.h"

#include <signal.h>

/* What a job tells by counting. */
static volatile long *turns;

static void turning(int which) {
  for (;;) {
    turns[which]++;
    usleep(5000);
  }
}

static char state_of(pid_t pid) {
  char path[60], text[400] = {0};
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return '?';
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  char *name_end = length == 0 ? NULL : strrchr(text, ')');
  return name_end == NULL ? '?' : name_end[2];
}

static bool reaches(pid_t pid, char state) {
  for (int i = 0; i < 200; i++) {
    if (state_of(pid) == state) return true;
    usleep(10000);
  }
  return false;
}

static bool turns_on(int which) {
  long before = turns[which];
  for (int i = 0; i < 200 && turns[which] < before + 2; i++) usleep(10000);
  return turns[which] >= before + 2;
}

/* Takes all reports of a child that has stopped or continued. */
static void take_reports(pid_t pid) {
  int status;
  while (waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG) == pid) continue;
}

/* Waits for one report and says whether it is the wanted one. */
static bool reports(pid_t pid, int options, bool (*wanted)(int status)) {
  for (int i = 0; i < 200; i++) {
    int status;
    pid_t got = waitpid(pid, &status, options | WNOHANG);
    if (got == pid) return wanted(status);
    if (got == -1) return false;
    usleep(10000);
  }
  return false;
}

static bool by_stop(int status) { return WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP; }

static bool by_terminal_stop(int status) { return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP; }

static bool by_continue(int status) { return WIFCONTINUED(status); }

/* --- stopped and continued --------------------------------------------------------------------------------------------------------------- */

static pid_t stopped, suspended, told;

static pid_t job(int which, bool own_group) {
  pid_t pid = (pid_t) MUST(fork());
  if (pid == 0) {
    if (own_group) setpgid(0, 0);
    turning(which);
  }
  if (own_group) setpgid(pid, pid);
  return pid;
}

static void make_stopped(void) {
  turns = (volatile long *) MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  stopped = job(0, false);
  MUST(kill(stopped, SIGSTOP));
  MUST(waitpid(stopped, NULL, WUNTRACED));
}

static void look_stopped(void) {
  HOLDS(reaches(stopped, 'T'), "its state is %c", state_of(stopped));
  long before = turns[0];
  usleep(50000);
  HOLDS(turns[0] == before, "a stopped process runs");
  int status;
  HOLDS(waitpid(stopped, &status, WUNTRACED | WNOHANG) == 0, "that it was stopped is reported twice");
  WORKS(kill(stopped, SIGCONT));
  HOLDS(reports(stopped, WCONTINUED, by_continue), "that it was continued is not reported");
  HOLDS(turns_on(0), "a continued process does not run");
  WORKS(kill(stopped, SIGSTOP));
  HOLDS(reports(stopped, WUNTRACED, by_stop), "that it was stopped is not reported");
}

static void damage_stopped(void) { WORKS(kill(stopped, SIGCONT)); }

static void make_suspended(void) {
  suspended = job(1, true);
  MUST(kill(-suspended, SIGTSTP));
  MUST(waitpid(suspended, NULL, WUNTRACED));
}

static void look_suspended(void) {
  HOLDS(reaches(suspended, 'T'), "its state is %c", state_of(suspended));
  HOLDS(getpgid(suspended) == suspended, "its group is %d", getpgid(suspended));
  take_reports(suspended);
  WORKS(kill(-suspended, SIGCONT));
  HOLDS(turns_on(1), "a continued job does not run");
  take_reports(suspended);
  WORKS(kill(-suspended, SIGTSTP));
  HOLDS(reports(suspended, WUNTRACED, by_terminal_stop), "that it was suspended is not reported");
}

static void damage_suspended(void) { WORKS(kill(-suspended, SIGCONT)); }

/* A signal that came while it was stopped, and that it will die of. */
static pid_t doomed;

static void make_doomed(void) {
  doomed = job(7, false);
  MUST(kill(doomed, SIGSTOP));
  MUST(waitpid(doomed, NULL, WUNTRACED));
  MUST(kill(doomed, SIGTERM));
}

static void look_doomed(void) {
  HOLDS(reaches(doomed, 'T'), "its state is %c", state_of(doomed));
  if (asked_number < 3) return;
  WORKS(kill(doomed, SIGCONT));
  int status = 0;
  WORKS(waitpid(doomed, &status, 0));
  HOLDS(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "it has ended with %x", status);
  make_doomed();
}

static void damage_doomed(void) { WORKS(kill(doomed, SIGCONT)); }

/* A report that nobody has taken yet. */
static void make_told(void) {
  told = job(2, true);
  MUST(kill(told, SIGSTOP));
  if (!reaches(told, 'T')) exit(2);
}

static void look_told(void) {
  HOLDS(reports(told, WUNTRACED, by_stop), "that it was stopped is not reported");
  int status;
  HOLDS(waitpid(told, &status, WUNTRACED | WNOHANG) == 0, "it is reported twice");
  WORKS(kill(told, SIGCONT));
  HOLDS(turns_on(2), "a continued process does not run");
  take_reports(told);
  WORKS(kill(told, SIGSTOP));
  HOLDS(reaches(told, 'T'), "it cannot be stopped again");
}

static void damage_told(void) { take_reports(told); }

/* --- orphans ----------------------------------------------------------------------------------------------------------------------------- */

static volatile pid_t *orphans;

/* A child makes a child in a group and session of its own and ends: nobody of the group has a parent in the session any more. */
static void make_orphaned(void) {
  orphans = (volatile pid_t *) MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t between = (pid_t) MUST(fork());
  if (between == 0) {
    setsid();
    pid_t group = fork();
    if (group == 0) {
      setpgid(0, 0);
      orphans[0] = getpid();
      turning(3);
    }
    pid_t member = fork();
    if (member == 0) {
      while (orphans[0] == 0) usleep(1000);
      setpgid(0, orphans[0]);
      orphans[1] = getpid();
      orphans[2] = getsid(0);
      turning(4);
    }
    while (orphans[0] == 0 || orphans[1] == 0) usleep(1000);
    _exit(0);
  }
  MUST(waitpid(between, NULL, 0));
}

static void look_orphaned(void) {
  HOLDS(getsid(orphans[0]) == orphans[2] && getsid(orphans[1]) == orphans[2], "their session is %d", getsid(orphans[0]));
  HOLDS(getpgid(orphans[0]) == orphans[0] && getpgid(orphans[1]) == orphans[0], "their groups are %d and %d", getpgid(orphans[0]), getpgid(orphans[1]));
  HOLDS(getsid(orphans[2]) == -1 && errno == ESRCH, "the leader of their session lives");
  HOLDS(turns_on(3) && turns_on(4), "they do not run");
}

static void damage_orphaned(void) { WORKS(kill(orphans[1], SIGKILL)); usleep(50000); }

/* A child that stays in the session its parent has left. */
static struct child leaver;
static pid_t left_behind;

static void leaves(void) {
  setpgid(0, 0);
  left_behind = (pid_t) MUST(fork());
  if (left_behind == 0) turning(5);
  MUST(setpgid(left_behind, left_behind));
  pid_t other = (pid_t) MUST(fork());
  if (other == 0) {
    /* Not a leader of a group, so that it may found a session. */
    setsid();
    turning(6);
  }
}

static void look_leaver(void) {
  HOLDS(getsid(left_behind) == getsid(0), "its session is %d", getsid(left_behind));
  HOLDS(getpgid(left_behind) == left_behind, "its group is %d", getpgid(left_behind));
  HOLDS(turns_on(5) && turns_on(6), "they do not run");
}

static void damage_leaver(void) { WORKS(setpgid(left_behind, getpgid(0))); }

static void make_left(void) { leaver = child_begin(leaves, look_leaver, damage_leaver); }

static void look_left(void) { child_says(&leaver); }

static void damage_left(void) { child_damages(&leaver); }

/* --- zombies ----------------------------------------------------------------------------------------------------------------------------- */

static pid_t by_exit, by_signal;

static void make_zombies(void) {
  if ((by_exit = (pid_t) MUST(fork())) == 0) _exit(37);
  if ((by_signal = (pid_t) MUST(fork())) == 0) raise(SIGUSR2);
}

static void look_zombies(void) {
  siginfo_t info = {0};
  HOLDS(reaches(by_exit, 'Z') && reaches(by_signal, 'Z'), "they have not ended");
  WORKS(waitid(P_PID, (id_t) by_exit, &info, WEXITED | WNOHANG | WNOWAIT));
  HOLDS(info.si_code == CLD_EXITED && info.si_status == 37, "it ended with %d %d", info.si_code, info.si_status);
  WORKS(waitid(P_PID, (id_t) by_signal, &info, WEXITED | WNOHANG | WNOWAIT));
  HOLDS(info.si_code == CLD_KILLED && info.si_status == SIGUSR2, "it was killed by %d", info.si_status);
}

static void damage_zombies(void) { WORKS(waitpid(by_exit, NULL, 0)); }

KIND({"stopped", make_stopped, look_stopped, damage_stopped}, {"suspended", make_suspended, look_suspended, damage_suspended},
    {"doomed", make_doomed, look_doomed, damage_doomed},
    {"told", make_told, look_told, damage_told}, {"orphaned", make_orphaned, look_orphaned, damage_orphaned},
    {"left", make_left, look_left, damage_left}, {"zombies", make_zombies, look_zombies, damage_zombies});
