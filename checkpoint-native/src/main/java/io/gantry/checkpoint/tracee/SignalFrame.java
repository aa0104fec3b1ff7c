package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.SyscallNumber;
import java.nio.ByteBuffer;
import java.util.Set;

/**
 * A {@code struct rt_sigframe} as the kernel itself would have pushed it ({@code arch/x86/include/asm/sigframe.h},
 * {@code asm/sigcontext.h}): going through it with {@code rt_sigreturn} brings a thread back to its own context.
 */
final class SignalFrame {
  /** Offsets from the start of the frame. */
  private static final int UC_FLAGS = 8;

  private static final int UC_STACK_FLAGS = 32;
  private static final int MCONTEXT = 48;
  private static final int SEGMENTS = MCONTEXT + 18 * 8;
  private static final int FPSTATE_POINTER = MCONTEXT + 23 * 8;
  private static final int UC_SIGMASK = 304;

  /** Where the XSAVE area lies; the frame has 440 bytes, and XRSTOR wants a multiple of 64. */
  static final int XSAVE = 448;

  /** {@code UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS} ({@code asm/ucontext.h}). */
  private static final long FLAGS = 7;

  /** Not a mode that {@code sigaltstack} knows, so {@code rt_sigreturn} leaves the alternate stack as it is. */
  private static final int STACK_UNCHANGED = 0x10;

  private static final int FP_XSTATE_MAGIC1 = 0x46505853;
  private static final int FP_XSTATE_MAGIC2 = 0x46505845;
  private static final int SOFTWARE_BYTES = 464;
  private static final int XSTATE_BV = 512;

  /** AMX tile data. A task that never used it has a state area that ends before it, and the kernel checks that. */
  private static final long XFEATURE_XTILEDATA = 1L << 18;

  private static final int BYTES_WITHOUT_XTILEDATA = 2816;

  /** Values that a system call never shows to user space: the kernel replaces them when it restarts the call. */
  private static final int ERESTARTSYS = 512;

  private static final int ERESTARTNOINTR = 513;
  private static final int ERESTARTNOHAND = 514;
  private static final int ERESTART_RESTARTBLOCK = 516;

  /** Calls that a stop ends with EINTR although no signal is delivered ({@code man 7 signal}, "Interruption ... by stop signals"). */
  private static final Set<Integer> ENDED_BY_STOP =
      Set.of(
          SyscallNumber.EPOLL_WAIT,
          SyscallNumber.EPOLL_PWAIT,
          SyscallNumber.EPOLL_PWAIT2,
          SyscallNumber.IO_GETEVENTS,
          SyscallNumber.IO_PGETEVENTS,
          SyscallNumber.SEMOP,
          SyscallNumber.SEMTIMEDOP,
          SyscallNumber.RT_SIGTIMEDWAIT,
          SyscallNumber.ACCEPT,
          SyscallNumber.ACCEPT4,
          SyscallNumber.READ,
          SyscallNumber.READV,
          SyscallNumber.RECVFROM,
          SyscallNumber.RECVMSG,
          SyscallNumber.RECVMMSG,
          SyscallNumber.SENDTO,
          SyscallNumber.SENDMSG);

  /** Bytes of the {@code syscall} instruction. */
  private static final int SYSCALL_INSTRUCTION = 2;

  private SignalFrame() {}

  /** Bytes of frame and XSAVE area with its end mark. */
  static int size(byte[] xsave) {
    return XSAVE + xsave.length + 4;
  }

  /** Whether the thread sits in a call that a stop has ended with EINTR although nothing happened to it. */
  static boolean endedByStop(Registers registers) {
    return registers.rax() == -Errno.EINTR && ENDED_BY_STOP.contains((int) registers.systemCall());
  }

  /** Registers with which the interrupted call, if there is one, is made again from its start. */
  static Registers reissue(Registers registers) {
    if (registers.systemCall() < 0) {
      return registers;
    }
    long rax = registers.rax();
    boolean again =
        rax == -ERESTARTSYS || rax == -ERESTARTNOINTR || rax == -ERESTARTNOHAND || rax == -ERESTART_RESTARTBLOCK || endedByStop(registers);
    return again ? again(registers) : registers;
  }

  /** Registers that make the call in {@code orig_rax} again. */
  static Registers again(Registers registers) {
    return registers
        .with(Registers.RAX, registers.systemCall())
        .with(Registers.RIP, registers.instructionPointer() - SYSCALL_INSTRUCTION)
        .with(Registers.ORIG_RAX, -1);
  }

  /**
   * Writes the frame.
   *
   * @param address where the frame will be in the task, a multiple of 64
   * @param out little-endian, positioned at the frame's first byte; positioned behind it afterwards
   */
  static void put(ByteBuffer out, long address, Registers interrupted, long signalMask, byte[] xsave) {
    int start = out.position();
    var registers = reissue(interrupted);
    for (int i = 0; i < XSAVE / 8; i++) {
      out.putLong(start + 8 * i, 0);
    }
    out.putLong(start + UC_FLAGS, FLAGS);
    out.putInt(start + UC_STACK_FLAGS, STACK_UNCHANGED);
    int[] order = {
      Registers.R8, Registers.R9, Registers.R10, Registers.R11, Registers.R12, Registers.R13, Registers.R14, Registers.R15,
      Registers.RDI, Registers.RSI, Registers.RBP, Registers.RBX, Registers.RDX, Registers.RAX, Registers.RCX, Registers.RSP,
      Registers.RIP, Registers.EFLAGS
    };
    for (int i = 0; i < order.length; i++) {
      out.putLong(start + MCONTEXT + 8 * i, registers.get(order[i]));
    }
    out.putShort(start + SEGMENTS, (short) registers.get(Registers.CS));
    out.putShort(start + SEGMENTS + 2, (short) registers.get(Registers.GS));
    out.putShort(start + SEGMENTS + 4, (short) registers.get(Registers.FS));
    out.putShort(start + SEGMENTS + 6, (short) registers.get(Registers.SS));
    out.putLong(start + FPSTATE_POINTER, address + XSAVE);
    out.putLong(start + UC_SIGMASK, signalMask);

    int area = start + XSAVE;
    out.put(area, xsave);
    long features = out.getLong(area + SOFTWARE_BYTES);
    int bytes = xsave.length;
    if (bytes > BYTES_WITHOUT_XTILEDATA && (out.getLong(area + XSTATE_BV) & XFEATURE_XTILEDATA) == 0) {
      bytes = BYTES_WITHOUT_XTILEDATA;
      features &= ~XFEATURE_XTILEDATA;
    }
    // struct _fpx_sw_bytes: magic1, extended_size, xfeatures, xstate_size
    out.putInt(area + SOFTWARE_BYTES, FP_XSTATE_MAGIC1);
    out.putInt(area + SOFTWARE_BYTES + 4, bytes + 4);
    out.putLong(area + SOFTWARE_BYTES + 8, features);
    out.putInt(area + SOFTWARE_BYTES + 16, bytes);
    out.putInt(area + bytes, FP_XSTATE_MAGIC2);
    out.position(start + size(xsave));
  }
}
