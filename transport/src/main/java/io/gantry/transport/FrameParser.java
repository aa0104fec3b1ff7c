package io.gantry.transport;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Optional;
import java.util.zip.CRC32C;

/**
 * Checks the frames of one stream and hands on what is in them. Trusts nothing: every number is checked before it is used, and
 * memory is bounded by the largest message that is allowed. For one thread.
 */
final class FrameParser {
  private final StreamTicket ticket;
  private final byte[] token;
  private final Optional<FrameSeal> seal;
  private final int messageBytesMax;
  private final FrameHandler handler;
  private final CRC32C crc = new CRC32C();
  private FrameView opened;
  private long[] addresses = new long[16];
  private int[] pageCounts = new int[16];
  private long sequence;
  private boolean greeted;
  private boolean ended;
  private int messageType;
  private byte[] message;
  private int messageFilled;
  private int messageLength;
  private boolean inMessage;
  private long pages;
  private long zeroPages;
  private long messages;

  FrameParser(StreamTicket ticket, int messageBytesMax, FrameHandler handler) {
    this.ticket = ticket;
    this.token = ticket.token();
    this.messageBytesMax = messageBytesMax;
    this.handler = handler;
    seal = ticket.key().map(key -> new FrameSeal(ticket, key));
  }

  boolean ended() {
    return ended;
  }

  /** Whether the sender has shown the token. */
  boolean greeted() {
    return greeted;
  }

  long pages() {
    return pages;
  }

  long zeroPages() {
    return zeroPages;
  }

  /**
   * Takes one frame.
   *
   * @throws MalformedFrameException when it is not what must come next; the parser is of no use afterwards
   */
  void accept(FrameView view, int offset, int length) {
    ByteBuffer bytes = view.bytes();
    check(length >= Frame.HEADER_BYTES, "a frame of %d bytes is shorter than its header", length);
    check(bytes.getInt(offset + Frame.LENGTH) == length, "a frame of %d bytes claims another length", length);
    int version = bytes.get(offset + Frame.VERSION_AT);
    check(version == Frame.VERSION, "version %d of the page stream is spoken, this node speaks version 1", version);
    int sum = view.crc32c(crc, offset + Frame.VERSION_AT, length - Frame.VERSION_AT);
    check(bytes.getInt(offset + Frame.CRC) == sum, "the checksum of frame %d does not match", sequence);
    long number = bytes.getLong(offset + Frame.SEQUENCE);
    check(number == sequence, "frame %d came where another was due: lost, repeated or replayed", number);
    check(!ended, "frame %d came after the end", number);
    int type = bytes.get(offset + Frame.TYPE) & 0xff;
    check((type & Frame.SEALED) != 0 == seal.isPresent(), "frame %d is sealed where it must not be, or the reverse", number);
    if (seal.isPresent()) {
      unseal(seal.get(), view, offset, length);
      dispatch(type & ~Frame.SEALED, bytes, offset, opened, 0, length - Frame.HEADER_BYTES - FrameSeal.TAG_BYTES);
    } else {
      dispatch(type, bytes, offset, view, offset + Frame.HEADER_BYTES, length - Frame.HEADER_BYTES);
    }
    sequence++;
  }

  private void unseal(FrameSeal with, FrameView view, int offset, int length) {
    int sealedBytes = length - Frame.HEADER_BYTES;
    check(sealedBytes >= FrameSeal.TAG_BYTES, "frame %d is too short to be sealed", sequence);
    if (opened == null) {
      opened = FrameView.allocate(TransportOptions.MTU_MAX);
    }
    check(sealedBytes <= TransportOptions.MTU_MAX, "frame %d is longer than any datagram", sequence);
    ByteBuffer bytes = view.bytes();
    boolean genuine =
        with.open(sequence, bytes, offset, bytes, offset + Frame.HEADER_BYTES, sealedBytes, opened.bytes(), 0);
    check(genuine, "frame %d was not sealed with this stream's key", sequence);
  }

  private void dispatch(int type, ByteBuffer header, int at, FrameView body, int bodyAt, int bodyBytes) {
    check(greeted || type == Frame.HELLO, "frame %d came before the token", sequence);
    check(!inMessage || type == Frame.MESSAGE, "frame %d interrupts a message", sequence);
    switch (type) {
      case Frame.HELLO -> hello(body.bytes(), bodyAt, bodyBytes);
      case Frame.PAGES -> pages(header, at, body, bodyAt, bodyBytes);
      case Frame.MESSAGE -> message(header, at, body.bytes(), bodyAt, bodyBytes);
      case Frame.END -> end(body.bytes(), bodyAt, bodyBytes);
      default -> throw new MalformedFrameException("frame " + sequence + " is of no known type (" + type + ")");
    }
  }

  private void hello(ByteBuffer bytes, int at, int length) {
    check(!greeted, "frame %d shows a token a second time", sequence);
    check(length == Frame.HELLO_BYTES, "the first frame has a body of %d bytes", length);
    byte[] shown = new byte[StreamTicket.TOKEN_BYTES];
    bytes.get(at, shown);
    check(MessageDigest.isEqual(shown, token), "the first frame of stream %d shows a token that is not expected",
        ticket.streamId());
    int pageBytes = bytes.getInt(at + StreamTicket.TOKEN_BYTES);
    check(pageBytes == Frame.PAGE_BYTES, "the sender's pages have %d bytes, ours 4096", pageBytes);
    greeted = true;
  }

