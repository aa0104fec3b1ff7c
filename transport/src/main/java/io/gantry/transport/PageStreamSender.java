package io.gantry.transport;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * The sending end of a page stream. One thread at a time; {@link #close()} from any. Calls block while the receiver is behind,
 * up to the patience given to {@link PageTransport#connect}, and throw {@link TransportException} when the stream is broken,
 * from then on always with the same reason.
 *
 * <p>What is sent arrives complete and in order, or the stream breaks.
 */
public final class PageStreamSender implements AutoCloseable {
  private static final MemorySegment ZERO_PAGE = MemorySegment.ofBuffer(ByteBuffer.allocateDirect(Frame.PAGE_BYTES)).asReadOnly();

  private final Outlet outlet;
  private final StreamTicket ticket;
  private final FrameWriter writer;
  private final int pagesMax;
  private final long[] runAddresses;
  private final int[] runPages;
  private final ZeroRuns zeros = new ZeroRuns(Frame.ZERO_RUNS_MAX);
  private long pagesSent;
  private long zeroPagesSent;
  private long messagesSent;
  private boolean endSent;

  PageStreamSender(PageTransport transport, Outlet outlet, StreamTicket ticket) {
    this.outlet = outlet;
    this.ticket = ticket;
    this.writer = new FrameWriter(outlet, ticket);
    pagesMax = Frame.pagesMax(outlet.payloadBytesMax(), ticket.key().isPresent());
    runAddresses = new long[pagesMax];
    runPages = new int[pagesMax];
  }

  /** The first frame: shows the token. */
  void greet() {
    outlet.enter();
    try {
      writer.begin(Frame.HELLO_BYTES);
      ByteBuffer bytes = writer.view().bytes();
      bytes.put(writer.body(), ticket.token());
      bytes.putInt(writer.body() + StreamTicket.TOKEN_BYTES, Frame.PAGE_BYTES);
      bytes.putInt(writer.body() + StreamTicket.TOKEN_BYTES + 4, 0);
      writer.commit(Frame.HELLO, 0, 0, 0, 0);
      outlet.flush();
    } finally {
      outlet.exit();
    }
  }

  /** Most pages with content per call of {@link #pages}; 15 with the default MTU. */
  public int pagesMax() {
    return pagesMax;
  }

  /** Most runs per call of {@link #pages}. */
  public int runsMax() {
    return pagesMax;
  }

  /**
   * Sends pages. Those that turn out to be all zero are sent as {@link #zero} and not with content.
   *
   * @param space the number that both sides gave to what the pages belong to
   * @param addresses start of each run in bytes, a multiple of 4096, not negative; the runs do not overlap
   * @param pageCounts length of each run in pages, at least 1, together at most {@link #pagesMax()}
   * @param runCount how many entries of the two are meant, 1 to {@link #runsMax()}
   * @param filler called once, on this thread, before this returns
   * @throws TransportException when the stream is broken
   */
  public void pages(int space, long[] addresses, int[] pageCounts, int runCount, Filler filler) {
    Objects.requireNonNull(filler, "filler");
    int total = checkRuns(addresses, pageCounts, runCount);
    outlet.enter();
    try {
      checkNotEnded();
      int carried = zerosThatFit(space, runCount, total);
      writer.begin((carried + runCount) * Frame.RUN_BYTES + total * Frame.PAGE_BYTES);
      int dataAt = writer.body() + (carried + runCount) * Frame.RUN_BYTES;
      MemorySegment data = writer.view().memory(dataAt, total * Frame.PAGE_BYTES);
      try {
        filler.fill(data);
      } catch (RuntimeException | Error e) {
        writer.abandon();
        throw e;
      }
      int zeroMask = zeroMask(data, total);
      if (zeroMask == 0) {
        int at = writeZeroRuns(writer.body());
        writeRuns(at, addresses, pageCounts, runCount);
        writer.commit(Frame.PAGES, carried, space, runCount, total);
        zeros.clear();
        pagesSent += total;
      } else {
        // The abandoned memory stays as it is: Aeron cleans a term only after a whole further term was consumed.
        writer.abandon();
        sendCompacted(space, addresses, pageCounts, runCount, data, zeroMask);
      }
      outlet.push();
    } finally {
      outlet.exit();
    }
  }

  /**
   * Says that pages read as zero.
   *
   * @param address start in bytes, a multiple of 4096, not negative
   * @param pageCount at least 1
   */
  public void zero(int space, long address, long pageCount) {
    checkRun(address, pageCount);
    outlet.enter();
    try {
      checkNotEnded();
      addZero(space, address, pageCount);
    } finally {
      outlet.exit();
    }
  }

  /**
   * Sends a message, in order with the pages before and behind it.
   *
   * @param type any number
   * @param bytes up to 1 GiB
   */
  public void message(int type, byte[] bytes) {
    if (bytes.length > TransportOptions.MESSAGE_BYTES_MAX) {
      throw new IllegalArgumentException(
          "A message has at most " + TransportOptions.MESSAGE_BYTES_MAX + " bytes, this one has " + bytes.length);
    }
    outlet.enter();
    try {
      checkNotEnded();
      sendZeros();
      int offset = 0;
      do {
        int piece = Math.min(writer.bodyBytesMax(), bytes.length - offset);
        writer.begin(piece);
        writer.view().bytes().put(writer.body(), bytes, offset, piece);
        writer.commit(Frame.MESSAGE, 0, type, bytes.length, offset);
        offset += piece;
        outlet.push();
      } while (offset < bytes.length);
      messagesSent++;
    } finally {
      outlet.exit();
    }
  }

  /** Waits until everything that was sent so far has left this host. */
  public void flush() {
    outlet.enter();
    try {
      sendZeros();
      outlet.flush();
    } finally {
      outlet.exit();
    }
  }

  /** Says that this was all and waits until it has left. Afterwards only {@link #close()} is of use. Idempotent. */
  public void end() {
    outlet.enter();
    try {
      if (endSent) {
        return;
      }
      sendZeros();
      writer.begin(Frame.END_BYTES);
      ByteBuffer bytes = writer.view().bytes();
      bytes.putLong(writer.body(), pagesSent);
      bytes.putLong(writer.body() + 8, zeroPagesSent);
      bytes.putLong(writer.body() + 16, messagesSent);
      writer.commit(Frame.END, 0, 0, 0, 0);
      endSent = true;
      outlet.flush();
      outlet.ended();
    } finally {
      outlet.exit();
    }
  }

  /** Bytes handed to the network so far, framing included; read by the sending thread. */
  public long bytesSent() {
    return writer.bytesSent();
  }

  /** Pages sent with content; read by the sending thread. */
  public long pagesSent() {
    return pagesSent;
  }

  /** Pages sent as zero, found or told; read by the sending thread. */
  public long zeroPagesSent() {
    return zeroPagesSent;
  }

  /** Releases the stream; before {@link #end()} this breaks it, and the receiver is told at once. Idempotent. */
  @Override
  public void close() {
    outlet.close();
  }

  private void addZero(int space, long address, long pageCount) {
    if (!zeros.isEmpty() && zeros.space() != space) {
      sendZeros();
    }
    zeroPagesSent += pageCount;
    long rest = pageCount;
    long at = address;
    while (rest > 0) {
      long piece = Math.min(rest, Frame.RUN_PAGES_MAX);
      if (!zeros.add(space, at, piece)) {
        sendZeros();
        zeros.add(space, at, piece);
      }
      rest -= piece;
      at += piece * Frame.PAGE_BYTES;
    }
  }

  /** Sends what has been gathered if it must not, or cannot, travel with the coming pages. Returns how many runs will. */
  private int zerosThatFit(int space, int runCount, int pages) {
    int room = writer.bodyBytesMax() - runCount * Frame.RUN_BYTES - pages * Frame.PAGE_BYTES;
    if (!zeros.isEmpty() && (zeros.space() != space || zeros.count() * Frame.RUN_BYTES > room)) {
      sendZeros();
    }
    return zeros.count();
  }

  private void sendZeros() {
    int count = zeros.count();
    if (count == 0) {
      return;
    }
    for (int from = 0; from < count; ) {
      int piece = Math.min(count - from, writer.bodyBytesMax() / Frame.RUN_BYTES);
      writer.begin(piece * Frame.RUN_BYTES);
      int at = writer.body();
      for (int i = from; i < from + piece; i++) {
        at = writer.putRun(at, zeros.address(i), zeros.pages(i));
      }
      writer.commit(Frame.PAGES, piece, zeros.space(), 0, 0);
      from += piece;
    }
    zeros.clear();
    outlet.push();
  }

  private int writeZeroRuns(int at) {
    int next = at;
    for (int i = 0; i < zeros.count(); i++) {
      next = writer.putRun(next, zeros.address(i), zeros.pages(i));
    }
    return next;
  }

  private void writeRuns(int at, long[] addresses, int[] pageCounts, int runCount) {
    int next = at;
    for (int i = 0; i < runCount; i++) {
      next = writer.putRun(next, addresses[i], pageCounts[i]);
    }
  }

  /** Sends only the pages that are not zero, and names the others. */
  private void sendCompacted(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data, int zeroMask) {
    int runs = 0;
    int kept = 0;
    int page = 0;
    for (int run = 0; run < runCount; run++) {
      boolean inRun = false;
      for (int i = 0; i < pageCounts[run]; i++, page++) {
        long address = addresses[run] + (long) i * Frame.PAGE_BYTES;
        if ((zeroMask >>> page & 1) != 0) {
          addZero(space, address, 1);
          inRun = false;
        } else {
          if (!inRun) {
            runAddresses[runs] = address;
            runPages[runs++] = 0;
            inRun = true;
          }
          runPages[runs - 1]++;
          kept++;
        }
      }
    }
    if (kept == 0) {
      return;
    }
    int carried = zerosThatFit(space, runs, kept);
    writer.begin((carried + runs) * Frame.RUN_BYTES + kept * Frame.PAGE_BYTES);
    int at = writeZeroRuns(writer.body());
    writeRuns(at, runAddresses, runPages, runs);
    int to = at + runs * Frame.RUN_BYTES;
    int total = (int) (data.byteSize() / Frame.PAGE_BYTES);
    for (int i = 0; i < total; i++) {
      if ((zeroMask >>> i & 1) == 0) {
        writer.copyIn(data, (long) i * Frame.PAGE_BYTES, to, Frame.PAGE_BYTES);
        to += Frame.PAGE_BYTES;
      }
    }
    writer.commit(Frame.PAGES, carried, space, runs, kept);
    zeros.clear();
    pagesSent += kept;
  }

  /** One bit per page that is all zero. The comparison is vectorised, and for most pages ends in the first bytes. */
  private static int zeroMask(MemorySegment data, int pages) {
    int mask = 0;
    for (int i = 0; i < pages; i++) {
      long at = (long) i * Frame.PAGE_BYTES;
      if (MemorySegment.mismatch(data, at, at + Frame.PAGE_BYTES, ZERO_PAGE, 0, Frame.PAGE_BYTES) < 0) {
        mask |= 1 << i;
      }
    }
    return mask;
  }

  private int checkRuns(long[] addresses, int[] pageCounts, int runCount) {
    if (runCount < 1 || runCount > pagesMax || runCount > addresses.length || runCount > pageCounts.length) {
      throw new IllegalArgumentException("A call sends 1 to " + pagesMax + " runs, not " + runCount);
    }
    long total = 0;
    for (int i = 0; i < runCount; i++) {
      checkRun(addresses[i], pageCounts[i]);
      total += pageCounts[i];
    }
    if (total > pagesMax) {
      throw new IllegalArgumentException("A call sends at most " + pagesMax + " pages, not " + total);
    }
    return (int) total;
  }

  private static void checkRun(long address, long pageCount) {
    if (address < 0 || address % Frame.PAGE_BYTES != 0) {
      throw new IllegalArgumentException("A run starts at a page, not at 0x" + Long.toHexString(address));
    }
    if (pageCount < 1 || pageCount > (Long.MAX_VALUE - address) / Frame.PAGE_BYTES) {
      throw new IllegalArgumentException("A run has at least one page and ends in the address space, not " + pageCount
          + " pages");
    }
  }

  private void checkNotEnded() {
    if (endSent) {
      throw new TransportException(outlet + " has ended; nothing more can be sent");
    }
  }
}
