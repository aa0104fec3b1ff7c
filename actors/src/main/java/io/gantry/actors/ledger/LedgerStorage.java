package io.gantry.actors.ledger;

import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * The little that a {@link FileLedger} does with its directory. Real in {@link DirectoryStorage}; a simulation puts a disk
 * here that fills up, tears records and loses what was not synced. One thread at a time.
 */
public interface LedgerStorage extends AutoCloseable {
  /** For messages: where the ledger is. */
  String name();

  /**
   * The whole file, empty when there was none; the file is there afterwards. Removes what an interrupted {@link #replace} left.
   */
  byte[] open() throws IOException;

  /** Writes all of it at that position, which is at most the size of the file. Not durable before {@link #sync}. */
  void write(long position, ByteBuffer bytes) throws IOException;

  /** Cuts the file. Not durable before {@link #sync}. */
  void truncate(long size) throws IOException;

  /** Makes content and size durable ({@code man 2 fdatasync}). */
  void sync() throws IOException;

  /** Puts another content in the place of the whole file at once, durable but for the name; see {@link #syncName}. */
  void replace(ByteBuffer content) throws IOException;

  /** Makes the file's entry in its directory durable. */
  void syncName() throws IOException;

  @Override
  void close() throws IOException;
}
