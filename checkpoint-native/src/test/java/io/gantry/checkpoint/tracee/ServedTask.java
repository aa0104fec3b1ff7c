package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.linux.KernelException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;

/**
 * A process of test workload {@code descriptors serve}, which runs the calls it finds in a shared file: a stub without
 * ptrace, which
 * can afterwards be asked whether its descriptors are what they should be.
 */
public final class ServedTask implements RemoteTask {
  /** As in {@code descriptors.c}. */
  public static final int AREA_BYTES = 1 << 20;

  private static final long BASE = 0x30000000L;
  private static final int TABLE_OFFSET = 4096;
  private static final int CALLS_MAX = 512;
  private static final int DATA_MAX = 128 << 10;
  private static final int RUN = 1;
  private static final int VERIFY = 2;
  private static final int DONE = 3;
  private static final long WAIT_MAX_NS = Duration.ofSeconds(10).toNanos();

  private final int pid;
  private final long address;
  private final MappedByteBuffer area;

  /** @param index which of the serving processes; @param pid its id as the host counts */
  public ServedTask(Path file, int index, int pid) {
    this.pid = pid;
    this.address = BASE + (long) index * AREA_BYTES + TABLE_OFFSET;
    try (var channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      this.area = channel.map(FileChannel.MapMode.READ_WRITE, (long) index * AREA_BYTES, AREA_BYTES);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    area.order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public int pid() {
    return pid;
  }

  @Override
  public int tid() {
    return pid;
  }

  @Override
  public CallBatch newBatch() {
    return new CallBatch(address, CALLS_MAX, DATA_MAX);
  }

  @Override
  public void run(CallBatch batch) {
    for (var call : batch.calls()) {
      int at = TABLE_OFFSET + call.index() * CallBatch.ENTRY_BYTES;
      area.putLong(at, call.number());
      area.putLong(at + CallBatch.FLAGS_OFFSET, call.links() | (call.required() ? CallBatch.FLAG_STOP_ON_ERROR : 0));
      for (int i = 0; i < 6; i++) {
        area.putLong(at + CallBatch.ARGUMENTS_OFFSET + 8 * i, call.arguments()[i]);
      }
    }
    area.put(TABLE_OFFSET + batch.dataOffset(), batch.data(), 0, batch.dataUsed());
    area.putInt(4, batch.size());
    request(RUN);
    for (var call : batch.calls()) {
      call.result(area.getLong(TABLE_OFFSET + call.index() * CallBatch.ENTRY_BYTES + CallBatch.RESULT_OFFSET));
      if (call.required() && call.result() < 0) {
        throw new KernelException(call.what(), (int) -call.result());
      }
    }
    area.get(TABLE_OFFSET + batch.dataOffset(), batch.data(), 0, batch.dataUsed());
  }

  /** Whether the process finds its descriptors as the workload opened them: 0, or the number of the source line that does not. */
  public long verify(String kind, String directory) {
    text(16, kind);
    text(48, directory);
    request(VERIFY);
    return area.getLong(8);
  }

  private void text(int at, String text) {
    area.put(at, ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)).array());
    area.put(at + text.length(), (byte) 0);
  }

  private void request(int state) {
    VarHandle.fullFence();
    area.putInt(0, state);
    long end = System.nanoTime() + WAIT_MAX_NS;
    while (area.getInt(0) != DONE) {
      if (System.nanoTime() > end) {
        throw new AssertionError("serving process " + pid + " does not answer");
      }
      LockSupport.parkNanos(20_000);
    }
    VarHandle.fullFence();
  }
}
