package io.gantry.checkpoint;

import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StubTree;
import java.nio.file.Path;

/** Where a copy is built: in namespaces of its own, or among the host's processes. */
interface ArrivalSite {
  /** For people and for the handle. */
  String name();

  /** Makes the first stub; on the tracer thread. */
  StubTree begin();

  /** Directory of the container in the cgroup v2 hierarchy; exists once {@link #begin} was called. */
  Path cgroup();

  Freezer freezer();

  /** The host's own directory for the container. */
  Path directory();

  /** The console file. */
  Path console();

  /** Whether host and domain name belong to the container alone. */
  boolean hasOwnNames();

  /** Removes whatever is left once the stubs are gone, or kills a held copy. Idempotent. */
  void destroy();
}
