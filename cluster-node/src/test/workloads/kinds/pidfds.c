/* pidfds: of the program itself, its parent's other child, a thread, a zombie, processes that are gone; non-blocking ones; signals through them. */
#include "kind.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static int own, of_child, of_thread, of_zombie, of_gone[2], of_killed;
static pid_t child, zombie, thread_id;

static int opened(pid_t pid, unsigned flags) { return (int) MUST(syscall(SYS_pidfd_open, pid, flags)); }

static bool has_ended(int fd) {
  struct pollfd poller = {.fd = fd, .events = POLLIN};
  return poll(&poller, 1, 0) == 1 && (poller.revents & POLLIN);
}

/* What /proc says it means. */
static int meant(int fd) {
  char path[64], line[200];
  int pid = -2;
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  FILE *info = fopen(path, "r");
  while (info != NULL && fgets(line, sizeof line, info)) sscanf(line, "Pid: %d", &pid);
  if (info != NULL) fclose(info);
  return pid;
}

static int sent(int fd, int signal) { return (int) syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0); }

static void make_own(void) { own = opened(getpid(), 0); }

static void look_own(void) {
  HOLDS(meant(own) == getpid(), "it means process %d", meant(own));
  HOLDS(!has_ended(own), "it says that its process has ended");
  HOLDS(fcntl(own, F_GETFD) & FD_CLOEXEC, "it stays open over exec now");
}

static void damage_own(void) { dup2(of_child, own); }

static void make_child(void) {
  child = (pid_t) MUST(fork());
  if (child == 0) {
    for (;;) pause();
  }
  of_child = opened(child, PIDFD_NONBLOCK);
}

static void look_child(void) {
  siginfo_t info = {0};
  HOLDS(meant(of_child) == child && !has_ended(of_child), "it means process %d", meant(of_child));
  HOLDS(waitid(P_PIDFD, (id_t) of_child, &info, WEXITED) == -1 && errno == EAGAIN, "waiting with it blocks, or fails: %s", strerror(errno));
  HOLDS(sent(of_child, 0) == 0, "no signal can be sent: %s", strerror(errno));
}

static void damage_child(void) { sent(of_child, SIGKILL); }

static void make_thread(void) {
  thread_id = thread_begin();
  of_thread = opened(thread_id, PIDFD_THREAD);
}

static void look_thread(void) {
  HOLDS(meant(of_thread) == thread_id, "it means %d and not thread %d", meant(of_thread), thread_id);
  HOLDS(fcntl(of_thread, F_GETFL) & PIDFD_THREAD, "it means a process now");
  HOLDS(sent(of_thread, 0) == 0 && !has_ended(of_thread), "its thread is not there");
}

static void damage_thread(void) { dup2(own, of_thread); }

static void make_zombie(void) {
  zombie = (pid_t) MUST(fork());
  if (zombie == 0) _exit(23);
  of_zombie = opened(zombie, 0);
  siginfo_t info;
  MUST(waitid(P_PID, (id_t) zombie, &info, WEXITED | WNOWAIT));
}

static void look_zombie(void) {
  siginfo_t info = {0};
  HOLDS(meant(of_zombie) == zombie && has_ended(of_zombie), "it means process %d, %s", meant(of_zombie), has_ended(of_zombie) ? "ended" : "alive");
  HOLDS(waitid(P_PIDFD, (id_t) of_zombie, &info, WEXITED | WNOWAIT) == 0 && info.si_status == 23, "its status is %d", info.si_status);
}

static void damage_zombie(void) { waitpid(zombie, NULL, 0); }

static void make_gone(void) {
  pid_t pid = (pid_t) MUST(fork());
  if (pid == 0) _exit(9);
  of_gone[0] = opened(pid, 0);
  of_gone[1] = opened(pid, PIDFD_NONBLOCK);
  MUST(waitpid(pid, NULL, 0));
  pid = (pid_t) MUST(fork());
  if (pid == 0) pause();
  of_killed = opened(pid, 0);
  MUST(kill(pid, SIGKILL));
  MUST(waitpid(pid, NULL, 0));
}

static int status_of(int fd) {
  struct { uint64_t mask, cgroup; uint32_t ids[11]; int32_t status; } info = {.mask = 1 << 3};
  return ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, 64), &info) == 0 && (info.mask & 1 << 3) ? info.status : -1;
}

static void look_gone(void) {
  struct stat a = {0}, b = {0}, c = {0};
  for (int i = 0; i < 2; i++) {
    HOLDS(meant(of_gone[i]) == -1 && has_ended(of_gone[i]), "it means process %d", meant(of_gone[i]));
    HOLDS(sent(of_gone[i], 0) == -1 && errno == ESRCH, "a signal can be sent");
    HOLDS(status_of(of_gone[i]) == 9 << 8, "its status is %#x", status_of(of_gone[i]));
  }
  HOLDS(!(fcntl(of_gone[0], F_GETFL) & O_NONBLOCK) && (fcntl(of_gone[1], F_GETFL) & O_NONBLOCK), "flags are mixed up");
  HOLDS(status_of(of_killed) == SIGKILL, "the status of what was killed is %#x", status_of(of_killed));
  WORKS(fstat(of_gone[0], &a));
  WORKS(fstat(of_gone[1], &b));
  WORKS(fstat(of_killed, &c));
  HOLDS(a.st_ino == b.st_ino && a.st_ino != c.st_ino, "they do not mean one process and another");
}

static void damage_gone(void) { dup2(of_killed, of_gone[1]); }

KIND({"child", make_child, look_child, damage_child}, {"own", make_own, look_own, damage_own},
    {"thread", make_thread, look_thread, damage_thread}, {"zombie", make_zombie, look_zombie, damage_zombie},
    {"gone", make_gone, look_gone, damage_gone});
