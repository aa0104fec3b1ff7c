/* What a thread has in the processor and in the kernel: registers, signals, rseq, robust list, names, scheduling. */
#ifndef EVERYTHING_CPU_H
#define EVERYTHING_CPU_H

#include "everything.h"
#include "everything_memory.h"

#include <asm/prctl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>

/* ---- registers that live across the move: loaded, held over sleeps and spins, compared ---- */

static char registers_fault[300];
static atomic_ulong register_rounds;
static atomic_bool registers_damaged;

/*
 * Loads the 16 vector registers and six general ones, then sleeps and spins in turn; the vector registers are not touched by either. Returns
 * the or of what the sleeps returned. Everything is in one piece of assembler so that the compiler has no say in it.
 */
__attribute__((target("avx"))) static long hold_registers(const uint8_t *in, uint8_t *out, const uint64_t *general_in, uint64_t *general_out,
    const struct timespec *sleep, long turns) {
  register const uint8_t *vector_in asm("r14") = in;
  long returned = 0;
  asm volatile(
#define LOAD(n) "vmovdqu " #n "*32(%%r14), %%ymm" #n "\n\t"
      LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7) LOAD(8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
      "movq 0(%[general]), %%r8\n\t"
      "movq 8(%[general]), %%r9\n\t"
      "movq 16(%[general]), %%r10\n\t"
      "movq 24(%[general]), %%r13\n\t"
      "1:\n\t"
      "movl $35, %%eax\n\t" /* nanosleep */
      "movq %[sleep], %%rdi\n\t"
      "xorl %%esi, %%esi\n\t"
      "syscall\n\t"
      "orq %%rax, %[returned]\n\t"
      "movl $200000, %%ecx\n\t"
      "2:\n\t"
      "decl %%ecx\n\t"
      "jnz 2b\n\t"
      "decq %[turns]\n\t"
      "jnz 1b\n\t"
#define STORE(n) "vmovdqu %%ymm" #n ", " #n "*32(%[out])\n\t"
      STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7) STORE(8) STORE(9) STORE(10) STORE(11) STORE(12) STORE(13) STORE(14) STORE(15)
      "movq %[general_out], %%rdi\n\t"
      "movq %%r8, 0(%%rdi)\n\t"
      "movq %%r9, 8(%%rdi)\n\t"
      "movq %%r10, 16(%%rdi)\n\t"
      "movq %%r13, 24(%%rdi)\n\t"
      "vzeroupper\n\t"
      : [returned] "+&b"(returned), [turns] "+&r"(turns)
      : "r"(vector_in), [out] "r"(out), [general] "r"(general_in), [general_out] "m"(general_out), [sleep] "m"(sleep)
      : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r13", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
      "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  return returned;
}

/* As above for the registers that only AVX-512 has: zmm16 to zmm31 and the masks. */
__attribute__((target("avx512f,avx512bw"))) static long hold_wide_registers(const uint8_t *in, uint8_t *out, const struct timespec *sleep, long turns) {
  long returned = 0;
  asm volatile(
#define LOAD_WIDE(n) "vmovdqu64 (" #n "-16)*64(%[in]), %%zmm" #n "\n\t"
      LOAD_WIDE(16) LOAD_WIDE(17) LOAD_WIDE(18) LOAD_WIDE(19) LOAD_WIDE(20) LOAD_WIDE(21) LOAD_WIDE(22) LOAD_WIDE(23) LOAD_WIDE(24) LOAD_WIDE(25)
      LOAD_WIDE(26) LOAD_WIDE(27) LOAD_WIDE(28) LOAD_WIDE(29) LOAD_WIDE(30) LOAD_WIDE(31)
      "kmovq 1024(%[in]), %%k1\n\t"
      "kmovq 1032(%[in]), %%k7\n\t"
      "1:\n\t"
      "movl $35, %%eax\n\t"
      "movq %[sleep], %%rdi\n\t"
      "xorl %%esi, %%esi\n\t"
      "syscall\n\t"
      "orq %%rax, %[returned]\n\t"
      "movl $200000, %%ecx\n\t"
      "2:\n\t"
      "decl %%ecx\n\t"
      "jnz 2b\n\t"
      "decq %[turns]\n\t"
      "jnz 1b\n\t"
#define STORE_WIDE(n) "vmovdqu64 %%zmm" #n ", (" #n "-16)*64(%[out])\n\t"
      STORE_WIDE(16) STORE_WIDE(17) STORE_WIDE(18) STORE_WIDE(19) STORE_WIDE(20) STORE_WIDE(21) STORE_WIDE(22) STORE_WIDE(23) STORE_WIDE(24)
      STORE_WIDE(25) STORE_WIDE(26) STORE_WIDE(27) STORE_WIDE(28) STORE_WIDE(29) STORE_WIDE(30) STORE_WIDE(31)
      "kmovq %%k1, 1024(%[out])\n\t"
      "kmovq %%k7, 1032(%[out])\n\t"
      "vzeroupper\n\t"
      : [returned] "+&r"(returned), [turns] "+&r"(turns)
      : [in] "r"(in), [out] "r"(out), [sleep] "m"(sleep)
      : "rax", "rcx", "rdx", "rsi", "rdi", "r11", "memory", "cc", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",
      "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k7");
  return returned;
}

