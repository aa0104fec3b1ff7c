package io.gantry.checkpoint.tracee;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The program that stubs begin as: a static ELF file of one segment, built in memory ({@code man 5 elf}). All it does is ask to be killed
 * when its parent ends, and wait; the room behind the code is where calls are injected at first.
 */
final class StubElf {
  /** Where the segment is mapped; above {@code vm.mmap_min_addr}, below anything a program is linked to. */
  static final long ADDRESS = 0x10000;

  /** Code, table and data of the first batches. */
  static final int SEGMENT_BYTES = 0x8000;

  private static final int HEADER_BYTES = 64;
  private static final int PROGRAM_HEADER_BYTES = 56;
  private static final int PROGRAM_HEADERS = 2;
  private static final int ENTRY_AT = HEADER_BYTES + PROGRAM_HEADERS * PROGRAM_HEADER_BYTES;
  private static final int PT_LOAD = 1;
  private static final int PT_GNU_STACK = 0x6474e551;

  /** prctl(PR_SET_PDEATHSIG, SIGKILL), then pause() for ever. */
  private static final int[] ENTRY_CODE = {
    0xB8, 157, 0, 0, 0, // mov eax, 157 (prctl)
    0xBF, 1, 0, 0, 0, // mov edi, 1 (PR_SET_PDEATHSIG)
    0xBE, 9, 0, 0, 0, // mov esi, 9 (SIGKILL)
    0x0F, 0x05, // syscall
    0xB8, 34, 0, 0, 0, // again: mov eax, 34 (pause)
    0x0F, 0x05, // syscall
    0xEB, 0xF7 // jmp again
  };

  private StubElf() {}

  static byte[] bytes() {
    int length = ENTRY_AT + ENTRY_CODE.length;
    var elf = ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
    elf.put(new byte[] {0x7F, 'E', 'L', 'F', 2, 1, 1}).position(16); // 64-bit, little-endian, version 1
    elf.putShort((short) 2).putShort((short) 62).putInt(1); // executable, x86-64
    elf.putLong(ADDRESS + ENTRY_AT).putLong(HEADER_BYTES).putLong(0).putInt(0);
    elf.putShort((short) HEADER_BYTES).putShort((short) PROGRAM_HEADER_BYTES).putShort((short) PROGRAM_HEADERS);
    elf.position(HEADER_BYTES);
    elf.putInt(PT_LOAD).putInt(7).putLong(0).putLong(ADDRESS).putLong(ADDRESS); // readable, writable, executable
    elf.putLong(length).putLong(SEGMENT_BYTES).putLong(0x1000);
    elf.putInt(PT_GNU_STACK).putInt(6); // the stack itself is not executable
    elf.position(ENTRY_AT);
    for (int b : ENTRY_CODE) {
      elf.put((byte) b);
    }
    return elf.array();
  }
}
