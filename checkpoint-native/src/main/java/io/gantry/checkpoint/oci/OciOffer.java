package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.haul.TreeDigests;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.IdMap;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.user.UserNamespaces;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What a destination is told of a container that a runtime has made.
 *
 * @param mounts those that it has, to be compared with what the destination's runtime makes
 * @param limits that it has now, see {@link OciLimits}; empty when they are not known
 * @param users which users of the host its users are, as {@code /proc/PID/uid_map} has it; empty when it is in the user namespace of
 *     the source's agent
 * @param groups the same of groups
 * @param binds its bind mounts, for a destination that does not have the bundle yet
 * @param network absolute path of the network namespace that it joins; empty when there is none
 * @param root absolute path of its root file system on the host; empty when it is not known
 * @param hidden see {@link OciBundle#hidden}
 */
public record OciOffer(
    OciOrigin origin,
    List<String> mounts,
    String limits,
    String users,
    String groups,
    List<Bind> binds,
    String network,
    String root,
    List<String> hidden) {
  /**
   * A bind mount.
   *
   * @param source absolute path on the host
   * @param destination absolute path in the container
   */
  public record Bind(String source, String destination) {}

  public OciOffer {
    mounts = List.copyOf(mounts);
    // Hosts of older versions do not send any.
    limits = limits == null ? "" : limits;
    users = Objects.requireNonNullElse(users, "");
    groups = Objects.requireNonNullElse(groups, "");
    binds = binds == null ? List.of() : List.copyOf(binds);
    network = network == null ? "" : network;
    root = root == null ? "" : root;
    hidden = hidden == null ? List.of() : List.copyOf(hidden);
  }

  /**
   * @param root the container's first process, as the host counts
   * @param pids all of its processes
   * @return empty when it has ended
   * @throws CheckpointException when its bundle cannot be read
   */
  public static Optional<OciOffer> of(OciOrigin origin, int root, List<Integer> pids, String limits) {
    try {
      var ids = UserNamespaces.mapsOf(root, pids);
      var bundle = OciBundle.read(Path.of(origin.bundle()));
      var binds = binds(bundle);
      return Optional.of(
          new OciOffer(
              origin,
              comparable(root, binds),
              limits,
              text(ids.users()),
              text(ids.groups()),
              binds,
              bundle.networkPath().map(Path::toString).orElse(""),
              bundle.root().toString(),
              bundle.hidden().stream().sorted().toList()));
    } catch (NoSuchFileException | KernelException ended) {
      return Optional.empty();
    }
  }

  private static String text(IdMap map) {
    return map.equals(IdMap.IDENTITY) ? "" : map.text();
  }

  /** @throws CheckpointException when the runtime here has made a user namespace in which ids mean something else */
  void requireSameIds(int root) {
    IdMaps here;
    try {
      here = IdMaps.of(root);
    } catch (NoSuchFileException ended) {
      throw new CheckpointException("the first process of " + origin.id() + " has ended while it was being made", ended);
    }
    if (!text(here.users()).equals(users) || !text(here.groups()).equals(groups)) {
      throw new CheckpointException(
          "%s maps other ids here than the container %s has: there %s, here %s; equal uidMappings and gidMappings would help"
              .formatted(origin.runtime(), origin.id(), inWords(users, groups), inWords(text(here.users()), text(here.groups()))));
    }
  }

  private static String inWords(String users, String groups) {
    return "users " + inWords(users) + " and groups " + inWords(groups);
  }

  private static String inWords(String map) {
    return map.isEmpty() ? "as the host has them" : "[" + map.strip().replace("\n", ", ") + "]";
  }

  /** Which group of the host the container's group 0 is. */
  public int rootGroup() {
    return groups.isEmpty() ? 0 : IdMap.parse(groups).outside(0).orElse(0);
  }

  /** As {@link OciBundle#trees}. */
  List<Path> trees() {
    var bundle = Path.of(origin.bundle());
    return root.isEmpty() ? List.of(bundle) : List.of(bundle, Path.of(root));
  }

  /**
   * What tells the root file system that this host has there from others; only when nothing of it changes.
   *
   * @throws CheckpointException when it cannot be read
   */
  public String digestHere(TreeDigests digests) {
    return digests.of(Path.of(root), Set.copyOf(hidden));
  }

  static List<Bind> binds(OciBundle bundle) {
    return bundle.mounts().stream()
        .filter(OciBundle.Mount::isBind)
        .map(mount -> new Bind(mount.source(), mount.destination()))
        .toList();
  }

  private static List<String> comparable(int root, List<Bind> binds) throws NoSuchFileException {
    return MountTable.of(root).comparable(binds.stream().map(Bind::destination).collect(Collectors.toSet()));
  }

  /** @throws CheckpointException when the runtime here has mounted something else */
  void requireSameMounts(int root) {
    List<String> here;
    try {
      here = comparable(root, binds);
    } catch (NoSuchFileException ended) {
      throw new CheckpointException("the first process of " + origin.id() + " has ended while it was being made", ended);
    }
    var missing = mounts.stream().filter(mount -> !here.contains(mount)).toList();
    var other = here.stream().filter(mount -> !mounts.contains(mount)).toList();
    if (!missing.isEmpty() || !other.isEmpty()) {
      throw new CheckpointException(
          "%s mounts other things here than the container %s has: it has %s, and here there would be %s; equal versions of the runtime and equal hosts would help"
              .formatted(origin.runtime(), origin.id(), missing, other));
    }
  }
}