static void register_fault(const char *what) {
  if (registers_fault[0] == 0) snprintf(registers_fault, sizeof registers_fault, "%s", what);
}

static __thread uint64_t gs_words[4];

static void *keep_registers(void *wide) {
  uint8_t in[1040] __attribute__((aligned(64))), out[1040];
  uint32_t control = 0x1f80 | 0x8000 | 0x0040 | 0x4000, control_back; /* flush to zero, denormals are zero, round up */
  uint16_t x87 = 0x0c7f, x87_back;                                     /* round to zero, 53 bits of precision */
  asm volatile("ldmxcsr %0" : : "m"(control));
  asm volatile("fldcw %0" : : "m"(x87));
  gs_words[1] = mix(77);
  MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, gs_words));
  struct timespec millisecond = timespec_of(MS);
  for (uint64_t round = 0;; round++) {
    fill(in, sizeof in, round * 1000);
    uint64_t general[4] = {mix(round), mix(round + 1), mix(round + 2), mix(round + 3)}, general_back[4] = {0};
    long returned;
    size_t bytes;
    if (wide != NULL) {
      returned = hold_wide_registers(in, out, &millisecond, 150);
      bytes = sizeof in;
    } else {
      returned = hold_registers(in, out, general, general_back, &millisecond, 150);
      bytes = 512;
      if (memcmp(general, general_back, sizeof general) != 0) register_fault("general registers have changed");
    }
    if (atomic_exchange(&registers_damaged, false)) out[bytes - 1] ^= 1;
    if (returned != 0) register_fault("a nanosleep did not return 0");
    if (memcmp(in, out, bytes) != 0) register_fault(wide != NULL ? "AVX-512 registers have changed" : "AVX registers have changed");
    asm volatile("stmxcsr %0" : "=m"(control_back));
    asm volatile("fnstcw %0" : "=m"(x87_back));
    if ((control_back & ~0x3fu) != (control & ~0x3fu)) register_fault("MXCSR has changed");
    if (x87_back != x87) register_fault("the x87 control word has changed");
    uint64_t through_gs, base = 0;
    asm volatile("movq %%gs:8, %0" : "=r"(through_gs));
    syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
    if (through_gs != mix(77) || base != (uint64_t) gs_words) register_fault("the base of gs has changed");
    atomic_fetch_add(&register_rounds, 1);
  }
  return NULL;
}

static void prepare_registers(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx")) {
    fprintf(stderr, "this processor has no AVX\n");
    exit(2);
  }
  start_thread(keep_registers, NULL, THREAD_STACK);
  if (__builtin_cpu_supports("avx512bw")) start_thread(keep_registers, (void *) 1, THREAD_STACK);
}

static void look_at_registers(void) {
  HOLDS(registers_fault[0] == 0, "%s", registers_fault);
  HOLDS(atomic_load(&register_rounds) > 0 || now_ns() - report_started_ns < 8 * SECOND, "no round has ended yet");
}

