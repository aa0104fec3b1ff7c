package io.gantry.checkpoint;

import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StoppedTree;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;

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

  /** Kills all of them and removes what belongs to them. */
  void destroy();
}
