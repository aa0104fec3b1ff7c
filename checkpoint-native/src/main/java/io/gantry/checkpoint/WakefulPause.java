package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.CpuLatency;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Keeps this host's processors from sleeping while a container stands still: a pause is a chain of hand-overs between threads and processes, and each to a
 * processor that sleeps waits until that has woken up, which on a virtual machine takes the better part of what the hand-over takes. Does nothing where the host
 * does not offer it. Any thread.
 */
final class WakefulPause implements AutoCloseable {
  /** A pause that is longer than this waits for something else, such as a node that is gone. */
  private static final Duration LONGEST = Duration.ofSeconds(2);

  private final Optional<CpuLatency> request;

  private WakefulPause(Optional<CpuLatency> request) {
    this.request = request;
  }

  /** From now on until it is closed, but not longer than a pause should take. */
  static WakefulPause begin() {
    var pause = new WakefulPause(CpuLatency.request(0));
    pause.request.ifPresent(held -> CompletableFuture.delayedExecutor(LONGEST.toMillis(), TimeUnit.MILLISECONDS).execute(held::close));
    return pause;
  }

  /** Idempotent. */
  @Override
  public void close() {
    request.ifPresent(CpuLatency::close);
  }
}
