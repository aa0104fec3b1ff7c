package io.gantry.checkpoint;

import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StoppedTree;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;

/** A container, known by its cgroup, as something to be captured. */
record ContainerTarget(ContainerHandle container) implements CaptureTarget {
  private static final Duration END_MAX = Duration.ofSeconds(10);

  @Override
  public String name() {
    return container.name();
  }

  @Override
  public Collection<Integer> processes() {
    return new Cgroup(container.cgroup()).processes();
  }

  @Override
  public StoppedTree stop(Duration limit) {
    return StoppedTree.stop(container.cgroup(), limit);
  }

  @Override
  public Freezer freezer() {
    return new Freezer(container.cgroup());
  }

  @Override
  public Path console() {
    return container.directory().resolve(Birth.CONSOLE);
  }

  @Override
  public void destroy() {
    destroy(container.cgroup());
    Birth.reap(container);
  }

  /** Kills everything in a cgroup, frozen or not, waits for its end, and removes the cgroup. Nothing happens when it does not exist. */
  static void destroy(Path directory) {
    var cgroup = new Cgroup(directory);
    if (cgroup.exists()) {
      cgroup.kill();
      cgroup.awaitEmpty(END_MAX);
      cgroup.remove();
    }
  }
}
