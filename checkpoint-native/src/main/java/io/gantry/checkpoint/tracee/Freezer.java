package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import java.nio.file.Path;
import java.time.Duration;

/** The cgroup v2 freezer of one container. What it freezes stays frozen whatever happens to the agent. Any thread. */
public final class Freezer {
  private final Cgroup cgroup;

  /** @param cgroup absolute path of the container's directory in the cgroup v2 hierarchy */
  public Freezer(Path cgroup) {
    this.cgroup = new Cgroup(cgroup);
  }

  /** Freezes and returns when the kernel says that everything stands still. Idempotent. */
  public void freeze(Duration limit) {
    cgroup.write("cgroup.freeze", "1");
    if (!cgroup.event("frozen", 1, System.nanoTime() + limit.toNanos())) {
      throw new CheckpointException(
          "cgroup "
              + cgroup.path()
              + " is not frozen after "
              + limit.toMillis()
              + " ms: one of its processes "
              + cgroup.processes()
              + " sits in the kernel, waiting for a disk or a network file system");
    }
  }

  /** Lets everything in it go on. Idempotent. */
  public void thaw(Duration limit) {
    cgroup.write("cgroup.freeze", "0");
    if (!cgroup.event("frozen", 0, System.nanoTime() + limit.toNanos())) {
      throw new CheckpointException("cgroup " + cgroup.path() + " is still frozen after " + limit.toMillis() + " ms");
    }
  }

  /** Whether the kernel says that everything in it stands still. */
  public boolean isFrozen() {
    return cgroup.event("frozen", 1, System.nanoTime());
  }
}