  private void pages(ByteBuffer header, int at, FrameView body, int bodyAt, int bodyBytes) {
    int space = header.getInt(at + Frame.SPACE);
    int zeroRuns = header.getShort(at + Frame.ZERO_RUNS) & 0xffff;
    int runs = header.getInt(at + Frame.FIRST);
    int content = header.getInt(at + Frame.SECOND);
    int entriesMax = bodyBytes / Frame.RUN_BYTES;
    check(runs >= 0 && runs <= entriesMax && zeroRuns <= entriesMax - runs, "frame %d names more runs than it holds", sequence);
    check(content >= 0 && content <= bodyBytes / Frame.PAGE_BYTES, "frame %d names more pages than it holds", sequence);
    int tableBytes = (zeroRuns + runs) * Frame.RUN_BYTES;
    check(bodyBytes == tableBytes + content * Frame.PAGE_BYTES, "the length of frame %d does not fit its pages", sequence);
    check(zeroRuns + runs > 0, "frame %d names no pages", sequence);
    ByteBuffer bytes = body.bytes();
    for (int i = 0; i < zeroRuns + runs; i++) {
      checkRun(bytes, bodyAt + i * Frame.RUN_BYTES);
    }
    if (runs > addresses.length) {
      addresses = new long[runs];
      pageCounts = new int[runs];
    }
    int named = 0;
    for (int i = 0; i < runs; i++) {
      int entry = bodyAt + (zeroRuns + i) * Frame.RUN_BYTES;
      addresses[i] = bytes.getLong(entry);
      pageCounts[i] = bytes.getInt(entry + 8);
      check(pageCounts[i] <= content - named, "the runs of frame %d are longer than its pages", sequence);
      named += pageCounts[i];
    }
    check(named == content, "the runs of frame %d are shorter than its pages", sequence);
    // All is checked: a frame is handed on whole or not at all.
    for (int i = 0; i < zeroRuns; i++) {
      int entry = bodyAt + i * Frame.RUN_BYTES;
      int count = bytes.getInt(entry + 8);
      zeroPages += count;
      handler.zero(space, bytes.getLong(entry), count);
    }
    if (runs > 0) {
      pages += content;
      MemorySegment data = body.memory(bodyAt + tableBytes, content * Frame.PAGE_BYTES).asReadOnly();
      handler.pages(space, addresses, pageCounts, runs, data);
    }
  }

  private void checkRun(ByteBuffer bytes, int entry) {
    long address = bytes.getLong(entry);
    int count = bytes.getInt(entry + 8);
    check(address >= 0 && address % Frame.PAGE_BYTES == 0, "a run of frame %d does not start at a page", sequence);
    check(
        count >= 1 && count <= (Long.MAX_VALUE - address) / Frame.PAGE_BYTES && bytes.getInt(entry + 12) == 0,
        "a run of frame %d has an impossible length", sequence);
  }

  private void message(ByteBuffer header, int at, ByteBuffer bytes, int bodyAt, int bodyBytes) {
    int type = header.getInt(at + Frame.SPACE);
    int total = header.getInt(at + Frame.FIRST);
    int piece = header.getInt(at + Frame.SECOND);
    if (!inMessage) {
      check(total >= 0 && total <= messageBytesMax, "a message of %d bytes is larger than this node takes", total & 0xffffffffL);
      check(piece == 0, "a message does not start at its start in frame %d", sequence);
      inMessage = true;
      messageType = type;
      messageLength = total;
      messageFilled = 0;
      // Grown as the pieces come: a number in a header is not worth a gigabyte.
      message = new byte[bodyBytes];
    }
    check(type == messageType && total == messageLength && piece == messageFilled,
        "the pieces of a message do not fit in frame %d", sequence);
    check(bodyBytes <= messageLength - messageFilled, "a message is longer than announced in frame %d", sequence);
    check(bodyBytes > 0 || messageLength == 0, "frame %d holds an empty piece", sequence);
    if (message.length < messageFilled + bodyBytes) {
      long larger = Math.max(2L * message.length, messageFilled + bodyBytes);
      message = Arrays.copyOf(message, (int) Math.min(larger, messageLength));
    }
    bytes.get(bodyAt, message, messageFilled, bodyBytes);
    messageFilled += bodyBytes;
    if (messageFilled == messageLength) {
      byte[] whole = message;
      message = null;
      inMessage = false;
      messages++;
      handler.message(messageType, whole);
    }
  }

  private void end(ByteBuffer bytes, int at, int length) {
    check(length == Frame.END_BYTES, "the last frame has a body of %d bytes", length);
    check(
        bytes.getLong(at) == pages && bytes.getLong(at + 8) == zeroPages && bytes.getLong(at + 16) == messages,
        "the sender's and the receiver's counts differ at the end, frame %d", sequence);
    ended = true;
    handler.end();
  }

  private static void check(boolean holds, String otherwise, long number) {
    if (!holds) {
      throw new MalformedFrameException(String.format(otherwise, number));
    }
  }
}
