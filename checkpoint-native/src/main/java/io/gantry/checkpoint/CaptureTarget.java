package io.gantry.checkpoint;

import io.gantry.checkpoint.oci.OciLife;
import io.gantry.checkpoint.oci.OciOrigin;
import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StoppedTree;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.Map;
import java.util.Optional;

/** What is captured: the processes of a container's cgroup, or a process and its descendants. */
interface CaptureTarget {
  /** For people. */
  String name();

  /** Living processes as the host counts; asked again whenever it matters. */
  Collection<Integer> processes();

  /** Stops all of them; on the tracer thread. */
  StoppedTree stop(Duration limit);

  /** The freezer that takes over before the commit. */
  Freezer freezer();

  /** The console file that travels along; need not exist. */
  Path console();

  /** The host's own directory for what is captured; empty when it is no container. */
  Optional<Path> directory();

  /** How it was made, when a runtime has made it. */
  default Optional<OciOrigin> origin() {
    return Optional.empty();
  }

  /** The limits that it has now, when a runtime has made it and they are known; see {@link io.gantry.checkpoint.oci.OciLimits}. */
  default String limits() {
    return "";
  }

  /** Those of the {@link #processes} that descend from none of the others, with what speaks against them; asked before anything is captured. */
  default Map<Integer, Finding> outsiders() {
    return Map.of();
  }

  /** Kills all of them and removes what belongs to them. */
  void destroy();

  /** Whether the network namespace outlives the processes, because somebody else has made it. */
  default boolean networkOutlives() {
    return origin().filter(OciLife::networkOutlives).isPresent();
  }
}
