package io.gantry.checkpoint.linux;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A request that no processor of this host goes into an idle state out of which it takes longer than some time ("CPU latency", power management quality
 * of service: {@code Documentation/admin-guide/pm/cpuidle.rst}, {@code kernel/power/qos.c}). It holds until it is closed, or this process ends; several hold
 * side by side, and the strictest counts. With 0 processors that have nothing to do spin. Any thread.
 */
public final class CpuLatency implements AutoCloseable {
  /** Held open for as long as the request is to hold. */
  public static final String DEVICE = "/dev/cpu_dma_latency";

  private final int fd;
  private final AtomicBoolean open = new AtomicBoolean(true);

  private CpuLatency(int fd) {
    this.fd = fd;
  }

  /**
   * Makes a request.
   *
   * @param microseconds 0 or more
   * @return empty when this host has no such device, or keeps it from this process
   */
  public static Optional<CpuLatency> request(int microseconds) {
    int fd;
    try {
      fd = Fd.open(DEVICE, Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    } catch (KernelException unavailable) {
      return Optional.empty();
    }
    try {
      Fd.write(fd, ByteBuffer.allocate(Integer.BYTES).order(ByteOrder.nativeOrder()).putInt(microseconds).array());
      return Optional.of(new CpuLatency(fd));
    } catch (KernelException refused) {
      Fd.close(fd);
      return Optional.empty();
    }
  }

  /** Idempotent. */
  @Override
  public void close() {
    if (open.getAndSet(false)) {
      Fd.close(fd);
    }
  }
}
