package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.OciSpec;
import io.gantry.checkpoint.RefusedException;
import io.gantry.checkpoint.VolumeFacts;
import io.gantry.checkpoint.haul.TreeDigests;
import io.gantry.checkpoint.haul.Volumes;
import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.StubTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntConsumer;
import java.util.stream.Stream;

/** How a container of a runtime begins: its own program, a copy that arrives, or taken up as it runs. Any thread, unless a method says otherwise. */
public final class OciLife {
  private static final Duration TRACER_MAX = Duration.ofSeconds(60);

  private OciLife() {}

  /**
   * A container that runs.
   *
   * @param initPid its first process, as the host counts
   * @param cgroup its directory in the cgroup v2 hierarchy
   */
  public record Begun(OciContainer container, int initPid, Path cgroup) {}

  /**
   * Creates a container and starts its program.
   *
   * @param console file that gets the program's output
   * @param group group and name of the cgroup that is made when the runtime makes none of its own in the v2 hierarchy
   * @param network makes and connects the network of the process with this id before the program starts, when it is to have one from here
   */
  public static Begun run(OciSpec spec, Optional<Path> stateRoot, Path directory, Path console, String group, Optional<IntConsumer> network) {
    var runtime = OciRuntime.find(spec.runtime(), stateRoot);
    var bundle = OciBundle.read(Path.of(spec.bundle()));
    require(OciObstacles.ofNamespaces(bundle));
    if (network.isPresent() && !bundle.makes("network")) {
      throw new CheckpointException(
          "%s/config.json asks for no network namespace of its own, which --network needs; add {\"type\":\"network\"} to its namespaces"
              .formatted(spec.bundle()));
    }
    requireFree(runtime, spec.id());
    var origin = new OciOrigin(spec.runtime(), spec.id(), spec.bundle(), bundle.digest());
    var container = new OciContainer(origin, stateRoot, false);
    container.remember(directory);
    try (var creation = new OciCreation(runtime, origin, bundle.directory(), directory, console, pid -> {});
        var runner = new TracerThread("runtime of " + spec.id())) {
      int status = runner.call(() -> StubTree.runRuntime(creation, OciRuntime.COMMAND_MAX), TRACER_MAX);
      if (status != 0) {
        throw new CheckpointException(creation.failure(status));
      }
      var begun = new Begun(container, creation.initPid(), cgroupOf(creation.initPid(), group));
      network.ifPresent(make -> make.accept(begun.initPid()));
      runtime.start(spec.id());
      return begun;
    } catch (RuntimeException failed) {
      undo(container, directory, failed);
      throw failed;
    }
  }

  private static void undo(OciContainer container, Path directory, RuntimeException failed) {
    try {
      container.runtime().delete(container.origin().id());
      OciContainer.forget(directory);
    } catch (RuntimeException second) {
      failed.addSuppressed(second);
    }
  }

  private static void require(List<Finding> findings) {
    if (!findings.isEmpty()) {
      throw new RefusedException(findings);
    }
  }

  /** @throws CheckpointException when the runtime knows another container of this id */
  public static void requireFree(OciContainer container) {
    requireFree(container.runtime(), container.origin().id());
  }

  private static void requireFree(OciRuntime runtime, String id) {
    if (runtime.state(id).isPresent()) {
      throw new CheckpointException("%s has a container %s already; choose another id, or adopt it".formatted(runtime.name(), id));
    }
  }

  /** Takes up a container that runs already; does not touch its processes. */
  public static Begun adopt(OciSpec spec, Optional<Path> stateRoot, Path directory, String group) {
    var runtime = OciRuntime.find(spec.runtime(), stateRoot);
    var state = runtime.state(spec.id()).orElseThrow(
        () -> new CheckpointException("%s has no container %s (looked in %s)".formatted(runtime.name(), spec.id(), runtime.stateOf(spec.id()))));
    if (!state.status().equals("running")) {
      throw new CheckpointException("the container %s is %s; only one that runs can be adopted".formatted(spec.id(), state.status()));
    }
    var bundle = OciBundle.read(state.bundle());
    var origin = new OciOrigin(spec.runtime(), spec.id(), state.bundle().toString(), bundle.digest());
    var container = new OciContainer(origin, stateRoot, true);
    var begun = new Begun(container, state.pid(), cgroupOf(state.pid(), group));
    container.remember(directory);
    return begun;
  }

