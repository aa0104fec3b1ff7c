package io.gantry.checkpoint;

import io.gantry.checkpoint.oci.OciContainer;
import io.gantry.checkpoint.oci.OciLimits;
import io.gantry.checkpoint.oci.OciObstacles;
import io.gantry.checkpoint.oci.OciOrigin;
import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StoppedTree;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;

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
  public Optional<Path> directory() {
    return Optional.of(container.directory());
  }

  @Override
  public Optional<OciOrigin> origin() {
    return OciContainer.of(container.directory()).map(OciContainer::origin);
  }

  @Override
  public String limits() {
    return OciContainer.of(container.directory()).map(OciLimits::of).orElse("");
  }

  @Override
  public Map<Integer, Finding> outsiders() {
    return origin().isPresent() ? OciObstacles.outsiders(processes(), container.initPid()) : Map.of();
  }

  @Override
  public void destroy() {
    destroyProcesses(container.cgroup());
    Birth.reap(container);
    // Before the cgroup goes, which may be the runtime's, who removes it as well.
    OciContainer.of(container.directory()).ifPresent(made -> made.runtime().delete(made.origin().id()));
    destroy(container.cgroup());
    OciContainer.forget(container.directory());
  }

  /** Kills everything in a cgroup, frozen or not, and waits for its end. Nothing happens when it does not exist. */
  static void destroyProcesses(Path directory) {
    var cgroup = new Cgroup(directory);
    if (cgroup.exists()) {
      cgroup.kill();
      cgroup.awaitEmpty(END_MAX);
    }
  }

  /** Kills everything in a cgroup, frozen or not, waits for its end, and removes the cgroup. Nothing happens when it does not exist. */
  static void destroy(Path directory) {
    destroyProcesses(directory);
    new Cgroup(directory).remove();
  }
}
