package io.gantry.simulation.host;

import io.gantry.actors.ledger.LedgerStorage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * The part of a host's disk that its ledger is on. What is written is seen by every later reader on this host at once, and
 * outlives its being switched off only when it was synced. One thread at a time.
 */
public final class StandInDisk {
  private final String host;
  private byte[] content = new byte[0];
  private int size;
  private byte[] durable = new byte[0];
  private int durableSize;
  private int changedFrom;
  private boolean isFull;
  private boolean isBroken;
  private int tornBytes = -1;

  StandInDisk(String host) {
    this.host = host;
  }

  /** From now on there is, or is not, room for another byte. */
  public void full(boolean now) {
    isFull = now;
  }

  /** From now on nothing can be written, cut or synced; what was written and not synced may or may not be there later. */
  public void broken(boolean now) {
    isBroken = now;
  }

  /** The next write stops after so many bytes and fails; then the disk is {@link #broken}. */
  public void tear(int bytes) {
    tornBytes = bytes;
  }

  /** There is room, and everything works again. */
  public void mend() {
    isFull = false;
    isBroken = false;
    tornBytes = -1;
  }

  /** The host is switched off: of what was not synced, only some first bytes are kept, and perhaps garbage after them. */
  public void switchedOff(SplittableRandom chance) {
    if (changedFrom >= durableSize && size > durableSize) {
      var kept = durableSize + chance.nextInt(size - durableSize + 1);
      if (chance.nextInt(3) == 0) {
        Arrays.fill(content, kept, size, (byte) 0);
        kept = size;
      }
      size = kept;
    } else if (chance.nextBoolean()) {
      content = durable.clone();
      size = durableSize;
    }
    synced();
    mend();
  }

  private void synced() {
    if (durable.length < size) {
      durable = new byte[content.length];
      changedFrom = 0;
    }
    if (changedFrom < size) {
      System.arraycopy(content, changedFrom, durable, changedFrom, size - changedFrom);
    }
    durableSize = size;
    changedFrom = size;
  }

  /** For one life of the host's agent. */
  public LedgerStorage storage(Life life, long syncNs) {
    return new Storage(life, syncNs);
  }

  private final class Storage implements LedgerStorage {
    private final Life life;
    private final long syncNs;

    Storage(Life life, long syncNs) {
      this.life = life;
      this.syncNs = syncNs;
    }

    private void check() throws IOException {
      if (life.isDead()) {
        throw new IOException("The agent of " + host + " is dead");
      }
      if (isBroken) {
        throw new IOException("Input/output error");
      }
    }

    @Override
    public String name() {
      return "of " + host;
    }

    @Override
    public byte[] open() {
      return Arrays.copyOf(content, size);
    }

    @Override
    public void write(long position, ByteBuffer bytes) throws IOException {
      check();
      var from = (int) position;
      var length = bytes.remaining();
      if (isFull) {
        throw new IOException("No space left on device");
      }
      if (tornBytes >= 0) {
        isBroken = true;
        length = Math.min(length, tornBytes);
        tornBytes = -1;
      }
      if (content.length < from + length) {
        content = Arrays.copyOf(content, Math.max(1024, 2 * (from + length)));
      }
      bytes.get(content, from, length);
      changedFrom = Math.min(changedFrom, from);
      size = Math.max(size, from + length);
      check();
    }

    @Override
    public void truncate(long wanted) throws IOException {
      check();
      size = (int) Math.min(size, wanted);
      changedFrom = Math.min(changedFrom, size);
    }

    @Override
    public void sync() throws IOException {
      check();
      life.before("disk.sync");
      check();
      synced();
      life.takes(syncNs);
      life.after("disk.sync");
    }

    @Override
    public void replace(ByteBuffer replacement) throws IOException {
      check();
      content = new byte[replacement.remaining()];
      size = content.length;
      replacement.get(content);
      durable = content.clone();
      durableSize = size;
      changedFrom = size;
    }

    @Override
    public void syncName() throws IOException {
      check();
    }

    @Override
    public void close() {}
  }
}