  /**
   * Lets the runtime make the container that an offer tells of, with a stub as its first process. On a tracer thread.
   *
   * @param paths where what its bundle mounts is here
   * @param clocks offsets of a time namespace of its own, if it is to have one
   * @param newborn told of the container's first process before any hook of the bundle runs
   */
  public static StubTree arrive(
      OciOffer offer, OciContainer container, OciPaths paths, Path directory, Optional<Offsets> clocks, IntConsumer newborn) {
    var output = directory.resolve("runtime.output");
    var bundle = OciBundle.read(Path.of(offer.origin().bundle())).forRuntime(directory.resolve("bundle"), paths::here);
    try (var creation = new OciCreation(container.runtime(), offer.origin(), bundle, directory, output, newborn)) {
      var tree = StubTree.beginInRuntime(creation, clocks, OciRuntime.COMMAND_MAX);
      try {
        offer.requireSameIds(tree.root().pid());
        offer.requireSameMounts(tree.root().pid());
        OciLimits.apply(container.runtime(), offer.origin().id(), offer.limits(), directory);
        return tree;
      } catch (RuntimeException failed) {
        tree.close();
        throw failed;
      }
    } finally {
      try {
        Files.deleteIfExists(output);
      } catch (IOException left) {
        // It goes with the directory.
      }
    }
  }

  /**
   * What speaks against making the container here.
   *
   * @param coming directories whose files will be there when they are needed
   * @param paths where what its bundle mounts is here
   */
  public static List<Finding> preflight(OciOffer offer, Optional<Path> stateRoot, List<Path> coming, OciPaths paths) {
    var origin = offer.origin();
    var findings = new ArrayList<Finding>();
    try {
      var runtime = OciRuntime.find(origin.runtime(), stateRoot);
      if (runtime.state(origin.id()).isPresent()) {
        findings.add(new Finding(0, -1, "runtime", "%s has a container %s on this host already; delete it first".formatted(origin.runtime(), origin.id())));
      }
    } catch (CheckpointException missing) {
      findings.add(new Finding(0, -1, "runtime", missing.getMessage()));
    }
    if (isComing(Path.of(origin.bundle()), coming)) {
      findings.addAll(missing(offer.binds(), coming, paths));
      findings.addAll(OciNetwork.preflight(Optional.of(offer.network()).filter(path -> !path.isEmpty()).map(Path::of)));
      findings.addAll(ofUsers(!offer.users().isEmpty()));
      return findings;
    }
    try {
      var bundle = OciBundle.read(Path.of(origin.bundle()));
      if (!bundle.digest().equals(origin.digest())) {
        findings.add(new Finding(0, -1, "bundle", "the bundle's " + origin.bundle() + "/config.json is another one here; copy it from the source"));
      }
      if (!Files.isDirectory(bundle.root()) && !isComing(bundle.root(), coming)) {
        findings.add(new Finding(0, -1, "bundle", "the bundle's root file system " + bundle.root() + " is not on this host"));
      }
      findings.addAll(missing(OciOffer.binds(bundle), coming, paths));
      findings.addAll(OciNetwork.preflight(bundle.networkPath()));
      findings.addAll(ofUsers(bundle.makes("user")));
    } catch (CheckpointException missing) {
      findings.add(new Finding(0, -1, "bundle", missing.getMessage()));
    }
    return findings;
  }

  private static List<Finding> ofUsers(boolean has) {
    return has && !mayMakeUserNamespaces()
        ? List.of(
            new Finding(
                0,
                -1,
                "user namespace",
                "this host makes no user namespaces (/proc/sys/user/max_user_namespaces is 0 or missing), and the container"
                    + " has one"))
        : List.of();
  }

  private static boolean mayMakeUserNamespaces() {
    try {
      return !ProcText.read("/proc/sys/user/max_user_namespaces").strip().equals("0");
    } catch (NoSuchFileException none) {
      return false;
    }
  }

  private static boolean isComing(Path path, List<Path> coming) {
    return coming.stream().anyMatch(path::startsWith);
  }

  private static List<Finding> missing(List<OciOffer.Bind> binds, List<Path> coming, OciPaths paths) {
    var findings = new ArrayList<Finding>();
    for (var bind : binds) {
      var source = Path.of(bind.source());
      var here = paths.here(source);
      if (!Files.exists(here) && !isComing(here, coming)) {
        findings.add(
            new Finding(
                0,
                -1,
                "bind mount",
                "%s, which the container has at %s, is not on this host%s"
                    .formatted(
                        source, bind.destination(), here.equals(source) ? "" : ", where gantry.path-map makes it " + here)));
      }
    }
    return findings;
  }

  /**
   * Of the directories with the files of a container's bundle, what is to be said to a destination; empty for one that is not
   * there, which is an obstacle of its own.
   *
   * @param directory the host's own for the container
   * @param volumes what belongs to the container beside its bundle
   * @param files of the container that are open or mapped, by their names on the host
   */
  public static List<VolumeFacts> trees(
      OciOrigin origin, Path directory, List<Path> volumes, List<Footprint.FileFact> files, TreeDigests digests) {
    var bundle = OciBundle.read(Path.of(origin.bundle()));
    var trees = bundle.trees();
    // One that the container writes to, although it has none of it mounted, is its output.
    boolean constant =
        bundle.isConstant()
            && files.stream()
                .filter(file -> file.sizeBytes() < 0)
                .noneMatch(file -> trees.stream().anyMatch(Path.of(file.path())::startsWith));
    var found = new ArrayList<VolumeFacts>();
    for (var tree : trees) {
      if (Files.isDirectory(tree) && volumes.stream().noneMatch(tree::startsWith)) {
        var facts = Volumes.facts(tree);
        var digest = constant && bundle.root().startsWith(tree) ? digest(bundle, facts, digests) : "";
        var obstacle =
            overlay(bundle)
                .or(() -> constant ? Optional.empty() : shared(directory, trees))
                .or(() -> Volumes.obstacle(trees, tree));
        found.add(facts.ofBundle(obstacle.orElse(""), digest));
      }
    }
    return found;
  }

