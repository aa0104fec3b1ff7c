// A program whose every attribute differs from the default, or ("blank") none, and which says what it set.
#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int blank;
static int thread_count;
static pthread_barrier_t all_ready;
static char alternate[65536];

static void check(long result, const char *what) {
  if (result < 0) {
    printf("failed: %s: %s\n", what, strerror(errno));
    exit(1);
  }
}

static void handler(int signal) { (void)signal; }

static void fill_vectors_and_wait(unsigned seed) {
  // Values that this thread alone has, in every vector register of 256 bits and in the x87 stack.
  static const char ready[] = "ready\n";
  unsigned char pattern[32];
  for (int i = 0; i < 32; i++) pattern[i] = seed * 31 + i;
  double x = seed + 0.5;
  int say = seed == 0;
  asm volatile(
      "fldl %1\n vmovdqu (%0), %%ymm0\n vpaddb %%ymm0, %%ymm0, %%ymm7\n vpaddb %%ymm7, %%ymm0, %%ymm15\n"
      "test %2, %2\n jz 1f\n"
      "mov $1, %%eax\n mov $1, %%edi\n mov %3, %%rsi\n mov $6, %%edx\n syscall\n"
      "1: mov $34, %%eax\n syscall\n jmp 1b\n"
      :
      : "r"(pattern), "m"(x), "r"(say), "r"(ready)
      : "rax", "rcx", "rdi", "rsi", "rdx", "r11", "memory", "xmm0", "xmm7", "xmm15");
}

static void *thread(void *argument) {
  long index = (long)argument;
  if (!blank) {
    char name[16];
    snprintf(name, sizeof name, "worker %ld", index);
    prctl(PR_SET_NAME, name);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, 34 + index % 20);
    sigaddset(&set, SIGUSR2);
    // What is sent to the whole process is left to the main thread, which blocks it.
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGALRM);
    sigaddset(&set, 40);
    sigaddset(&set, 60);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    union sigval value = {.sival_int = (int)index};
    check(pthread_sigqueue(pthread_self(), 34 + index % 20, value), "pthread_sigqueue");
    check(setpriority(PRIO_PROCESS, 0, index % 5), "setpriority");
    check(prctl(PR_SET_TIMERSLACK, 70000 + index), "timer slack");
  }
  pthread_barrier_wait(&all_ready);
  fill_vectors_and_wait(index + 1);
  return NULL;
}

static void set_everything(void) {
  check(chdir("/usr"), "chdir");
  umask(0137);
  check(prctl(PR_SET_NAME, "odd (name) 1"), "name");
  struct rlimit limit = {77, 777};
  check(setrlimit(RLIMIT_NOFILE, &limit), "rlimit");
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK};
  sigaddset(&action.sa_mask, SIGALRM);
  check(sigaction(SIGUSR1, &action, NULL), "sigaction");
  signal(SIGPIPE, SIG_IGN);
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
  check(sigaltstack(&stack, NULL), "sigaltstack");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, 40);
  sigaddset(&set, SIGALRM);
  sigaddset(&set, 60);
  sigprocmask(SIG_SETMASK, &set, NULL);
  for (int i = 0; i < 3; i++) {
    union sigval value = {.sival_int = 1000 + i};
    check(sigqueue(getpid(), 40, value), "sigqueue");
  }
  check(kill(getpid(), SIGUSR1), "kill");
  struct itimerval real = {{0, 0}, {3600, 0}};
  check(setitimer(ITIMER_REAL, &real, NULL), "setitimer");
  for (int i = 0; i < 4; i++) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 60, .sigev_value.sival_ptr = (void *)(0x1000L + i)};
    timer_t timer;
    check(timer_create(i % 2 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &event, &timer), "timer_create");
    struct itimerspec value = {{7, 5}, {1800 + i, 0}};
    if (i == 1) timer_delete(timer);
    else check(timer_settime(timer, 0, &value, NULL), "timer_settime");
  }
  check(prctl(PR_SET_CHILD_SUBREAPER, 1), "subreaper");
  check(prctl(PR_SET_TIMERSLACK, 123456), "timer slack");
  check(syscall(SYS_membarrier, 1 << 4, 0, 0), "membarrier");
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(0, &cpus);
  check(sched_setaffinity(0, sizeof cpus, &cpus), "affinity");
  struct sched_param priority = {0};
  check(sched_setscheduler(0, SCHED_BATCH, &priority), "scheduler");
  check(syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 6), "ioprio");
  FILE *file = fopen("/proc/self/oom_score_adj", "w");
  fputs("321", file);
  fclose(file);
  file = fopen("/proc/self/coredump_filter", "w");
  fputs("0x13", file);
  fclose(file);
  gid_t groups[] = {10, 20, 30000};
  check(setgroups(3, groups), "setgroups");
  check(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME), "bounding");
  check(prctl(PR_SET_SECUREBITS, 1 << 4), "securebits");  // SECBIT_KEEP_CAPS
  check(setresgid(111, 112, 113), "setresgid");
  check(setresuid(211, 212, 213), "setresuid");
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  uint32_t some = 1u << CAP_NET_RAW | 1u << CAP_CHOWN | 1u << CAP_SYS_NICE;
  struct __user_cap_data_struct data[2] = {{some, some | 1u << CAP_KILL, 1u << CAP_CHOWN | 1u << CAP_KILL}, {0, 0, 0}};
  check(syscall(SYS_capset, &header, data), "capset");
  check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), "ambient");
  check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
  check(prctl(PR_SET_PDEATHSIG, SIGTERM), "pdeathsig");
  check(prctl(PR_SET_DUMPABLE, 1), "dumpable");
}

int main(int count, char **arguments) {
  setvbuf(stdout, NULL, _IONBF, 0);
  blank = strcmp(arguments[1], "blank") == 0;
  thread_count = count > 2 ? atoi(arguments[2]) : 0;
  pthread_barrier_init(&all_ready, NULL, thread_count + 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  for (long i = 0; i < thread_count; i++) {
    pthread_t started;
    if (pthread_create(&started, &attributes, thread, (void *)i)) return 1;
  }
  pthread_barrier_wait(&all_ready);
  if (!blank) set_everything();
  fill_vectors_and_wait(0);
}
