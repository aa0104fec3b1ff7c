package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Memfd;
import io.gantry.checkpoint.linux.PosixSpawn;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * A list of system calls on descriptors of ours that is carried through to its end even if this process is killed meanwhile: a process of
 * its own, which has nothing but the list, makes the calls and exits. None of them may block. For states that must not outlive the calls
 * that need them, such as a socket's repair mode. Any one thread.
 */
public final class Errand implements AutoCloseable {
  private static final String NAME = "gantry-errand";
  private static final long ROOM_ADDRESS = 0x1_0000_0000L;
  private static final int ELF_HEADER_BYTES = 64;
  private static final int PROGRAM_HEADER_BYTES = 56;
  private static final int ENTRY_AT = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;
  /** Where the entry that ends the list is; the code lies before it. */
  private static final int END_ENTRY_AT = 768;

  private static final int TABLE_AT = 1024;
  private static final int PT_LOAD = 1;
  private static final int PROT_READ_WRITE = 3;
  private static final int MAP_SHARED_FIXED = 0x11;
  private static final int OWN_CALLS = 4;
  private static final int CHUNK_BYTES = 32 * 1024;

  private final CallBatch calls;
  private final CallBatch.Call agent;
  private final CallBatch.Call shared;
  private final int resultBytes;
  private final long roomBytes;
  private final int file;
  private long roomUsed;

  /**
   * @param callsMax how many calls at most, {@link #fetch} included
   * @param dataMax bytes of arguments and small results, each rounded up to 16
   * @param roomBytes for {@link #room}, each rounded up to 16
   */
  public Errand(int callsMax, int dataMax, long roomBytes) {
    this.calls = new CallBatch(StubElf.ADDRESS + TABLE_AT, callsMax + OWN_CALLS, dataMax);
    this.resultBytes = (callsMax + OWN_CALLS) * CallBatch.ENTRY_BYTES + dataMax;
    this.roomBytes = Math.max(16, roomBytes);
    this.file = Memfd.create(NAME + " results", Memfd.CLOEXEC);
    Fd.truncate(file, this.roomBytes + resultBytes);
    this.agent = calls.attempt("pidfd_open(the agent)", SyscallNumber.PIDFD_OPEN, ProcessHandle.current().pid(), 0);
    this.shared = fetch(file);
    calls
        .attempt(
            "mmap(results)", SyscallNumber.MMAP, ROOM_ADDRESS, this.roomBytes + 4095 & ~4095L, PROT_READ_WRITE, MAP_SHARED_FIXED, 0, 0)
        .link(4, shared);
  }

  /** The list; its calls should be {@link CallBatch#attempt}s, since a required call that fails would leave out those that undo. */
  public CallBatch calls() {
    return calls;
  }

  /** Adds the call whose result is a copy of a descriptor of ours. */
  public CallBatch.Call fetch(int ourDescriptor) {
    return calls.attempt("pidfd_getfd(" + ourDescriptor + ")", SyscallNumber.PIDFD_GETFD, 0, ourDescriptor, 0).link(0, agent);
  }

  /** Zeroed room for a large result, as an address for a call. */
  public long room(long bytes) {
    long at = roomUsed;
    roomUsed += bytes + 15 & ~15L;
    if (roomUsed > roomBytes) {
      throw new IllegalStateException("an errand has room for " + roomBytes + " bytes");
    }
    return ROOM_ADDRESS + at;
  }

  /** Makes all calls; then {@link CallBatch.Call#result}, {@link CallBatch#read} and {@link #read} tell what came of them. */
  public void run() {
    calls
        .attempt("pwrite(results)", SyscallNumber.PWRITE64, 0, calls.address(), resultBytes, roomBytes)
        .link(0, shared);
    int program = Memfd.create(NAME, Memfd.CLOEXEC);
    try {
      Fd.write(program, elf());
      Wait.block(PosixSpawn.spawn("/proc/self/fd/" + program, List.of(NAME)));
    } finally {
      Fd.close(program);
    }
    byte[] results = at(roomBytes, resultBytes);
    if (ByteBuffer.wrap(results).order(ByteOrder.LITTLE_ENDIAN).getLong(0) != SyscallNumber.PIDFD_OPEN) {
      throw new CheckpointException("a helping process of the agent did not report; was it killed from outside, or is memory short?");
    }
    calls.takeResults(ByteBuffer.wrap(results).order(ByteOrder.LITTLE_ENDIAN));
    if (calls.dataUsed() > 0) {
      calls.takeData(java.util.Arrays.copyOfRange(results, calls.dataOffset(), resultBytes));
    }
  }

  /** After the run: bytes at an address that {@link #room} gave. */
  public byte[] read(long address, int length) {
    return at(address - ROOM_ADDRESS, length);
  }

  private byte[] at(long position, int length) {
    var bytes = new byte[length];
    for (int from = 0; from < length; from += CHUNK_BYTES) {
      byte[] chunk = Fd.readAt(file, position + from, Math.min(CHUNK_BYTES, length - from));
      System.arraycopy(chunk, 0, bytes, from, chunk.length);
    }
    return bytes;
  }

  /** As {@code man 5 elf} has it: one segment with the code, the list and its data, and no library. */
  private byte[] elf() {
    int length = TABLE_AT + resultBytes;
    var elf = ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
    elf.put(new byte[] {0x7F, 'E', 'L', 'F', 2, 1, 1}).position(16);
    elf.putShort((short) 2).putShort((short) 62).putInt(1); // executable, x86-64
    elf.putLong(StubElf.ADDRESS + ENTRY_AT).putLong(ELF_HEADER_BYTES).putLong(0).putInt(0);
    elf.putShort((short) ELF_HEADER_BYTES).putShort((short) PROGRAM_HEADER_BYTES).putShort((short) 1);
    elf.position(ELF_HEADER_BYTES);
    elf.putInt(PT_LOAD).putInt(7).putLong(0).putLong(StubElf.ADDRESS).putLong(StubElf.ADDRESS);
    elf.putLong(length).putLong(length).putLong(0x1000);
    elf.position(ENTRY_AT);
    load(elf, 0x48, 0xBB, calls.address()); // mov rbx, first entry
    load(elf, 0x49, 0xBE, calls.address()); // mov r14, first entry
    load(elf, 0x49, 0xBC, calls.size()); // mov r12, number of entries
    load(elf, 0x49, 0xBF, StubElf.ADDRESS + END_ENTRY_AT); // mov r15, the entry that ends the list
    elf.put(CallLoop.code());
    elf.position(END_ENTRY_AT);
    elf.putLong(SyscallNumber.EXIT_GROUP);
    elf.position(TABLE_AT);
    calls.putTable(elf, new long[0]);
    elf.position(TABLE_AT + calls.dataOffset());
    elf.put(calls.data(), 0, calls.dataUsed());
    return elf.array();
  }

  private static void load(ByteBuffer code, int prefix, int operation, long value) {
    code.put((byte) prefix).put((byte) operation).putLong(value);
  }

  @Override
  public void close() {
    Fd.close(file);
  }
}
