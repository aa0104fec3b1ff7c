/* Processes whose main thread has ended before others: what is left of them, and with what status they end when the others do. */
#include "kind.h"

#include <sys/prctl.h>

static int orders[2], answers[2];
static pid_t process;

static char main_state(void) {
  char path[64], text[512] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || read(file, text, sizeof text - 1) < 1) return '?';
  close(file);
  char *end = strrchr(text, ')');
  return end == NULL ? '?' : end[2];
}

static long thread_count(void) {
  char line[200];
  long count = -1;
  FILE *status = fopen("/proc/self/status", "re");
  while (status != NULL && fgets(line, sizeof line, status) != NULL) sscanf(line, "Threads: %ld", &count);
  if (status != NULL) fclose(status);
  return count;
}

/* --- one that is looked at from inside ------------------------------------------------------------------------------------------------------ */

static char *memory;
static pid_t first_tid, second_tid;
static volatile int handled;

static void count_signal(int signal) { handled += signal == SIGUSR1; }

static void look_inside(void) {
  char name[20] = "", expected[20] = "the-first";
  HOLDS(main_state() == 'Z', "the main thread's state is %c", main_state());
  HOLDS(getpid() == process && syscall(SYS_gettid) == first_tid, "it is process %d, thread %ld", getpid(), syscall(SYS_gettid));
  HOLDS(thread_count() == 3, "it has %ld threads", thread_count());
  HOLDS(prctl(PR_GET_NAME, name) == 0 && strcmp(name, expected) == 0, "the thread's name is %s", name);
  HOLDS(syscall(SYS_tgkill, process, second_tid, 0) == 0, "the second thread is gone");
  HOLDS(holds(memory, 100000, 5), "its memory differs");
  int before = handled;
  WORKS(kill(process, SIGUSR1));
  for (int i = 0; i < 2000 && handled == before; i++) usleep(1000);
  HOLDS(handled == before + 1, "no thread takes a signal");
}

static void *serve(void *nothing) {
  (void) nothing;
  first_tid = (pid_t) syscall(SYS_gettid);
  prctl(PR_SET_NAME, "the-first");
  for (int i = 0; i < 5000 && main_state() != 'Z'; i++) usleep(1000);
  for (;;) {
    char order;
    if (write(answers[1], item_fault, sizeof item_fault) != sizeof item_fault) _exit(4);
    if (read(orders[0], &order, 1) != 1) _exit(0);
    item_fault[0] = 0;
    if (order == 'l') look_inside();
    if (order == 'd') memory[77]++;
  }
  return NULL;
}

static void *wait_on(void *nothing) {
  second_tid = (pid_t) syscall(SYS_gettid);
  for (;;) pause();
  return nothing;
}

static void await_answer(void) {
  char fault[FAULT_ROOM] = "";
  HOLDS(read(answers[0], fault, sizeof fault) == sizeof fault, "the process does not answer: %s", strerror(errno));
  HOLDS(fault[0] == 0, "inside: %s", fault);
}

static void make_served(void) {
  MUST(pipe2(orders, O_CLOEXEC));
  MUST(pipe2(answers, O_CLOEXEC));
  process = (pid_t) MUST(fork());
  if (process == 0) {
    close(orders[1]);
    close(answers[0]);
    process = getpid();
    signal(SIGUSR1, count_signal);
    memory = malloc(100000);
    fill(memory, 100000, 5);
    item_fault[0] = 0;
    pthread_t first, second;
    MUST(pthread_create(&second, NULL, wait_on, NULL) == 0 ? 0 : -1);
    while (second_tid == 0) usleep(1000);
    MUST(pthread_create(&first, NULL, serve, NULL) == 0 ? 0 : -1);
    pthread_exit(NULL);
  }
  close(orders[0]);
  close(answers[1]);
  await_answer();
}

static void look_served(void) {
  int status;
  HOLDS(WORKS(waitpid(process, &status, WNOHANG)) == 0, "it has ended with status 0x%x", status);
  WORKS(write(orders[1], "l", 1));
  await_answer();
}

static void damage_served(void) {
  WORKS(write(orders[1], "d", 1));
  await_answer();
}

/* --- one that ends after its main thread, with the status of the last ------------------------------------------------------------------------- */

enum { MAIN_STATUS = 7, LAST_STATUS = 3 };

static pid_t ending;
static int go[2];

static void *end_with_others(void *nothing) {
  char order;
  if (read(go[0], &order, 1) != 1) _exit(4);
  /* Of this thread alone. */
  syscall(SYS_exit, LAST_STATUS);
  return nothing;
}

/* What the kernel shows as the main thread's state, and how that has ended. */
static char ending_main(unsigned *exit_code) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", ending);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
  if (file >= 0) close(file);
  text[length > 0 ? length : 0] = 0;
  char *end = strrchr(text, ')'), *last = strrchr(text, ' ');
  if (end == NULL || last == NULL) return '?';
  *exit_code = (unsigned) atoi(last + 1);
  return end[2];
}

static void make_ending(void) {
  signal(SIGPIPE, SIG_IGN);
  MUST(pipe2(go, O_CLOEXEC));
  ending = (pid_t) MUST(fork());
  if (ending == 0) {
    close(go[1]);
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, end_with_others, NULL) == 0 ? 0 : -1);
    syscall(SYS_exit, MAIN_STATUS);
  }
  close(go[0]);
  unsigned code;
  for (int i = 0; i < 5000 && ending_main(&code) != 'Z'; i++) usleep(1000);
}

static void look_ending(void) {
  int status = 0;
  unsigned code = 0;
  char state = ending_main(&code);
  HOLDS(state == 'Z' && code == MAIN_STATUS << 8, "its main thread is %c and has ended with 0x%x", state, code);
  if (write(go[1], "x", 1) != 1) HOLDS(false, "nobody is left in it");
  close(go[1]);
  WORKS(waitpid(ending, &status, 0));
  HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == LAST_STATUS, "it has ended with status 0x%x", status);
  make_ending();
}

static void damage_ending(void) { WORKS(kill(ending, SIGKILL)); }

KIND({"served", make_served, look_served, damage_served}, {"ending", make_ending, look_ending, damage_ending});
