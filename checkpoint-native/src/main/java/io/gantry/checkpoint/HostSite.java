package io.gantry.checkpoint;

import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.StubTree;
import java.nio.file.Path;

/** Among the host's own processes, where a tree gets back the ids it had. One restore uses it. */
final class HostSite implements ArrivalSite {
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
  public StubTree begin() {
    return StubTree.beginInHostNamespaces(root, cgroup.path());
  }

  @Override
  public Path cgroup() {
    return cgroup.path();
  }

  @Override
  public Freezer freezer() {
    return new Freezer(cgroup.path());
  }

  @Override
  public Path directory() {
    return directory;
  }

  @Override
  public Path console() {
    return directory.resolve("console.log");
  }

  @Override
  public boolean hasOwnNames() {
    return false;
  }

  /** The tree runs: from here on it belongs to the cgroup of whoever restored it, and ours goes. */
  void handOver() {
    var own = Cgroup.ofThisProcess();
    cgroup.processes().forEach(own::add);
    cgroup.remove();
  }

  @Override
  public void destroy() {
    ContainerTarget.destroy(cgroup.path());
  }
}
