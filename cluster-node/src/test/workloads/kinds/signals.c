/* Signals that wait: queued real-time signals in order, of a thread and of the process, of every origin; stacks and handlers; a child's end. */
#include "kind.h"

#include <sys/prctl.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

#define QUEUED 40
#define RT (SIGRTMIN + 7)

static void block(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  MUST(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0 ? 0 : -1);
}

static bool take(int signal, siginfo_t *info) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  struct timespec none = {0, 0};
  /* The C library calls SI_TKILL SI_USER. */
  return syscall(SYS_rt_sigtimedwait, &set, info, &none, 8) == signal;
}

/* --- queued for the process ------------------------------------------------------------------------------------------------------------------ */

static void queue_all(void) {
  for (int i = 0; i < QUEUED; i++) {
    union sigval value = {.sival_ptr = (void *) (0x7000000000 + (intptr_t) i)};
    WORKS(sigqueue(getpid(), RT + i % 2, value));
  }
}

static void make_queued(void) {
  block(RT);
  block(RT + 1);
  queue_all();
}

static void look_queued(void) {
  for (int which = 0; which < 2; which++) {
    for (int i = which; i < QUEUED; i += 2) {
      siginfo_t info;
      bool there = take(RT + which, &info);
      HOLDS(there, "signal %d of %d is not there", i, QUEUED);
      if (there) {
        HOLDS(info.si_code == SI_QUEUE && info.si_pid == getpid() && info.si_value.sival_ptr == (void *) (0x7000000000 + (intptr_t) i),
            "in place of signal %d came one of %d with code %d and value %p", i, info.si_pid, info.si_code, info.si_value.sival_ptr);
      }
    }
    siginfo_t info;
    HOLDS(!take(RT + which, &info), "there are more than there were");
  }
  queue_all();
}

static void damage_queued(void) {
  siginfo_t info;
  take(RT, &info);
}

/* --- of every origin --------------------------------------------------------------------------------------------------------------------------- */

static const int CODES[] = {SI_USER, SI_QUEUE, SI_TIMER, SI_MESGQ, SI_ASYNCIO, SI_SIGIO, SI_TKILL, SI_KERNEL, -60};
#define CODE_COUNT ((int) (sizeof CODES / sizeof CODES[0]))

static void send_codes(void) {
  for (int i = 0; i < CODE_COUNT; i++) {
    siginfo_t info = {.si_signo = RT + 2, .si_code = CODES[i]};
    info.si_pid = 1000 + i;
    info.si_uid = 2000;
    info.si_value.sival_ptr = (void *) (0x5000000000 + (intptr_t) i);
    WORKS(syscall(SYS_rt_sigqueueinfo, getpid(), RT + 2, &info));
  }
}

static void make_codes(void) {
  block(RT + 2);
  send_codes();
}

static void look_codes(void) {
  for (int i = 0; i < CODE_COUNT; i++) {
    siginfo_t info;
    bool there = take(RT + 2, &info);
    HOLDS(there && info.si_code == CODES[i], "code %d is not there", CODES[i]);
    if (there && CODES[i] != SI_KERNEL && CODES[i] != SI_USER) {
      HOLDS(info.si_value.sival_ptr == (void *) (0x5000000000 + (intptr_t) i), "code %d comes with value %p", CODES[i], info.si_value.sival_ptr);
    }
  }
  send_codes();
}

static void damage_codes(void) {
  siginfo_t info;
  take(RT + 2, &info);
}

/* --- of threads -------------------------------------------------------------------------------------------------------------------------------- */

#define THREADS 4
static pid_t tids[THREADS];
static atomic_int orders[THREADS], done[THREADS], wrong[THREADS];

static void send_to(int thread, int value) {
  siginfo_t info = {.si_code = SI_QUEUE, .si_value.sival_int = value};
  WORKS(syscall(SYS_rt_tgsigqueueinfo, getpid(), tids[thread], RT + 3, &info));
}

static void *has_signals(void *which) {
  int me = (int) (intptr_t) which;
  tids[me] = (pid_t) syscall(SYS_gettid);
  atomic_store(&done[me], 1);
  for (int seen = 0;;) {
    usleep(500);
    if (atomic_load(&orders[me]) == seen) continue;
    seen = atomic_load(&orders[me]);
    siginfo_t info;
    int fault = 0;
    for (int i = 0; i < 3; i++) fault |= !take(RT + 3, &info) || info.si_value.sival_int != 100 * me + i;
    fault |= take(RT + 3, &info);
    atomic_store(&wrong[me], fault);
    for (int i = 0; i < 3; i++) send_to(me, 100 * me + i);
    atomic_fetch_add(&done[me], 1);
  }
  return NULL;
}

