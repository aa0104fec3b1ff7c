package io.gantry.checkpoint;

import io.gantry.checkpoint.resource.LockHandover;
import io.gantry.checkpoint.tracee.TracerThread;
import java.time.Duration;

/** Lets a held original run on, with everything it gave up for its copy. Any thread. */
final class RunningOn {
  private static final Duration STOP_MAX = Duration.ofSeconds(5);
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);
  private static final Duration TRACER_MAX = Duration.ofMinutes(1);

  /** For locks that the copy has until it is discarded. */
  private static final Duration LOCKS_MAX = Duration.ofSeconds(5);

  private RunningOn() {}

  /**
   * Does little to one that runs.
   *
   * @throws CheckpointException when somebody else has its locks by now; it stays frozen then, and can be asked again
   */
  static void thaw(CaptureTarget target, TracerThread tracer) {
    var handover = target.directory().map(LockHandover::new).filter(LockHandover::isPending);
    if (handover.isEmpty()) {
      target.freezer().thaw(FREEZER_MAX);
      return;
    }
    tracer.run(() -> takeBack(target, handover.get()), TRACER_MAX);
  }

  /** Frozen processes can be stopped, but run no call; so they are stopped first, and then nobody needs the freezer. */
  private static void takeBack(CaptureTarget target, LockHandover handover) {
    var tree = target.stop(STOP_MAX);
    try {
      target.freezer().thaw(FREEZER_MAX);
      handover.takeBack(tree, System.nanoTime() + LOCKS_MAX.toNanos());
    } catch (RuntimeException e) {
      tree.hold(target.freezer(), FREEZER_MAX);
      throw e;
    }
    handover.forget();
    tree.resume();
  }
}
