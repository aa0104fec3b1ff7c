package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import io.gantry.checkpoint.network.NetworkFence;
import io.gantry.checkpoint.oci.OciBundle;
import io.gantry.checkpoint.oci.OciContainer;
import io.gantry.checkpoint.oci.OciLife;
import io.gantry.checkpoint.oci.OciOffer;
import io.gantry.checkpoint.oci.OciPaths;
import io.gantry.checkpoint.tracee.StubTree;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;

/** A container that the runtime of this host makes, in which the copy is built. One arrival uses it. */
final class OciSite implements ArrivalSite {
  private final String name;
  private final String cgroupName;
  private final Path directory;
  private final OciOffer offer;
  private final OciContainer container;
  private final OciPaths paths;
  private Optional<Path> cgroup = Optional.empty();

  OciSite(String name, String cgroupName, Path directory, OciOffer offer, OciPaths paths, Optional<Path> stateRoot) {
    this.name = name;
    this.cgroupName = cgroupName;
    this.directory = directory;
    this.offer = offer;
    this.paths = paths;
    this.container = new OciContainer(offer.origin(), stateRoot, false);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public OptionalInt beginsWithFilesAs() {
    return OptionalInt.of(offer.rootGroup());
  }

  @Override
  public StubTree begin(Offsets clocks, boolean network) {
    var bundle = OciBundle.read(Path.of(offer.origin().bundle()));
    if (!bundle.digest().equals(offer.origin().digest())) {
      throw new CheckpointException(
          offer.origin().bundle() + "/config.json was changed while the container " + name
              + " was about to move; put the old one back");
    }
    // Only then can there be devices before anybody can cut them off.
    boolean fenced = network && bundle.earlyHooks() && bundle.makes("network");
    var ownClocks = ContainerClocks.ofNamespace(name, clocks);
    // Nobody else's may be deleted when this comes to nothing.
    OciLife.requireFree(container);
    container.remember(directory);
    var tree = OciLife.arrive(offer, container, paths, directory, ownClocks, fenced ? NetworkFence::put : pid -> {});
    try {
      requireNetwork(tree.root().pid(), network);
      if (network) {
        NetworkFence.exchangeForCut(tree.root().pid(), fenced);
      }
      cgroup = Optional.of(OciLife.cgroupOf(tree.root().pid(), cgroupName));
      return tree;
    } catch (RuntimeException failed) {
      tree.close();
      throw failed;
    }
  }

  private void requireNetwork(int pid, boolean network) {
    if (NetworkThread.isElsewhere(pid) != network) {
      throw new CheckpointException(
          network
              ? "the container " + name + " has a network of its own, and what its config.json joins here is the node's"
              : "the container " + name + " shares its node's network, and what its config.json joins here is another one");
    }
  }

  @Override
  public Path cgroup() {
    return cgroup.orElseThrow(() -> new IllegalStateException("the container " + name + " has not been made yet"));
  }

  @Override
  public Path directory() {
    return directory;
  }

  @Override
  public boolean hasOwnNames() {
    return OciBundle.read(Path.of(offer.origin().bundle())).makes("uts");
  }

  @Override
  public void activated() {
    container.runtime().knowStarted(offer.origin().id());
  }

  @Override
  public void destroy() {
    cgroup.ifPresent(ContainerTarget::destroyProcesses);
    // Only what begin has noted is this site's own.
    OciContainer.of(directory).ifPresent(
        made -> {
          made.runtime().delete(made.origin().id());
          OciContainer.forget(directory);
        });
    cgroup.ifPresent(ContainerTarget::destroy);
  }
}
