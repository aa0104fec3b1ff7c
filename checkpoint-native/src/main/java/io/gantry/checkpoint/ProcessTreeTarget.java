package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StoppedTree;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.Optional;

/** A process and all its descendants as something to be captured into images; nobody has put them into a cgroup of their own. */
record ProcessTreeTarget(int root) implements CaptureTarget {
  @Override
  public String name() {
    return "process " + root;
  }

  @Override
  public Collection<Integer> processes() {
    return StoppedTree.processesOf(root);
  }

  @Override
  public StoppedTree stop(Duration limit) {
    return StoppedTree.stop(root, limit);
  }

  @Override
  public Freezer freezer() {
    throw new IllegalStateException("a process tree outside of a container is not handed to a freezer");
  }

  @Override
  public Path console() {
    // What a container calls its console; other processes have no such file.
    return Path.of("/proc/" + root + "/root/run/gantry/console.log");
  }

  @Override
  public Optional<Path> directory() {
    return Optional.empty();
  }

  /** Children first, so that none is adopted by anybody meanwhile. */
  @Override
  public void destroy() {
    processes().stream().toList().reversed().forEach(pid -> Signals.kill(pid, Signals.SIGKILL));
  }
}
