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

  /** The whole bench can be cut into lanes, each with an entry that ends a batch, table and data of its own, so that several threads use it at once. */
  private static final int LANES_AT = 4096;
  private static final int LANE_BYTES = 16 * 1024;
  private static final int LANE_TABLE_AT = 128;
  private static final int LANE_CALLS_MAX = 160;

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

  /** The entry that ends a batch which lies there. */
  long endEntry(long batchAddress) {
    return batchAddress == start + TABLE_AT ? start + END_ENTRY_AT : batchAddress - LANE_TABLE_AT;
  }

  int lanes() {
    return (bytes - LANES_AT) / LANE_BYTES;
  }

  /** A batch that may run while batches of other lanes do; nothing else may use the bench meanwhile. */
  CallBatch laneBatch(int lane) {
    return new CallBatch(
        start + LANES_AT + (long) lane * LANE_BYTES + LANE_TABLE_AT,
        LANE_CALLS_MAX,
        LANE_BYTES - LANE_TABLE_AT - LANE_CALLS_MAX * CallBatch.ENTRY_BYTES);
  }

  long end() {
    return start + bytes;
  }

  CallBatch newBatch() {
    return new CallBatch(start + TABLE_AT, callsMax, bytes - TABLE_AT - callsMax * CallBatch.ENTRY_BYTES);
  }
}
