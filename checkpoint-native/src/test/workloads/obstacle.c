// Has one thing that cannot be carried, named by its argument; "none" has nothing.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *what;

static int is(const char *name) { return strcmp(what, name) == 0; }

static void check(long result, const char *call) {
  if (result < 0) {
    printf("failed: %s: %s\n", call, strerror(errno));
    exit(1);
  }
}

static void *thread(void *argument) {
  (void)argument;
  if (is("own-directory")) check(unshare(CLONE_FS), "unshare");
  if (is("ended-main")) usleep(100000);
  puts("ready");
  while (pause()) {
  }
  return NULL;
}

int main(int count, char **arguments) {
  (void)count;
  setvbuf(stdout, NULL, _IONBF, 0);
  what = arguments[1];
  if (is("seccomp")) {
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
  } else if (is("sysv")) {
    check(shmget(IPC_PRIVATE, 4096, 0600 | IPC_CREAT), "shmget");
  } else if (is("mqueue")) {
    check(mq_open("/queue-of-a-test", O_CREAT | O_RDWR, 0600, NULL), "mq_open");
  } else if (is("mount")) {
    check(mount("none", "/mnt", "tmpfs", 0, "size=64k"), "mount");
  } else if (is("namespace")) {
    check(unshare(CLONE_NEWUTS), "unshare");
  } else if (is("cpu-timer")) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    check(timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer), "timer_create");
  } else if (is("deleted-directory")) {
    char name[] = "/tmp/gantry-test-XXXXXX";
    mkdtemp(name);
    check(chdir(name), "chdir");
    rmdir(name);
  }
  pthread_t started;
  if (pthread_create(&started, NULL, thread, NULL)) return 1;
  if (is("ended-main")) pthread_exit(NULL);
  for (;;) pause();
}