  private static Optional<String> shared(Path directory, List<Path> trees) {
    return OciContainer.sharing(directory, trees)
        .map(id -> "the container %s is made from it, too, and would lose it".formatted(id));
  }

  /** What lies where other hosts may see it too is not read for nothing. */
  private static String digest(OciBundle bundle, VolumeFacts tree, TreeDigests digests) {
    try {
      return Volumes.mayBeShared(tree) ? VolumeFacts.UNREAD : digests.of(bundle.root(), bundle.hidden());
    } catch (CheckpointException notInTime) {
      // The destination may not need it, and says so when it does.
      return VolumeFacts.UNREAD;
    }
  }

  /**
   * Nothing may be changed below a mounted overlay (Documentation/filesystems/overlayfs.rst), which is what passes behind the
   * first would do.
   */
  private static Optional<String> overlay(OciBundle bundle) {
    try {
      return MountTable.of((int) ProcessHandle.current().pid()).rows().stream()
          .filter(row -> row.point().equals(bundle.root().toString()) && row.type().equals("overlay"))
          .map(row -> "its root file system %s is an overlay; unpack it into a plain directory".formatted(row.point()))
          .findFirst();
    } catch (NoSuchFileException unmounted) {
      throw new IllegalStateException("there is no /proc", unmounted);
    }
  }

  /** What speaks against volumes of a container that is made from a bundle: a sentence, or nothing. */
  public static Optional<String> obstacle(Path directory, List<Path> volumes) {
    if (volumes.isEmpty()) {
      return Optional.empty();
    }
    var bundle = OciBundle.read(directory);
    for (var volume : volumes) {
      if (bundle.trees().stream().anyMatch(volume::startsWith)) {
        return Optional.of(
            "the volume %s lies in the bundle, whose files travel with the container anyway; leave it out".formatted(volume));
      }
      if (Stream.concat(bundle.sources().stream(), bundle.trees().stream()).noneMatch(path -> path.startsWith(volume))) {
        return Optional.of(
            "no bind mount in %s/config.json has its source in the volume %s; add one, or leave it out"
                .formatted(directory, volume));
      }
    }
    return Optional.empty();
  }

  /** Whether the container's network namespace is one that somebody else has made and that outlives it. */
  public static boolean networkOutlives(OciOrigin origin) {
    try {
      return OciBundle.read(Path.of(origin.bundle())).networkPath().isPresent();
    } catch (CheckpointException unreadable) {
      // What is then done for nothing does no harm.
      return true;
    }
  }

  /** The same files by their names on the host, as far as they are not on file systems that are made for the container alone. */
  public static Optional<Path> onHost(OciOrigin origin, String path) {
    return OciBundle.read(Path.of(origin.bundle())).onHost(path);
  }

  /**
   * The directory of the cgroup v2 hierarchy that has the container and nothing else: the runtime's own, where it has made one, which is also where it puts
   * whom it {@code exec}s; else a new one of this group and name.
   */
  public static Path cgroupOf(int initPid, String group) {
    try {
      var text = ProcText.read("/proc/" + initPid + "/cgroup");
      String own = text.lines().filter(line -> line.startsWith("0::")).findFirst().orElse("0::/").substring(4);
      var cgroup = new Cgroup(Cgroup.mountPoint().resolve(own));
      var namespace = Files.readSymbolicLink(Path.of("/proc/" + initPid + "/ns/pid"));
      if (!own.isEmpty() && !cgroup.path().equals(Cgroup.ofThisProcess().path()) && hasOnly(cgroup, namespace)) {
        return cgroup.path();
      }
      var made = Cgroup.create(group);
      made.add(initPid);
      descendants(initPid).forEach(made::add);
      return made.path();
    } catch (IOException e) {
      throw new CheckpointException("looking for the cgroup of process " + initPid + ": " + e, e);
    }
  }

  private static boolean hasOnly(Cgroup cgroup, Path namespace) throws IOException {
    for (int pid : cgroup.processes()) {
      try {
        if (!Files.readSymbolicLink(Path.of("/proc/" + pid + "/ns/pid")).equals(namespace)) {
          return false;
        }
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return true;
  }

  private static List<Integer> descendants(int pid) throws NoSuchFileException {
    var found = new ArrayList<Integer>();
    for (int other : ProcText.numbers("/proc")) {
      try {
        for (int up = TaskStatus.ofProcess(other).parent(); up > 1; up = TaskStatus.ofProcess(up).parent()) {
          if (up == pid) {
            found.add(other);
          }
        }
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return found;
  }
}
