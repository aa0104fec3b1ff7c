package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.StubTree;
import java.nio.file.Path;

/** A container's own namespaces and cgroup, in which its copy is built. One arrival uses it. */
final class ContainerSite implements ArrivalSite {
  private final String name;
  private final Path directory;
  private final Cgroup cgroup;

  /** Creates the cgroup. */
  ContainerSite(String name, String cgroupName, Path directory) {
    this.name = name;
    this.directory = directory;
    this.cgroup = Cgroup.create(cgroupName);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public StubTree begin(Offsets clocks, boolean network) {
    return StubTree.begin(name, cgroup.path(), directory, ContainerClocks.ofNamespace(name, clocks), network);
  }

  @Override
  public Path cgroup() {
    return cgroup.path();
  }

  @Override
  public Path directory() {
    return directory;
  }

  @Override
  public boolean hasOwnNames() {
    return true;
  }

  @Override
  public void destroy() {
    ContainerTarget.destroy(cgroup.path());
  }
}
