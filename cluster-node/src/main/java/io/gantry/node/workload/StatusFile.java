package io.gantry.node.workload;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;

/**
 * Where a workload says how it is doing: one JSON object, overwritten in place through a descriptor that stays open across moves.
 * The first field and the last one carry the same number, by which a reader knows that it did not read in the middle of a write.
 */
final class StatusFile implements AutoCloseable {
  private static final int BYTES = 8192;

  private final FileChannel channel;
  private final byte[] record = new byte[BYTES];
  private long sequence;

  StatusFile(Path path) throws IOException {
    channel = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING);
  }

  /**
   * @param state a word: {@code starting}, {@code running}, {@code ended}
   * @param checks checks that were made so far
   * @param errors checks that failed
   * @param firstError a sentence, or empty
   */
  synchronized void write(String state, long checks, long errors, String firstError, GapClock.Snapshot gaps) throws IOException {
    sequence++;
    var text = new StringBuilder(4096);
    text.append("{\"seq\":").append(sequence);
    text.append(",\"state\":\"").append(state).append('"');
    text.append(",\"checks\":").append(checks);
    text.append(",\"errors\":").append(errors);
    text.append(",\"first_error\":\"").append(firstError.replace('"', '\'').replace('\\', '/').replace('\n', ' ')).append('"');
    text.append(",\"now_ns\":").append(System.nanoTime());
    text.append(",\"max_gap_ns\":").append(gaps.longestNs());
    text.append(",\"gaps\":").append(gaps.gaps());
    text.append(",\"gap_end_ns\":").append(Arrays.toString(gaps.endNs()));
    text.append(",\"gap_ns\":").append(Arrays.toString(gaps.gapNs()));
    text.append(",\"end\":").append(sequence).append('}');
    byte[] bytes = text.toString().getBytes(StandardCharsets.UTF_8);
    if (bytes.length >= BYTES) {
      throw new IOException("a status of " + bytes.length + " bytes does not fit into " + BYTES);
    }
    Arrays.fill(record, (byte) ' ');
    System.arraycopy(bytes, 0, record, 0, bytes.length);
    record[BYTES - 1] = '\n';
    channel.write(ByteBuffer.wrap(record), 0);
  }

  @Override
  public void close() throws IOException {
    channel.close();
  }
}