static void make_threads(void) {
  block(RT + 3);
  for (int i = 0; i < THREADS; i++) {
    start_thread(has_signals, (void *) (intptr_t) i, 64 * 1024);
    while (atomic_load(&done[i]) == 0) usleep(100);
    for (int n = 0; n < 3; n++) send_to(i, 100 * i + n);
  }
}

static void look_threads(void) {
  for (int i = 0; i < THREADS; i++) {
    int before = atomic_load(&done[i]);
    atomic_fetch_add(&orders[i], 1);
    for (int turn = 0; turn < 2000 && atomic_load(&done[i]) == before; turn++) usleep(1000);
    HOLDS(atomic_load(&done[i]) == before + 1 && atomic_load(&wrong[i]) == 0, "thread %d has not its own signals", i);
  }
}

static void damage_threads(void) { send_to(2, 1); }

/* --- a handler that runs on a stack of its own, all the time ------------------------------------------------------------------------------------- */

static char stack_memory[64 * 1024];
static atomic_int on_stack_order, on_stack_done, on_stack_fault;

static void stays(int signal, siginfo_t *info, void *context) {
  (void) signal, (void) info, (void) context;
  for (int seen = 0;;) {
    usleep(500);
    if (atomic_load(&on_stack_order) == seen) continue;
    seen = atomic_load(&on_stack_order);
    stack_t now;
    char here;
    /* Disarmed as long as the handler runs. */
    int fault = sigaltstack(NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0;
    fault |= &here < stack_memory || &here >= stack_memory + sizeof stack_memory;
    atomic_store(&on_stack_fault, fault);
    atomic_fetch_add(&on_stack_done, 1);
  }
}

static void *runs_on_stack(void *nothing) {
  stack_t stack = {.ss_sp = stack_memory, .ss_size = sizeof stack_memory, .ss_flags = (int) SS_AUTODISARM};
  MUST(sigaltstack(&stack, NULL));
  struct sigaction action = {.sa_sigaction = stays, .sa_flags = SA_ONSTACK | SA_SIGINFO | SA_NODEFER};
  MUST(sigaction(SIGRTMIN + 12, &action, NULL));
  MUST(pthread_kill(pthread_self(), SIGRTMIN + 12) == 0 ? 0 : -1);
  return nothing;
}

static void make_stack(void) { start_thread(runs_on_stack, NULL, 64 * 1024); }

static void look_stack(void) {
  int before = atomic_load(&on_stack_done);
  atomic_fetch_add(&on_stack_order, 1);
  for (int turn = 0; turn < 2000 && atomic_load(&on_stack_done) == before; turn++) usleep(1000);
  HOLDS(atomic_load(&on_stack_done) == before + 1 && atomic_load(&on_stack_fault) == 0, "the handler does not run on its stack");
  struct sigaction now;
  WORKS(sigaction(SIGRTMIN + 12, NULL, &now));
  HOLDS(now.sa_sigaction == stays && (now.sa_flags & (SA_ONSTACK | SA_SIGINFO | SA_NODEFER)) == (SA_ONSTACK | SA_SIGINFO | SA_NODEFER),
      "the handler's flags are 0x%x", now.sa_flags);
}

static void damage_stack(void) { signal(SIGRTMIN + 12, SIG_IGN); }

/* --- a child that has ended ---------------------------------------------------------------------------------------------------------------------- */

static pid_t ended;

static void let_end(void) {
  ended = (pid_t) WORKS(fork());
  if (ended == 0) _exit(23);
  siginfo_t info;
  WORKS(waitid(P_PID, (id_t) ended, &info, WEXITED | WNOWAIT));
}

/* First of all: other threads would take the signal. */
static void make_ended(void) {
  block(SIGCHLD);
  let_end();
}

static void look_ended(void) {
  siginfo_t info;
  bool there = take(SIGCHLD, &info);
  HOLDS(there, "no child has said that it ended");
  if (there) {
    HOLDS(info.si_code == CLD_EXITED && info.si_pid == ended && info.si_status == 23, "code %d, process %d, status %d", info.si_code, info.si_pid,
        info.si_status);
  }
  int status = 0;
  WORKS(waitpid(ended, &status, 0));
  HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 23, "it ended with 0x%x", status);
  let_end();
}

static void damage_ended(void) {
  siginfo_t info;
  take(SIGCHLD, &info);
}

KIND({"ended", make_ended, look_ended, damage_ended}, {"queued", make_queued, look_queued, damage_queued}, {"codes", make_codes, look_codes, damage_codes},
    {"threads", make_threads, look_threads, damage_threads}, {"stack", make_stack, look_stack, damage_stack});