static void damage_registers(void) { atomic_store(&registers_damaged, true); }

/* ---- signals ---- */

static volatile sig_atomic_t handled, handled_value, handled_on_alternate_stack, handled_mask_ok;

static void on_signal(int signal, siginfo_t *info, void *context) {
  (void) signal;
  (void) context;
  char here;
  sigset_t mask;
  handled++;
  handled_value = info->si_value.sival_int;
  handled_on_alternate_stack = &here >= alternate_stack && &here < alternate_stack + ALTERNATE_STACK_BYTES;
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  handled_mask_ok = sigismember(&mask, SIGTTOU) == 1 && sigismember(&mask, SIGRTMIN + 3) == 1;
}

static void prepare_handlers(void) {
  alternate_stack = mmap(NULL, ALTERNATE_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t stack = {.ss_sp = alternate_stack, .ss_size = ALTERNATE_STACK_BYTES};
  MUST(sigaltstack(&stack, NULL));
  struct sigaction fault = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
  MUST(sigaction(SIGSEGV, &fault, NULL));
  MUST(sigaction(SIGBUS, &fault, NULL));
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  sigaddset(&action.sa_mask, SIGTTOU);
  MUST(sigaction(SIGRTMIN + 3, &action, NULL));
  signal(SIGUSR1, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

static void look_at_handlers(void) {
  struct sigaction found;
  stack_t stack;
  WORKS(sigaltstack(NULL, &stack));
  HOLDS(stack.ss_sp == alternate_stack && stack.ss_size == ALTERNATE_STACK_BYTES && stack.ss_flags == 0, "the alternate stack is %p, %zu bytes, flags %d",
      stack.ss_sp, stack.ss_size, stack.ss_flags);
  WORKS(sigaction(SIGRTMIN + 3, NULL, &found));
  HOLDS(found.sa_sigaction == on_signal && (found.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_RESTART)) == (SA_SIGINFO | SA_ONSTACK | SA_RESTART)
          && sigismember(&found.sa_mask, SIGTTOU) == 1 && sigismember(&found.sa_mask, SIGTTIN) == 0, "a handler, its flags or its mask have changed");
  WORKS(sigaction(SIGUSR1, NULL, &found));
  HOLDS(found.sa_handler == SIG_IGN, "an ignored signal is not ignored");
  WORKS(sigaction(SIGTERM, NULL, &found));
  HOLDS(found.sa_handler == SIG_DFL, "a signal that was left alone has a handler");
  int before = handled;
  siginfo_t info = {.si_code = SI_QUEUE, .si_value.sival_int = asked_number};
  WORKS(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGRTMIN + 3, &info));
  HOLDS(handled == before + 1 && handled_value == asked_number, "a handler ran %d times with value %d", handled - before, handled_value);
  HOLDS(handled_on_alternate_stack, "a handler did not run on the alternate stack");
  HOLDS(handled_mask_ok, "a handler did not run with its mask");
}

static void damage_handlers(void) { signal(SIGUSR1, SIG_DFL); }

#define MINE (SIGRTMIN + 5)

static void queue_signals(void) {
  union sigval value = {.sival_int = 1111};
  MUST(sigqueue(getpid(), MINE, value));
  value.sival_ptr = (void *) 0x123456789abcull;
  MUST(sigqueue(getpid(), MINE, value));
  MUST(kill(getpid(), SIGUSR2));
  /* Not in one initializer: the two are members of one union. */
  siginfo_t info = {.si_code = SI_QUEUE};
  info.si_pid = getpid();
  info.si_value.sival_int = 3333;
  MUST(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGWINCH, &info));
}

/* In every thread, since the ones sent to the process must stay pending. Called before other threads are started. */
static void prepare_pending(void) {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, MINE);
  sigaddset(&mask, SIGUSR2);
  sigaddset(&mask, SIGWINCH);
  MUST(pthread_sigmask(SIG_BLOCK, &mask, NULL) == 0 ? 0 : -1);
  signal(SIGUSR2, SIG_DFL);
  /* A default-ignored signal is dropped unless it has a handler; this one must wait. */
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
  MUST(sigaction(SIGWINCH, &action, NULL));
  queue_signals();
}

