package io.gantry.checkpoint;

import java.util.List;

/**
 * One container being recreated on the destination. {@link PageReceiver} calls come from one thread; {@link #complete()} is called
 * on that same thread or after it has ended. Stubs die with the agent until {@link #complete()} has handed them to the freezer.
 */
public interface Arrival extends PageReceiver, AutoCloseable {
  /** Files that have to be sent along, before anything else is. */
  default List<HaulWish> hauls() {
    return List.of();
  }

  /**
   * Recreates every kernel object, compares layout and digest, and leaves the copy frozen by the cgroup freezer and detached: HELD.
   *
   * @return what was built
   */
  Report complete();

  /** Lets the copy run. Only after OWNED was written. */
  void activate();

  /** Kills whatever was built. Idempotent; nothing stays behind. */
  void discard();

  /** Discards unless completed. A held copy stays held. */
  @Override
  void close();

  /** @param container how to find it again; @param digest as in {@link Capture.LastReport#digest()}; @param recreateNs time for kernel objects */
  record Report(ContainerHandle container, String digest, long recreateNs) {}
}
