/* semget sets: values, who touched them last, what the end of a process takes back, waiting processes, owners, limits. */
#include "kind.h"

#include <sys/ipc.h>
#include <sys/sem.h>

static int value_of(int set, int number) { return (int) WORKS(semctl(set, number, GETVAL)); }

static void operate(int set, int number, int by, int flags) {
  struct sembuf operation = {(unsigned short) number, (short) by, (short) flags};
  WORKS(semop(set, &operation, 1));
}

/* --- values ------------------------------------------------------------------------------------------------------------------------------- */

static int values;

static void make_values(void) {
  for (int i = 0; i < 3; i++) MUST(semctl((int) MUST(semget(IPC_PRIVATE, 1, 0600)), 0, IPC_RMID));
  values = (int) MUST(semget(0x4771, 250, IPC_CREAT | IPC_EXCL | 0620));
  for (int i = 0; i < 250; i++) MUST(semctl(values, i, SETVAL, i == 249 ? 32767 : i % 7));
  struct semid_ds status;
  MUST(semctl(values, 0, IPC_STAT, &status));
  status.sem_perm.uid = 300;
  MUST(semctl(values, 0, IPC_SET, &status));
}

static void look_values(void) {
  HOLDS(semget(0x4771, 250, 0) == values, "the key leads elsewhere");
  struct semid_ds status = {0};
  WORKS(semctl(values, 0, IPC_STAT, &status));
  HOLDS(status.sem_nsems == 250 && status.sem_perm.uid == 300 && (status.sem_perm.mode & 0777) == 0620, "%lu semaphores, owner %u, mode 0%o",
      (unsigned long) status.sem_nsems, status.sem_perm.uid, status.sem_perm.mode);
  HOLDS(status.sem_otime == 0, "somebody has operated on it");
  for (int i = 0; i < 250; i++) HOLDS(value_of(values, i) == (i == 249 ? 32767 : i % 7), "semaphore %d is %d", i, value_of(values, i));
}

static void damage_values(void) { MUST(semctl(values, 100, SETVAL, 9)); }

/* --- who operated last -------------------------------------------------------------------------------------------------------------------- */

static int touched;
static struct child toucher;

static void child_touches(void) { operate(touched, 1, 3, 0); }

static void nothing(void) {}

static void make_touched(void) {
  touched = (int) MUST(semget(IPC_PRIVATE, 3, 0600));
  toucher = child_begin(child_touches, nothing, child_touches);
  operate(touched, 0, 2, 0);
}

static void look_touched(void) {
  struct semid_ds status = {0};
  WORKS(semctl(touched, 0, IPC_STAT, &status));
  HOLDS(status.sem_otime != 0, "it looks as if nobody had initialised it");
  int pids[] = {getpid(), toucher.pid, 0};
  for (int i = 0; i < 3; i++) HOLDS(semctl(touched, i, GETPID) == pids[i], "semaphore %d was touched by %d, not %d", i, semctl(touched, i, GETPID), pids[i]);
  HOLDS(value_of(touched, 0) == 2 && value_of(touched, 1) == 3 && value_of(touched, 2) == 0, "the values are others");
}

static void damage_touched(void) { operate(touched, 1, 0 + 1, 0), operate(touched, 1, -1, 0); }

/* --- what the end takes back --------------------------------------------------------------------------------------------------------------- */

static int undone;
static struct child debtors[4];
static const int DEBTS[] = {-5, 7, 32767, -32767};

static void child_borrows(int which) { operate(undone, which, DEBTS[which], SEM_UNDO); }

static void borrow_0(void) { child_borrows(0); }
static void borrow_1(void) { child_borrows(1); }
static void borrow_2(void) { child_borrows(2); }

/* In several steps, with threads, and back to a value of 0. */
static void *sleeps(void *forever) {
  for (;;) pause();
  return forever;
}

static void borrow_3(void) {
  start_thread(sleeps, NULL, 64 * 1024);
  operate(undone, 3, -30000, SEM_UNDO);
  operate(undone, 3, -2767, SEM_UNDO);
}

static void begin_debts(void) {
  void (*borrow[])(void) = {borrow_0, borrow_1, borrow_2, borrow_3};
  MUST(semctl(undone, 0, SETVAL, 10));
  MUST(semctl(undone, 1, SETVAL, 10));
  MUST(semctl(undone, 2, SETVAL, 0));
  MUST(semctl(undone, 3, SETVAL, 32767));
  for (int i = 0; i < 4; i++) debtors[i] = child_begin(borrow[i], nothing, nothing);
}

