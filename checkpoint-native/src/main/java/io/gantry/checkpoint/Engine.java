package io.gantry.checkpoint;

import io.gantry.checkpoint.procfs.ContainerProcesses;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Everything that happens to processes on one host. All calls block and may be made from any thread; sessions say for themselves
 * which thread may use them. Errors are {@link CheckpointException}s whose message is a sentence.
 */
public interface Engine extends AutoCloseable {
  /** CPU, kernel and rights of this host; probes are made once, {@code memoryAvailableBytes} is read each time. */
  HostFacts hostFacts();

  /** Creates namespaces, cgroup, console file and the process, which runs when this returns. */
  ContainerHandle create(ContainerSpec spec);

  /** Looks whether the container still lives: the init process with that start time exists and is no zombie. */
  boolean isAlive(ContainerHandle container);

  /** What the container has and what speaks against carrying it. Does not stop it. */
  Footprint inspect(ContainerHandle container);

  /** Kills every process of the container, frozen or not, and removes cgroup and mounts. Idempotent. */
  void destroy(ContainerHandle container);

  /** Freezes through the cgroup freezer, which outlives the agent; returns when the kernel says so. */
  void freeze(ContainerHandle container);

  /** Undoes {@link #freeze}. Idempotent. */
  void thaw(ContainerHandle container);

  /** Begins to capture: write tracking starts, the container runs on. Throws {@link RefusedException} before it is touched. */
  Capture capture(ContainerHandle container, CaptureOptions options);

  /**
   * Everything that speaks against taking this container in: ids, paths, memory, CPU, kernel, files, ports. Empty when it may
   * come.
   */
  List<Finding> preflight(String name, Footprint footprint);

  /** Compares a host that a container would come from with this one, point by point; those that refuse are among {@link #preflight}'s findings. */
  List<HostDifference> compare(HostFacts source);

  /** Prepares to take a container in. {@code directory} exists and is this host's own directory for it. */
  Arrival receive(String name, Path directory);

  /** The same, knowing what comes: a container that a runtime has made is made by this host's. */
  default Arrival receive(String name, Path directory, Footprint footprint) {
    return receive(name, directory);
  }

  /** Exit status of a container's init process, when it has ended and this engine was its parent. */
  Optional<Integer> exitStatus(ContainerHandle container);

  /**
   * Removes what an agent that died has left of a container it was giving birth to, or taking in, under this name: processes
   * in its cgroup, running or frozen, the cgroup,
   * mounts. The caller knows from its ledger that no such container is owned or held here. Idempotent.
   */
  default void removeLeftovers(String name, Path directory) {
    try (var arrival = receive(name, directory)) {
      arrival.discard();
    }
  }

  /** The live processes of a container with their figures; does not stop them. */
  default List<ProcessFacts> processes(ContainerHandle container) {
    return ContainerProcesses.read(container);
  }

  @Override
  void close();
}
