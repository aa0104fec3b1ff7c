package io.gantry.checkpoint.tracee;

/**
 * Scratch mapping of a stub, readable, writable and executable: the call loop, the entry that ends a batch, then table and data.
 *
 * @param start first byte, a multiple of 4096
 * @param bytes length, a multiple of 4096
 * @param callsMax most calls of a batch
 */
record Bench(long start, int bytes, int callsMax) {
  private static final int END_ENTRY_AT = 512;
  private static final int TABLE_AT = 1024;

  /** Where every stub's bench is at first: below anything that a program is linked to. */
  static final Bench STANDARD = new Bench(0x20000, 0x30000, 512);

  /** What a launcher has before it has mapped one. */
  static final Bench OF_THE_PROGRAM = new Bench(StubElf.ADDRESS + 0x1000, StubElf.SEGMENT_BYTES - 0x1000, 64);

  Bench at(long address) {
    return new Bench(address, bytes, callsMax);
  }

  long code() {
    return start;
  }

  long endEntry() {
    return start + END_ENTRY_AT;
  }

  long end() {
    return start + bytes;
  }

  CallBatch newBatch() {
    return new CallBatch(start + TABLE_AT, callsMax, bytes - TABLE_AT - callsMax * CallBatch.ENTRY_BYTES);
  }
}