static void take_signal(int signal, int code, uint64_t value, pid_t sender) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  siginfo_t info;
  struct timespec none = {0};
  int got = sigtimedwait(&one, &info, &none);
  HOLDS(got == signal, "signal %d is not pending", signal);
  HOLDS(got != signal || (info.si_code == code && (code == SI_USER || (uint64_t) info.si_value.sival_ptr == value || (uint64_t) info.si_value.sival_int == value)
          && info.si_pid == sender), "pending signal %d has code %d, value %p, sender %d", signal, info.si_code, info.si_value.sival_ptr, info.si_pid);
}

static void look_at_pending(void) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  HOLDS(sigismember(&mask, MINE) == 1 && sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGWINCH) == 1 && sigismember(&mask, SIGTERM) == 0,
      "the mask of blocked signals has changed");
  take_signal(MINE, SI_QUEUE, 1111, getpid());
  take_signal(MINE, SI_QUEUE, 0x123456789abcull, getpid());
  take_signal(SIGUSR2, SI_USER, 0, getpid());
  take_signal(SIGWINCH, SI_QUEUE, 3333, getpid());
  sigset_t left;
  sigpending(&left);
  HOLDS(!sigismember(&left, MINE) && !sigismember(&left, SIGUSR2), "a signal is pending twice");
  queue_signals();
}

static void damage_pending(void) {
  union sigval value = {.sival_int = 9};
  sigqueue(getpid(), MINE, value);
}

/* ---- what the C library has registered with the kernel for a thread ---- */

struct robust_list_head;
static void *robust_before;
static pthread_t joinable;
static pthread_mutex_t let_it_end = PTHREAD_MUTEX_INITIALIZER;

static void *end_when_let(void *argument) {
  pthread_mutex_lock(&let_it_end);
  pthread_mutex_unlock(&let_it_end);
  return argument;
}

static volatile struct rseq *own_rseq(void) { return (volatile struct rseq *) ((char *) __builtin_thread_pointer() + __rseq_offset); }

static void prepare_thread(void) {
  size_t length;
  MUST(syscall(SYS_get_robust_list, 0, &robust_before, &length));
  pthread_mutex_lock(&let_it_end);
  joinable = start_thread(end_when_let, (void *) 0x7e57, THREAD_STACK);
}

static void look_at_thread(void) {
  void *robust = NULL;
  size_t length;
  WORKS(syscall(SYS_get_robust_list, 0, &robust, &length));
  HOLDS(robust == robust_before && length == 24, "the robust list is at %p instead of %p", robust, robust_before);
  /* The kernel keeps cpu_id current only while the area is registered, and refuses to register it twice. */
  HOLDS((int) own_rseq()->cpu_id >= 0 && own_rseq()->cpu_id < 4096, "rseq says processor %d", (int) own_rseq()->cpu_id);
  HOLDS(syscall(SYS_rseq, own_rseq(), 32, 0, RSEQ_SIG) == -1 && errno == EBUSY, "rseq is not registered where it was: %s", strerror(errno));
  /* Ends a thread and waits for its thread id to be cleared (clear_child_tid). */
  void *result = NULL;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 5;
  pthread_mutex_unlock(&let_it_end);
  int failed = pthread_timedjoin_np(joinable, &result, &until);
  HOLDS(failed == 0 && result == (void *) 0x7e57, "a thread cannot be joined: %s", strerror(failed));
  pthread_mutex_lock(&let_it_end);
  if (failed == 0) joinable = start_thread(end_when_let, (void *) 0x7e57, THREAD_STACK);
}

static void damage_thread(void) { syscall(SYS_set_robust_list, alternate_stack, 24); }

/* ---- a thread with a name, a nice value, processors, a policy and a mask of its own ---- */

static atomic_int special_id, special_asked, special_answered;
static char special_fault[200];

