package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import io.gantry.checkpoint.resource.SocketFiles;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.StubTree;
import java.nio.file.Path;
import java.time.Duration;

/** Among the host's own processes, where a tree gets back the ids it had. One restore uses it. */
final class HostSite implements ArrivalSite {
  private static final Duration HAND_OVER_MAX = Duration.ofSeconds(10);

  private final int root;
  private final Path directory;
  private final Cgroup cgroup;

  /** @param root id that the first process had; @param directory of the images, where nothing is written */
  HostSite(int root, String group, Path directory) {
    this.root = root;
    this.directory = directory;
    this.cgroup = Cgroup.create(group + "/restore-" + root);
  }

  @Override
  public String name() {
    return "process " + root;
  }

  @Override
  public StubTree begin(Offsets clocks, boolean network) {
    if (network) {
      throw new CheckpointException("the image has a network namespace of its own and no pid namespace, which nothing that was saved here has");
    }
    ContainerClocks.requireNotBehind(name(), clocks);
    return StubTree.beginInHostNamespaces(root, cgroup.path());
  }

  @Override
  public Path cgroup() {
    return cgroup.path();
  }

  @Override
  public Path directory() {
    return directory;
  }

  /** Beside the host's other state of the moment, because images may be read-only. */
  @Override
  public Path socketFiles() {
    return Path.of("/run/gantry-restore-" + root + "." + SocketFiles.LIST);
  }

  @Override
  public boolean hasOwnNames() {
    return false;
  }

  /** The tree runs: from here on it belongs to the cgroup of whoever restored it, and ours goes. */
  void handOver() {
    var own = Cgroup.ofThisProcess();
    long end = System.nanoTime() + HAND_OVER_MAX.toNanos();
    // A child that is born meanwhile is in its parent's group of that moment, so look until none is left.
    for (var left = cgroup.processes(); !left.isEmpty() && System.nanoTime() < end; left = cgroup.processes()) {
      left.forEach(pid -> move(pid, own));
    }
    cgroup.awaitEmpty(HAND_OVER_MAX);
    cgroup.remove();
  }

  private static void move(int pid, Cgroup to) {
    try {
      to.add(pid);
    } catch (KernelException ended) {
      if (ended.errno() != Errno.ESRCH) {
        throw ended;
      }
    }
  }

  @Override
  public void destroy() {
    ContainerTarget.destroy(cgroup.path());
  }
}
