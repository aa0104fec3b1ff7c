package io.gantry.transport;

/**
 * The layout of a frame; all numbers little-endian. The protocol in words is in {@code docs/page-stream.md}.
 *
 * <pre>
 *   0  u32  CRC32C of everything behind it
 *   4  u8   version
 *   5  u8   type; bit 7 set when sealed
 *   6  u16  zero runs (PAGES)
 *   8  u64  sequence number, from 0
 *  16  u32  length of the frame, this header and the seal included
 *  20  u32  space (PAGES), type of the message (MESSAGE)
 *  24  u32  page runs (PAGES), length of the whole message (MESSAGE)
 *  28  u32  pages with content (PAGES), where this piece belongs (MESSAGE)
 *  32       body; in a sealed frame encrypted, with 16 bytes of authentication behind it
 *
 *  HELLO    token, u32 page size, u32 reserved
 *  PAGES    zero runs, then page runs, each {u64 address, u32 pages, u32 reserved}, then the content of the page runs
 *  MESSAGE  the piece
 *  END      u64 pages with content, u64 zero pages, u64 messages in the whole stream
 * </pre>
 */
final class Frame {
  static final byte VERSION = 1;

  static final byte HELLO = 1;
  static final byte PAGES = 2;
  static final byte MESSAGE = 3;
  static final byte END = 4;
  static final int SEALED = 0x80;

  static final int CRC = 0;
  static final int VERSION_AT = 4;
  static final int TYPE = 5;
  static final int ZERO_RUNS = 6;
  static final int SEQUENCE = 8;
  static final int LENGTH = 16;
  static final int SPACE = 20;
  static final int FIRST = 24;
  static final int SECOND = 28;
  static final int HEADER_BYTES = 32;

  static final int RUN_BYTES = 16;
  static final int PAGE_BYTES = 4096;
  static final int HELLO_BYTES = StreamTicket.TOKEN_BYTES + 8;
  static final int END_BYTES = 24;

  /** Keeps the table of runs small even where the MTU would take more. */
  static final int ZERO_RUNS_MAX = 128;

  /** Largest run: u32 with room, 8 TiB. */
  static final long RUN_PAGES_MAX = Integer.MAX_VALUE;

  private Frame() {}

  /** Most pages with content that a frame of {@code payloadBytes} takes, each possibly a run of its own. */
  static int pagesMax(int payloadBytes, boolean sealed) {
    return (payloadBytes - HEADER_BYTES - (sealed ? FrameSeal.TAG_BYTES : 0)) / (PAGE_BYTES + RUN_BYTES);
  }
}