static void *special_thread(void *nothing) {
  (void) nothing;
  cpu_set_t processors, found;
  sigset_t mask, mask_found;
  CPU_ZERO(&processors);
  CPU_SET(0, &processors);
  prctl(PR_SET_NAME, "special one");
  prctl(PR_SET_TIMERSLACK, 123456);
  MUST(sched_setaffinity(0, sizeof processors, &processors));
  struct sched_param none = {0};
  MUST(sched_setscheduler(0, SCHED_BATCH, &none));
  MUST(setpriority(PRIO_PROCESS, 0, 7));
  sigemptyset(&mask);
  sigaddset(&mask, SIGQUIT);
  sigaddset(&mask, SIGRTMIN + 12);
  pthread_sigmask(SIG_BLOCK, &mask, NULL);
  special_id = (int) syscall(SYS_gettid);
  for (int last = 0;;) {
    struct timespec pause = timespec_of(5 * MS);
    nanosleep(&pause, NULL);
    int wanted = atomic_load(&special_asked);
    if (wanted == last) continue;
    last = wanted;
    char name[16] = "";
    special_fault[0] = 0;
    prctl(PR_GET_NAME, name);
    CPU_ZERO(&found);
    sched_getaffinity(0, sizeof found, &found);
    errno = 0;
    int nice = getpriority(PRIO_PROCESS, 0);
    pthread_sigmask(SIG_BLOCK, NULL, &mask_found);
    if (syscall(SYS_gettid) != special_id) snprintf(special_fault, 200, "its id is %ld instead of %d", syscall(SYS_gettid), special_id);
    else if (strcmp(name, "special one") != 0) snprintf(special_fault, 200, "its name is '%s'", name);
    else if (prctl(PR_GET_TIMERSLACK) != 123456) snprintf(special_fault, 200, "its timer slack is %d ns", prctl(PR_GET_TIMERSLACK));
    else if (!CPU_EQUAL(&processors, &found)) snprintf(special_fault, 200, "it may run on %d processors", CPU_COUNT(&found));
    else if (sched_getscheduler(0) != SCHED_BATCH) snprintf(special_fault, 200, "its policy is %d", sched_getscheduler(0));
    else if (nice != 7) snprintf(special_fault, 200, "its nice value is %d", nice);
    else if (sigismember(&mask_found, SIGQUIT) != 1 || sigismember(&mask_found, SIGRTMIN + 12) != 1 || sigismember(&mask_found, SIGHUP) != 0) {
      snprintf(special_fault, 200, "its signal mask has changed");
    }
    atomic_store(&special_answered, wanted);
  }
  return NULL;
}

static void prepare_special(void) {
  start_thread(special_thread, NULL, THREAD_STACK);
  while (atomic_load(&special_id) == 0) sched_yield();
}

static void look_at_special(void) {
  atomic_fetch_add(&special_asked, 1);
  uint64_t started = now_ns();
  while (atomic_load(&special_answered) != atomic_load(&special_asked) && now_ns() - started < 5 * SECOND) {
    struct timespec pause = timespec_of(MS);
    nanosleep(&pause, NULL);
  }
  HOLDS(atomic_load(&special_answered) == atomic_load(&special_asked), "a thread does not answer");
  HOLDS(special_fault[0] == 0, "%s", special_fault);
}

static void damage_special(void) { setpriority(PRIO_PROCESS, (id_t) special_id, 11); }

/* Handlers and the alternate stack come first, since looking at memory needs them; the mask comes before any thread. */
static void add_signal_items(adder *add) {
  add(MAIN, "signal-handlers", prepare_handlers, look_at_handlers, damage_handlers);
  add(MAIN, "signal-pending", prepare_pending, look_at_pending, damage_pending);
}

static void add_cpu_items(adder *add) {
  add(MAIN, "cpu-registers", prepare_registers, look_at_registers, damage_registers);
  add(MAIN, "thread-registrations", prepare_thread, look_at_thread, damage_thread);
  add(MAIN, "thread-attributes", prepare_special, look_at_special, damage_special);
}

#endif
