/* Many threads, and what each thread has of its own: name, scheduling, CPUs, priority, ids and capabilities. */
#include "kind.h"

#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define MANY 1000
#define KINDS 6

static atomic_int tids[MANY];
static atomic_ulong turns[MANY];
static atomic_int turn_wanted;
static int base_nice;

static pid_t own_tid(void) { return (pid_t) syscall(SYS_gettid); }

static void become(int number) {
  char name[16];
  snprintf(name, sizeof name, "many-%d", number);
  MUST(prctl(PR_SET_NAME, name));
  struct sched_param priority = {.sched_priority = 1 + number % 9};
  cpu_set_t cpus;
  switch (number % KINDS) {
    case 1: MUST(setpriority(PRIO_PROCESS, (id_t) own_tid(), number % 19)); break;
    case 2: MUST(syscall(SYS_sched_setscheduler, own_tid(), number % 12 == 2 ? SCHED_FIFO : SCHED_RR, &priority)); break;
    case 3:
      CPU_ZERO(&cpus);
      CPU_SET(0, &cpus);
      MUST(sched_setaffinity(own_tid(), sizeof cpus, &cpus));
      break;
    case 4: MUST(syscall(SYS_setresuid, 5000 + number, 5000 + number, 0)); break;
    case 5: {
      struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
      struct __user_cap_data_struct data[2] = {{.effective = 1u << (number % 20), .permitted = 1u << (number % 20)}};
      MUST(syscall(SYS_capset, &header, data));
      break;
    }
    default: break;
  }
}

static void *live(void *argument) {
  int number = (int) (intptr_t) argument, done = 0;
  become(number);
  atomic_store(&tids[number], own_tid());
  for (;;) {
    int wanted = atomic_load(&turn_wanted);
    if (wanted != done) {
      done = wanted;
      if (own_tid() == atomic_load(&tids[number])) atomic_fetch_add(&turns[number], 1);
    }
    syscall(SYS_futex, &turn_wanted, FUTEX_WAIT_PRIVATE, done, NULL);
  }
  return NULL;
}

static void make_many(void) {
  base_nice = getpriority(PRIO_PROCESS, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  for (int i = 0; i < MANY; i++) {
    pthread_t thread;
    MUST(-pthread_create(&thread, &attributes, live, (void *) (intptr_t) i));
  }
  for (int i = 0; i < MANY; i++) {
    while (atomic_load(&tids[i]) == 0) usleep(1000);
  }
}

static int looks;

static void look_many(void) {
  looks++;
  atomic_fetch_add(&turn_wanted, 1);
  syscall(SYS_futex, &turn_wanted, FUTEX_WAKE_PRIVATE, MANY);
  uint64_t end = now_ns() + 2 * SECOND;
  for (int i = 0; i < MANY; i++) {
    while (atomic_load(&turns[i]) < (unsigned long) looks && now_ns() < end) usleep(1000);
    HOLDS(atomic_load(&turns[i]) == (unsigned long) looks, "thread %d has gone on %lu times", i, atomic_load(&turns[i]));
  }
}

static void damage_many(void) { atomic_fetch_sub(&turns[500], 1); }

static const char *status_line(int number, const char *field) {
  static char text[8192];
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", atomic_load(&tids[number]));
  int fd = (int) WORKS(open(path, O_RDONLY | O_CLOEXEC));
  ssize_t length = WORKS(read(fd, text, sizeof text - 1));
  close(fd);
  text[length > 0 ? length : 0] = 0;
  char *at = strstr(text, field);
  return at == NULL ? "" : at + strlen(field);
}

static int shift_names, shift_scheduling, shift_affinity, shift_ids, shift_capabilities;

static void look_names(void) {
  for (int i = 0; i < MANY; i++) {
    char name[24];
    snprintf(name, sizeof name, "many-%d\n", i + shift_names);
    HOLDS(strncmp(status_line(i, "Name:\t"), name, strlen(name)) == 0, "thread %d has another name", i);
  }
}

static void damage_names(void) { shift_names = 1; }

static void look_scheduling(void) {
  for (int i = 0; i < MANY; i++) {
    int tid = atomic_load(&tids[i]), kind = (i + shift_scheduling) % KINDS, policy = (int) syscall(SYS_sched_getscheduler, tid);
    HOLDS(policy == (kind != 2 ? SCHED_OTHER : i % 12 == 2 ? SCHED_FIFO : SCHED_RR), "thread %d has policy %d", i, policy);
    struct sched_param priority;
    WORKS(syscall(SYS_sched_getparam, tid, &priority));
    HOLDS(priority.sched_priority == (kind == 2 ? 1 + i % 9 : 0), "thread %d has priority %d", i, priority.sched_priority);
    int nice = getpriority(PRIO_PROCESS, (id_t) tid);
    HOLDS(nice == (kind == 1 ? i % 19 : base_nice), "thread %d has nice value %d", i, nice);
  }
}

static void damage_scheduling(void) { shift_scheduling = 1; }

static void look_affinity(void) {
  for (int i = 3; i < MANY; i += KINDS) {
    cpu_set_t cpus;
    WORKS(sched_getaffinity(atomic_load(&tids[i]), sizeof cpus, &cpus));
    HOLDS(CPU_COUNT(&cpus) == 1 && CPU_ISSET(shift_affinity, &cpus), "thread %d may run elsewhere", i);
  }
}

static void damage_affinity(void) { shift_affinity = 1; }

static void look_ids(void) {
  for (int i = 0; i < MANY; i++) {
    int real, effective, saved, wanted = i % KINDS == 4 ? 5000 + i + shift_ids : 0;
    HOLDS(sscanf(status_line(i, "\nUid:\t"), "%d %d %d", &real, &effective, &saved) == 3, "no ids");
    HOLDS(real == wanted && effective == wanted && saved == 0, "thread %d has ids %d %d %d", i, real, effective, saved);
  }
}

static void damage_ids(void) { shift_ids = 1; }

static void look_capabilities(void) {
  for (int i = 5; i < MANY; i += KINDS) {
    unsigned long set = strtoul(status_line(i, "\nCapEff:\t"), NULL, 16);
    HOLDS(set == 1ul << (i % 20) << shift_capabilities, "thread %d has capabilities %lx", i, set);
  }
}

static void damage_capabilities(void) { shift_capabilities = 1; }

KIND({"many", make_many, look_many, damage_many}, {"names", NULL, look_names, damage_names},
    {"scheduling", NULL, look_scheduling, damage_scheduling}, {"affinity", NULL, look_affinity, damage_affinity},
    {"ids", NULL, look_ids, damage_ids}, {"capabilities", NULL, look_capabilities, damage_capabilities});
