package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.Ptrace;
import java.util.Arrays;

/** The general registers of a thread: {@code struct user_regs_struct} ({@code sys/user.h}). Immutable. */
public final class Registers {
  public static final int R15 = 0;
  public static final int R14 = 1;
  public static final int R13 = 2;
  public static final int R12 = 3;
  public static final int RBP = 4;
  public static final int RBX = 5;
  public static final int R11 = 6;
  public static final int R10 = 7;
  public static final int R9 = 8;
  public static final int R8 = 9;
  public static final int RAX = 10;
  public static final int RCX = 11;
  public static final int RDX = 12;
  public static final int RSI = 13;
  public static final int RDI = 14;
  public static final int ORIG_RAX = 15;
  public static final int RIP = 16;
  public static final int CS = 17;
  public static final int EFLAGS = 18;
  public static final int RSP = 19;
  public static final int SS = 20;
  public static final int FS_BASE = 21;
  public static final int GS_BASE = 22;
  public static final int DS = 23;
  public static final int ES = 24;
  public static final int FS = 25;
  public static final int GS = 26;

  private final long[] values;

  private Registers(long[] values) {
    this.values = values;
  }

  /** @param values {@link Ptrace#REGISTERS} longs in the kernel's order */
  public static Registers of(long... values) {
    if (values.length != Ptrace.REGISTERS) {
      throw new IllegalArgumentException("user_regs_struct has " + Ptrace.REGISTERS + " longs, not " + values.length);
    }
    return new Registers(values.clone());
  }

  static Registers read(int tid) {
    return new Registers(Ptrace.registers(tid));
  }

  void write(int tid) {
    Ptrace.setRegisters(tid, values);
  }

  /** @param index one of the constants here */
  public long get(int index) {
    return values[index];
  }

  /** A copy with one register changed. */
  public Registers with(int index, long value) {
    long[] copy = values.clone();
    copy[index] = value;
    return new Registers(copy);
  }

  public long instructionPointer() {
    return values[RIP];
  }

  public long stackPointer() {
    return values[RSP];
  }

  public long rax() {
    return values[RAX];
  }

  /** The system call the thread is in or was interrupted in, or a negative number. */
  public long systemCall() {
    return values[ORIG_RAX];
  }

  public long fsBase() {
    return values[FS_BASE];
  }

  public long gsBase() {
    return values[GS_BASE];
  }

  /** Argument 0 to 5 of the system call. */
  public long argument(int position) {
    return switch (position) {
      case 0 -> values[RDI];
      case 1 -> values[RSI];
      case 2 -> values[RDX];
      case 3 -> values[R10];
      case 4 -> values[R8];
      case 5 -> values[R9];
      default -> throw new IllegalArgumentException("a system call has six arguments");
    };
  }

  /** All values in the kernel's order. */
  public long[] toArray() {
    return values.clone();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Registers that && Arrays.equals(values, that.values);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(values);
  }

  @Override
  public String toString() {
    return "rip=0x%x rsp=0x%x rax=0x%x orig_rax=%d"
        .formatted(values[RIP], values[RSP], values[RAX], values[ORIG_RAX]);
  }
}
