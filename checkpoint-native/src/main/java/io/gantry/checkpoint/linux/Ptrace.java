package io.gantry.checkpoint.linux;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * {@code ptrace(2)}. Every request for a tracee must come from the platform thread that seized it; others get {@code ESRCH}.
 * Requests other than {@link #seize} and {@link #interrupt} need a stopped tracee.
 *
 * <p>Constants: {@code linux/ptrace.h}, {@code linux/elf.h}.
 */
public final class Ptrace {
  /** Option: kill the tracee when its tracer ends. */
  public static final int OPTION_EXITKILL = 1 << 20;
  /** Option: seccomp filters do not act while this tracer is attached; needs {@code CAP_SYS_ADMIN}. */
  public static final int OPTION_SUSPEND_SECCOMP = 1 << 21;
  /** Event in bits 16 and up of a wait status: stopped by {@link #interrupt}, by a group stop, or a new tracee's first stop. */
  public static final int EVENT_STOP = 128;
  public static final int EVENT_EXEC = 4;
  /** Options: stop with {@code SIGTRAP | 0x80} at system calls, and trace new children and threads from their first moment on. */
  public static final int OPTIONS_FOLLOW = 1 | 1 << 1 | 1 << 2 | 1 << 3;
  /** What {@link #OPTIONS_FOLLOW} makes the signal of a stop at a system call. */
  public static final int SYSTEM_CALL_STOP = 0x80 | 5;
  public static final int OPTION_TRACEEXEC = 1 << EVENT_EXEC;

  /** Longs of {@code struct user_regs_struct} ({@code sys/user.h}). */
  public static final int REGISTERS = 27;

  /** Bytes of a {@code siginfo_t}. */
  public static final int SIGINFO_BYTES = 128;

  private static final int POKEDATA = 5;
  private static final int PEEKDATA = 2;
  private static final int CONT = 7;
  private static final int DETACH = 17;
  private static final int SYSCALL = 24;
  private static final int SETOPTIONS = 0x4200;
  private static final int GETEVENTMSG = 0x4201;
  private static final int GETSIGINFO = 0x4202;
  private static final int GETREGSET = 0x4204;
  private static final int SETREGSET = 0x4205;
  private static final int SEIZE = 0x4206;
  private static final int INTERRUPT = 0x4207;
  private static final int LISTEN = 0x4208;
  private static final int PEEKSIGINFO = 0x4209;
  private static final int GETSIGMASK = 0x420a;
  private static final int SETSIGMASK = 0x420b;
  private static final int SECCOMP_GET_FILTER = 0x420c;
  private static final int SECCOMP_GET_METADATA = 0x420d;
  private static final int GET_SYSCALL_INFO = 0x420e;
  /** Bytes of {@code struct ptrace_syscall_info} that are asked for, and {@code PTRACE_SYSCALL_INFO_ENTRY}. */
  private static final int SYSCALL_INFO_BYTES = 80;

  private static final int SYSCALL_INFO_ENTRY = 1;
  private static final int GET_RSEQ_CONFIGURATION = 0x420f;
  /** {@code BPF_MAXINSNS} of {@code linux/bpf_common.h}, and bytes of a {@code struct sock_filter}. */
  private static final int FILTER_BYTES_MAX = 4096 * 8;
  private static final int PEEKSIGINFO_SHARED = 1;
  private static final int NT_PRSTATUS = 1;
  private static final int NT_X86_XSTATE = 0x202;
  private static final int SIGSET_BYTES = 8;
  private static final int PEEK_AT_ONCE = 64;

  static final StructLayout IOVEC =
      MemoryLayout.structLayout(ValueLayout.JAVA_LONG.withName("iov_base"), ValueLayout.JAVA_LONG.withName("iov_len"))
          .withName("iovec");
  static final StructLayout PEEKSIGINFO_ARGS =
      MemoryLayout.structLayout(
              ValueLayout.JAVA_LONG.withName("off"),
              ValueLayout.JAVA_INT.withName("flags"),
              ValueLayout.JAVA_INT.withName("nr"))
          .withName("ptrace_peeksiginfo_args");
  static final StructLayout RSEQ_CONFIGURATION =
      MemoryLayout.structLayout(
              ValueLayout.JAVA_LONG.withName("rseq_abi_pointer"),
              ValueLayout.JAVA_INT.withName("rseq_abi_size"),
              ValueLayout.JAVA_INT.withName("signature"),
              ValueLayout.JAVA_INT.withName("flags"),
              ValueLayout.JAVA_INT.withName("pad"))
          .withName("ptrace_rseq_configuration");

  /** Where a register set lies in the thread's scratch memory, behind the iovec; 64-byte aligned. */
  private static final int REGSET_AT = 64;

  private Ptrace() {}

  /**
   * What a thread has registered with {@code rseq(2)}.
   *
   * @param address of its {@code struct rseq}, 0 when none is registered
   * @param size in bytes
   */
  public record RseqConfiguration(long address, int size, int signature, int flags) {}

  /** Attaches without stopping. Options are those of {@code PTRACE_O_*}. */
  public static void seize(int tid, int options) {
    Libc.check(trySeize(tid, options), () -> "ptrace(SEIZE, " + tid + ")");
  }

  /** As {@link #seize}, but returns minus the error number: {@code ESRCH} gone or a zombie, {@code EPERM} traced already or forbidden. */
  public static int trySeize(int tid, int options) {
    return (int) ptrace(SEIZE, tid, 0, options);
  }

  /** Asks a seized, running tracee to stop. Returns 0 or minus the error number ({@code ESRCH}: it is gone). */
  public static int interrupt(int tid) {
    return (int) ptrace(INTERRUPT, tid, 0, 0);
  }

  /** Lets a stopped tracee run, with a signal or 0. */
  public static void cont(int tid, int signal) {
    Libc.check(ptrace(CONT, tid, 0, signal), () -> "ptrace(CONT, " + tid + ", " + signal + ")");
  }

  /** Lets a stopped tracee run to the next entry into or exit from a system call, where it stops with {@code SIGTRAP}. */
  public static void continueToSystemCall(int tid) {
    Libc.check(ptrace(SYSCALL, tid, 0, 0), () -> "ptrace(SYSCALL, " + tid + ")");
  }

  /** As {@link #continueToSystemCall(int)}, with a signal or 0. Returns 0 or minus the error number ({@code ESRCH}: killed meanwhile). */
  public static int continueToSystemCall(int tid, int signal) {
    return (int) ptrace(SYSCALL, tid, 0, signal);
  }

  /** As {@link #cont}, but returns 0 or minus the error number ({@code ESRCH}: killed meanwhile). */
  public static int tryCont(int tid, int signal) {
    return (int) ptrace(CONT, tid, 0, signal);
  }

  /**
   * The system call that a tracee is about to enter.
   *
   * @return number and six arguments; empty when it is not stopped at an entry, or gone
   */
  public static Optional<long[]> systemCallEntered(int tid) {
    var scratch = Scratch.get();
    long length = ptrace(GET_SYSCALL_INFO, tid, SYSCALL_INFO_BYTES, scratch.address());
    if (length <= 0 || scratch.get(ValueLayout.JAVA_BYTE, 0) != SYSCALL_INFO_ENTRY) {
      return Optional.empty();
    }
    // u8 op, padding, u32 arch, u64 instruction_pointer, u64 stack_pointer, u64 nr, u64 args[6]
    return Optional.of(scratch.asSlice(24, 7 * 8L).toArray(ValueLayout.JAVA_LONG));
  }

  /** Lets go of a stopped tracee. Returns 0 or minus the error number ({@code ESRCH}: killed meanwhile). */
  public static int detach(int tid, int signal) {
    return (int) ptrace(DETACH, tid, 0, signal);
  }

  /** Leaves a tracee in its group stop but lets it notice {@code SIGCONT}. Only in a stop with {@link #EVENT_STOP} and a stop signal. */
  public static void listen(int tid) {
    Libc.check(ptrace(LISTEN, tid, 0, 0), () -> "ptrace(LISTEN, " + tid + ")");
  }

  public static void setOptions(int tid, int options) {
    Libc.check(ptrace(SETOPTIONS, tid, 0, options), () -> "ptrace(SETOPTIONS, " + tid + ")");
  }

  /** The value that belongs to the event the tracee is stopped for. */
  public static long eventMessage(int tid) {
    var scratch = Scratch.get();
    Libc.check(ptrace(GETEVENTMSG, tid, 0, scratch.address()), () -> "ptrace(GETEVENTMSG, " + tid + ")");
    return scratch.get(ValueLayout.JAVA_LONG, 0);
  }

  /** The general registers, {@link #REGISTERS} longs in the order of {@code struct user_regs_struct}. */
  public static long[] registers(int tid) {
    var scratch = getRegset(tid, NT_PRSTATUS, REGISTERS * 8);
    return scratch.asSlice(REGSET_AT, REGISTERS * 8L).toArray(ValueLayout.JAVA_LONG);
  }

  public static void setRegisters(int tid, long[] registers) {
    if (registers.length != REGISTERS) {
      throw new IllegalArgumentException("user_regs_struct has " + REGISTERS + " longs, not " + registers.length);
    }
    var scratch = Scratch.get();
    MemorySegment.copy(registers, 0, scratch, ValueLayout.JAVA_LONG, REGSET_AT, REGISTERS);
    setRegset(tid, NT_PRSTATUS, scratch, REGISTERS * 8);
  }

  /** The whole XSAVE area in its standard (not compacted) form, as long as this CPU and kernel make it. */
  public static byte[] xsave(int tid) {
    var scratch = getRegset(tid, NT_X86_XSTATE, Scratch.BYTES - REGSET_AT);
    long length = scratch.get(ValueLayout.JAVA_LONG, 8);
    return scratch.asSlice(REGSET_AT, length).toArray(ValueLayout.JAVA_BYTE);
  }

  public static void setXsave(int tid, byte[] area) {
    var scratch = Scratch.get();
    MemorySegment.copy(area, 0, scratch, ValueLayout.JAVA_BYTE, REGSET_AT, area.length);
    setRegset(tid, NT_X86_XSTATE, scratch, area.length);
  }

  private static MemorySegment getRegset(int tid, int type, int bytes) {
    var scratch = Scratch.get();
    scratch.set(ValueLayout.JAVA_LONG, 0, scratch.address() + REGSET_AT);
    scratch.set(ValueLayout.JAVA_LONG, 8, bytes);
    Libc.check(
        ptrace(GETREGSET, tid, type, scratch.address()), () -> "ptrace(GETREGSET, " + tid + ", 0x" + Integer.toHexString(type) + ")");
    return scratch;
  }

  private static void setRegset(int tid, int type, MemorySegment scratch, int bytes) {
    scratch.set(ValueLayout.JAVA_LONG, 0, scratch.address() + REGSET_AT);
    scratch.set(ValueLayout.JAVA_LONG, 8, bytes);
    Libc.check(
        ptrace(SETREGSET, tid, type, scratch.address()), () -> "ptrace(SETREGSET, " + tid + ", 0x" + Integer.toHexString(type) + ")");
  }

  /** Blocked signals, bit n−1 for signal n. Inside {@code sigsuspend}, {@code ppoll} and the like: those that will be blocked afterwards. */
  public static long signalMask(int tid) {
    var scratch = Scratch.get();
    Libc.check(ptrace(GETSIGMASK, tid, SIGSET_BYTES, scratch.address()), () -> "ptrace(GETSIGMASK, " + tid + ")");
    return scratch.get(ValueLayout.JAVA_LONG, 0);
  }

  public static void setSignalMask(int tid, long mask) {
    var scratch = Scratch.get();
    scratch.set(ValueLayout.JAVA_LONG, 0, mask);
    Libc.check(ptrace(SETSIGMASK, tid, SIGSET_BYTES, scratch.address()), () -> "ptrace(SETSIGMASK, " + tid + ")");
  }

  /** {@code siginfo_t} of the signal the tracee is stopped for, {@link #SIGINFO_BYTES} long. */
  public static byte[] signalInfo(int tid) {
    var scratch = Scratch.get();
    Libc.check(ptrace(GETSIGINFO, tid, 0, scratch.address()), () -> "ptrace(GETSIGINFO, " + tid + ")");
    return scratch.asSlice(0, SIGINFO_BYTES).toArray(ValueLayout.JAVA_BYTE);
  }

  /**
   * Pending signals in the order of the queue, without taking them out.
   *
   * @param shared those of the whole process instead of the thread's own
   */
  public static List<byte[]> pendingSignals(int tid, boolean shared) {
    var found = new ArrayList<byte[]>();
    var scratch = Scratch.get();
    while (true) {
      scratch.set(ValueLayout.JAVA_LONG, 0, found.size());
      scratch.set(ValueLayout.JAVA_INT, 8, shared ? PEEKSIGINFO_SHARED : 0);
      scratch.set(ValueLayout.JAVA_INT, 12, PEEK_AT_ONCE);
      long count =
          Libc.check(
              ptrace(PEEKSIGINFO, tid, scratch.address(), scratch.address() + REGSET_AT), () -> "ptrace(PEEKSIGINFO, " + tid + ")");
      for (int i = 0; i < count; i++) {
        found.add(scratch.asSlice(REGSET_AT + (long) i * SIGINFO_BYTES, SIGINFO_BYTES).toArray(ValueLayout.JAVA_BYTE));
      }
      if (count < PEEK_AT_ONCE) {
        return found;
      }
    }
  }

  public static RseqConfiguration rseqConfiguration(int tid) {
    var scratch = Scratch.get();
    Libc.check(
        ptrace(GET_RSEQ_CONFIGURATION, tid, RSEQ_CONFIGURATION.byteSize(), scratch.address()),
        () -> "ptrace(GET_RSEQ_CONFIGURATION, " + tid + ")");
    return new RseqConfiguration(
        scratch.get(ValueLayout.JAVA_LONG, 0),
        scratch.get(ValueLayout.JAVA_INT, 8),
        scratch.get(ValueLayout.JAVA_INT, 12),
        scratch.get(ValueLayout.JAVA_INT, 16));
  }

  /**
   * A classic BPF program of a thread's chain of seccomp filters, as it was given to {@code seccomp(2)}.
   *
   * @param index 0 for the one that was installed first
   * @return {@code struct sock_filter}s, empty when the chain is not so long, or there is none
   */
  public static Optional<byte[]> seccompFilter(int tid, int index) {
    var scratch = Scratch.get();
    long instructions = ptrace(SECCOMP_GET_FILTER, tid, index, scratch.address());
    if (instructions == -Errno.ENOENT || instructions == -Errno.EINVAL) {
      return Optional.empty();
    }
    Libc.check(instructions, () -> "ptrace(SECCOMP_GET_FILTER, " + tid + ", " + index + ")");
    return Optional.of(scratch.asSlice(0, Math.min(FILTER_BYTES_MAX, instructions * 8)).toArray(ValueLayout.JAVA_BYTE));
  }

  /** The flags with which that filter was installed, as far as the kernel remembers them: {@code SECCOMP_FILTER_FLAG_LOG}. */
  public static int seccompFlags(int tid, int index) {
    var scratch = Scratch.get();
    // struct seccomp_metadata: u64 filter_off, u64 flags
    scratch.set(ValueLayout.JAVA_LONG, 0, index);
    scratch.set(ValueLayout.JAVA_LONG, 8, 0);
    Libc.check(ptrace(SECCOMP_GET_METADATA, tid, 16, scratch.address()), () -> "ptrace(SECCOMP_GET_METADATA, " + tid + ", " + index + ")");
    return (int) scratch.get(ValueLayout.JAVA_LONG, 8);
  }

  /** Writes eight bytes whatever the mapping's protection is. */
  public static void poke(int tid, long address, long value) {
    Libc.check(ptrace(POKEDATA, tid, address, value), () -> "ptrace(POKEDATA, " + tid + ", 0x" + Long.toHexString(address) + ")");
  }

  /** Reads eight bytes. */
  public static long peek(int tid, long address) {
    var scratch = Scratch.get();
    Libc.check(
        ptrace(PEEKDATA, tid, address, scratch.address()), () -> "ptrace(PEEKDATA, " + tid + ", 0x" + Long.toHexString(address) + ")");
    return scratch.get(ValueLayout.JAVA_LONG, 0);
  }

  private static long ptrace(int request, int tid, long address, long data) {
    return Libc.syscall(SyscallNumber.PTRACE, request, tid, address, data, 0, 0);
  }
}
