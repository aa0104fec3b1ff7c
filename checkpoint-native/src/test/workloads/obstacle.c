// Has one thing that cannot be carried, named by its argument; "none" has nothing.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static void enter_deleted(void) {
  char name[] = "/tmp/gantry-test-XXXXXX";
  mkdtemp(name);
  int outside = open("/", O_RDONLY | O_DIRECTORY);
  check(chroot(name), "chroot");
  check(unlinkat(outside, name + 1, AT_REMOVEDIR), "unlinkat");
  close(outside);
}

static void *waiting(void *argument) {
  while (pause()) {
  }
  return argument;
}

static void *thread(void *argument) {
  (void)argument;
  if (is("own-directory")) check(unshare(CLONE_FS), "unshare");
  if (is("own-descriptors")) check(unshare(CLONE_FILES), "unshare");
  if (is("own-listener")) {
    check(unshare(CLONE_FILES), "unshare");
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    check(listen(listener, 5), "listen");
    check(dup2(listener, 90), "dup2");
  }
  if (is("descriptors-of-two")) {
    check(unshare(CLONE_FILES), "unshare");
    pthread_t other;
    pthread_create(&other, NULL, waiting, NULL);
  }
  if (is("threads-deleted-directory")) {
    check(unshare(CLONE_FS), "unshare");
    enter_deleted();
  }
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
  } else if (is("supervised")) {
    struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_acct, 0, 1),
                                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {4, filter};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), "seccomp");
  } else if (is("sysv") || is("sysv-forced")) {
    int forced = open("/proc/sys/kernel/shm_rmid_forced", O_WRONLY);
    if (is("sysv-forced")) check(write(forced, "1", 1), "shm_rmid_forced");
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
    enter_deleted();
  }
  if (is("session-key") || is("session-empty")) check(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), "keyctl");
  if (is("named-session")) check(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_ses.gantry-test"), "keyctl");
  if (is("session-empty")) check(syscall(SYS_keyctl, KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING), "keyctl");
  int ring = is("process-key") ? KEY_SPEC_PROCESS_KEYRING : is("thread-key") ? KEY_SPEC_THREAD_KEYRING : KEY_SPEC_SESSION_KEYRING;
  if (is("session-key") || is("named-session") || is("process-key") || is("thread-key")) {
    check(syscall(SYS_add_key, "user", "gantry-test", "secret", 6, ring), "add_key");
  }
  pthread_t started;
  if (pthread_create(&started, NULL, thread, NULL)) return 1;
  if (is("ended-main")) pthread_exit(NULL);
  for (;;) pause();
}
