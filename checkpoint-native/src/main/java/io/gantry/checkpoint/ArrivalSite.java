package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import io.gantry.checkpoint.resource.SocketFiles;
import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StubTree;
import java.nio.file.Path;
import java.util.OptionalInt;

/** Where a copy is built: in namespaces of its own, or among the host's processes. */
interface ArrivalSite {
  /** For people and for the handle. */
  String name();

  /**
   * Makes the first stub; on the tracer thread.
   *
   * @param clocks offsets with which the copy's clocks go on
   * @param network whether the copy has a network namespace of its own
   */
  StubTree begin(Offsets clocks, boolean network);

  /** Directory of the container in the cgroup v2 hierarchy; exists once {@link #begin} was called. */
  Path cgroup();

  /** The freezer of that directory. */
  default Freezer freezer() {
    return new Freezer(cgroup());
  }

  /** The host's own directory for the container. */
  Path directory();

  /** Where to note which files of Unix sockets wait to be put in their places; see {@code SocketFiles}. */
  default Path socketFiles() {
    return directory().resolve(SocketFiles.LIST);
  }

  /** The console file. */
  default Path console() {
    return directory().resolve(Birth.CONSOLE);
  }

  /** Whether host and domain name belong to the container alone. */
  boolean hasOwnNames();

  /**
   * Whether {@link #begin} makes something of files that travel along, which must be in their place by then.
   *
   * @return the group of this host that it and the stubs have, and so must get at them; empty when they are not needed
   */
  default OptionalInt beginsWithFilesAs() {
    return OptionalInt.empty();
  }

  /** Called once the copy runs. */
  default void activated() {}

  /** Removes whatever is left once the stubs are gone, or kills a held copy. Idempotent. */
  void destroy();
}