static void make_undone(void) {
  undone = (int) MUST(semget(IPC_PRIVATE, 4, 0600));
  begin_debts();
}

static void end_child(struct child *child) {
  WORKS(kill(child->pid, SIGKILL));
  close(child->order[1]);
  int status;
  WORKS(waitpid(child->pid, &status, 0));
  close(child->answer[0]);
}

static void look_undone(void) {
  int with[] = {5, 17, 32767, 0}, without[] = {10, 10, 0, 32767};
  for (int i = 0; i < 4; i++) {
    HOLDS(value_of(undone, i) == with[i], "semaphore %d is %d while somebody has %d of it", i, value_of(undone, i), -DEBTS[i]);
    HOLDS(semctl(undone, i, GETPID) == debtors[i].pid, "semaphore %d was touched by %d", i, semctl(undone, i, GETPID));
  }
  for (int i = 0; i < 4; i++) {
    end_child(&debtors[i]);
    HOLDS(value_of(undone, i) == without[i], "semaphore %d is %d after the end of who had %d of it", i, value_of(undone, i), -DEBTS[i]);
  }
  begin_debts();
}

/* Setting a value forgets all debts. */
static void damage_undone(void) { MUST(semctl(undone, 1, SETVAL, 17)); }

/* --- one who waits ------------------------------------------------------------------------------------------------------------------------- */

static int awaited;
static struct child waiter;

static void *wait_on(void *forever) {
  for (;;) {
    struct sembuf pass = {0, -1, 0};
    struct timespec limit = {1000, 0};
    bool timed = (value_of(awaited, 1) & 1) != 0;
    if ((timed ? semtimedop(awaited, &pass, 1, &limit) : semop(awaited, &pass, 1)) == -1) {
      error_found("waiting for a semaphore ended: %s", strerror(errno));
      return forever;
    }
    operate(awaited, 1, 1, 0);
  }
}

static void child_waits(void) { start_thread(wait_on, NULL, 64 * 1024); }

static void make_awaited(void) {
  awaited = (int) MUST(semget(IPC_PRIVATE, 2, 0600));
  waiter = child_begin(child_waits, nothing, nothing);
}

static void look_awaited(void) {
  for (int i = 0; i < 1000 && semctl(awaited, 0, GETNCNT) != 1; i++) usleep(1000);
  HOLDS(semctl(awaited, 0, GETNCNT) == 1, "nobody waits");
  int before = value_of(awaited, 1);
  operate(awaited, 0, 1, 0);
  for (int i = 0; i < 1000 && value_of(awaited, 1) == before; i++) usleep(1000);
  HOLDS(value_of(awaited, 1) == before + 1, "who waited did not go on");
}

static void damage_awaited(void) { MUST(kill(waiter.pid, SIGSTOP)); }

/* --- what the namespace allows -------------------------------------------------------------------------------------------------------------- */

static void write_limit(const char *name, const char *value) {
  char path[100];
  snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
  int file = (int) MUST(open(path, O_WRONLY));
  MUST(write(file, value, strlen(value)));
  close(file);
}

static void make_limits(void) {
  write_limit("sem", "500 40000 300 200");
  write_limit("msgmax", "9000");
  write_limit("msgmnb", "20000");
  write_limit("shmmax", "1000000000");
}

static void look_limits(void) {
  struct seminfo limits = {0};
  WORKS(semctl(0, 0, IPC_INFO, &limits));
  HOLDS(limits.semmsl == 500 && limits.semmns == 40000 && limits.semopm == 300 && limits.semmni == 200, "%d %d %d %d", limits.semmsl,
      limits.semmns, limits.semopm, limits.semmni);
  char text[32] = "";
  int file = (int) WORKS(open("/proc/sys/kernel/msgmnb", O_RDONLY));
  WORKS(read(file, text, sizeof text - 1));
  close(file);
  HOLDS(atoi(text) == 20000, "msgmnb is %s", text);
}

static void damage_limits(void) { write_limit("sem", "500 40000 301 200"); }

KIND({"limits", make_limits, look_limits, damage_limits}, {"values", make_values, look_values, damage_values},
    {"touched", make_touched, look_touched, damage_touched}, {"undone", make_undone, look_undone, damage_undone},
    {"awaited", make_awaited, look_awaited, damage_awaited});
