package io.gantry.checkpoint;

import io.gantry.checkpoint.haul.HaulArrival;
import io.gantry.checkpoint.haul.HaulMemory;
import io.gantry.checkpoint.haul.HaulNote;
import io.gantry.checkpoint.haul.StoragePolicy;
import io.gantry.checkpoint.haul.TreeDigests;
import io.gantry.checkpoint.haul.Volumes;
import io.gantry.checkpoint.host.HostComparison;
import io.gantry.checkpoint.image.ImageDirectoryReader;
import io.gantry.checkpoint.image.ImageDirectoryWriter;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.memory.HugePageNeeds;
import io.gantry.checkpoint.memory.UnsupportedMemory;
import io.gantry.checkpoint.oci.OciContainer;
import io.gantry.checkpoint.oci.OciLife;
import io.gantry.checkpoint.oci.OciObstacles;
import io.gantry.checkpoint.oci.OciOffer;
import io.gantry.checkpoint.oci.OciOrigin;
import io.gantry.checkpoint.oci.OciPaths;
import io.gantry.checkpoint.network.NetworkArrival;
import io.gantry.checkpoint.network.NetworkCapture;
import io.gantry.checkpoint.network.NetworkLinks;
import io.gantry.checkpoint.network.NetworkPolicy;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.resource.DescriptorArrival;
import io.gantry.checkpoint.resource.DescriptorSurvey;
import io.gantry.checkpoint.resource.SocketFiles;
import io.gantry.checkpoint.resource.TcpQuiet;
import io.gantry.checkpoint.shm.ContainerShm;
import io.gantry.checkpoint.state.StateSurvey;
import io.gantry.checkpoint.state.TreeReader;
import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.Freezer;
import io.gantry.checkpoint.tracee.TracerThread;
import io.gantry.checkpoint.user.UserNamespaces;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/** The engine on real processes. Any thread. */
public final class LiveEngine implements Engine {
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);

  private static final Duration GONE_MAX = Duration.ofSeconds(5);

  /** Between looks at a running container: each wait is four times as long as the one before, since what passes may come again. */
  private static final long SECOND_LOOK_NS = Duration.ofMillis(2).toNanos();

  private static final int LOOKS_MAX = 4;

  /** Left to the host beside what a container brings: a host that starts to swap has gained nothing. */
  private static final long MEMORY_MARGIN_BYTES = 64L << 20;

  private final String group;
  private final HostPolicy policy;
  private final Optional<Path> runtimeRoot;
  private final NetworkPolicy network;
  private final StoragePolicy storage;
  private final HaulMemory hauls;
  private final TreeDigests digests = new TreeDigests();
  private final HostProbe probe = new HostProbe();

  /**
   * @param group name of the cgroup below which this engine's containers live; two agents on one host need different ones
   */
  public LiveEngine(String group) {
    this(group, HostPolicy.DEFAULT, Optional.empty(), NetworkPolicy.DEFAULT, StoragePolicy.DEFAULT);
  }

  /**
   * @param group as above
   * @param policy how strictly hosts that containers come from are compared with this one
   * @param runtimeRoot where OCI runtimes keep their state; empty for each one's own choice
   * @param network how containers that have a network of their own are connected
   * @param storage which files are the same on every host
   */
  public LiveEngine(String group, HostPolicy policy, Optional<Path> runtimeRoot, NetworkPolicy network, StoragePolicy storage) {
    this.group = group;
    this.policy = policy;
    this.runtimeRoot = runtimeRoot;
    this.network = network;
    this.storage = storage;
    this.hauls = new HaulMemory(storage);
  }

  @Override
  public HostFacts hostFacts() {
    return probe.facts();
  }

  @Override
  public ContainerHandle create(ContainerSpec spec) {
    Volumes.obstacle(spec.volumes()).ifPresent(sentence -> {
      throw new CheckpointException(sentence);
    });
    spec.oci()
        .filter(oci -> !oci.adopt())
        .flatMap(oci -> OciLife.obstacle(Path.of(oci.bundle()), spec.volumes()))
        .ifPresent(sentence -> {
          throw new CheckpointException(sentence);
        });
    HaulNote.VOLUMES.write(spec.directory(), spec.volumes());
    return spec.oci().map(oci -> create(spec, oci)).orElseGet(() -> Birth.create(spec, group, pid -> NetworkArrival.bear(spec.name(), pid, spec.network().orElseThrow(), network)));
  }

  private ContainerHandle create(ContainerSpec spec, OciSpec oci) {
    var console = spec.directory().resolve(Birth.CONSOLE);
    String cgroup = group + "/" + spec.name();
    var begun =
        oci.adopt()
            ? OciLife.adopt(oci, runtimeRoot, spec.directory(), cgroup)
            : OciLife.run(
                oci,
                runtimeRoot,
                spec.directory(),
                console,
                cgroup,
                spec.network().map(wanted -> pid -> NetworkArrival.bear(spec.name(), pid, wanted, network)));
    return new ContainerHandle(spec.name(), begun.initPid(), Birth.startTicks(begun.initPid()), begun.cgroup(), spec.directory());
  }

  @Override
  public boolean isAlive(ContainerHandle container) {
    try {
      return io.gantry.checkpoint.procfs.TaskStat.ofProcess(container.initPid()).startTicks() == container.initStartTicks()
          && io.gantry.checkpoint.procfs.TaskStatus.ofProcess(container.initPid()).state() != 'Z';
    } catch (NoSuchFileException ended) {
      return false;
    }
  }

  @Override
  public Footprint inspect(ContainerHandle container) {
    var found = inspect(new ContainerTarget(container), hostFacts(), network);
    var volumes = HaulNote.VOLUMES.read(container.directory());
    var facts = new ArrayList<VolumeFacts>();
    try {
      found.oci()
          .map(offer -> OciLife.trees(offer.origin(), container.directory(), volumes, found.mappedFiles(), digests))
          .ifPresent(facts::addAll);
    } catch (CheckpointException unreadable) {
      return found.with(new Finding(container.initPid(), -1, "bundle", unreadable.getMessage()));
    }
    var obstacle = Volumes.obstacle(volumes);
    if (obstacle.isPresent()) {
      return found.with(new Finding(container.initPid(), -1, "volume", obstacle.get()));
    }
    volumes.stream().map(Volumes::facts).forEach(facts::add);
    return found.having(facts);
  }

  /**
   * All that a process and its descendants have, and whether and how each kind moves. Stops and changes nothing.
   *
   * @param pid the first process, as this host counts
   * @throws CheckpointException when there is no such process
   */
  public Holdings holdings(int pid) {
    return Holdings.of(pid, hostFacts(), network);
  }

  /**
   * The same of a container of this host.
   *
   * @param name its name
   * @param pid its first process, as this host counts
   * @param directory this host's own directory for it
   * @throws CheckpointException when its first process has ended
   */
  public Holdings holdings(String name, int pid, Path directory) {
    return Holdings.of(new ContainerHandle(name, pid, Birth.startTicks(pid), Cgroup.ofProcess(pid).path(), directory), hostFacts(), network);
  }

  /**
   * What a running container opens, closes and ends while it is looked at fits together only by chance, and a connection may wait to be accepted for
   * a moment only; so of obstacles only those count that every further look finds again.
   */
  static Footprint inspect(CaptureTarget target, HostFacts facts, NetworkPolicy network) {
    var found = look(target, facts, network);
    for (int looks = 1; looks < LOOKS_MAX && !found.findings().isEmpty(); looks++) {
      LockSupport.parkNanos(SECOND_LOOK_NS << 2 * (looks - 1));
      var before = found.findings();
      var next = look(target, facts, network);
      found = next.withFindings(next.findings().stream().filter(before::contains).toList());
    }
    return found;
  }

  private static Footprint look(CaptureTarget target, HostFacts facts, NetworkPolicy network) {
    var outsiders = target.outsiders();
    var processes = TreeReader.living(() -> target.processes().stream().filter(pid -> !outsiders.containsKey(pid)).toList());
    var pids = processes.stream().map(TreeReader.Placed::pid).toList();
    var origin = target.origin();
    var findings = new ArrayList<Finding>(StateSurvey.survey(pids, origin.isPresent()));
    origin.filter(_ -> !pids.isEmpty()).ifPresent(made -> findings.addAll(OciObstacles.of(made, pids.getFirst())));
    findings.addAll(outsiders.values());
    int threads = 0;
    long bytes = 0;
    long shared = 0;
    for (int pid : pids) {
      try {
        findings.addAll(UnsupportedMemory.of(pid));
        threads += ProcText.numbers("/proc/" + pid + "/task").size();
        var memory = ProcText.read("/proc/" + pid + "/smaps_rollup");
        bytes += bytes(memory, "Pss_Anon:");
        shared += bytes(memory, "Pss_Shmem:");
      } catch (NoSuchFileException | io.gantry.checkpoint.procfs.ProcessGoneException ended) {
        // It will not be moved, so it counts nothing.
      }
    }
    // Files there need not be mapped.
    long files = pids.isEmpty() ? 0 : ContainerShm.of(pids.getFirst()).map(ContainerShm::usedBytes).orElse(0L);
    bytes += Math.max(shared, files);
    var descriptors = DescriptorSurvey.survey(pids);
    findings.addAll(descriptors.findings());
    var bridges = new ArrayList<String>();
    if (!pids.isEmpty() && NetworkThread.isElsewhere(pids.getFirst())) {
      int root = pids.getFirst();
      NetworkCapture.obstacles(root, network).forEach(sentence -> findings.add(new Finding(root, -1, "network", sentence)));
      bridges.addAll(NetworkCapture.bridges(root));
    }
    var footprint =
        new Footprint(pids.size(), threads, descriptors.descriptors(), bytes, descriptors.files(), descriptors.listeningPorts(), facts, findings)
            .connectedTo(bridges)
            .needing(HugePageNeeds.of(pids));
    return origin
        .filter(made -> !pids.isEmpty())
        .flatMap(made -> OciOffer.of(made, pids.getFirst(), pids, target.limits()))
        .map(offer -> footprint.madeBy(offer, onHost(offer.origin(), footprint.mappedFiles())))
        .orElse(footprint);
  }

  /** What lies on file systems that are made for the container alone is made by the runtime, or was found to be an obstacle. */
  private static List<Footprint.FileFact> onHost(OciOrigin origin, List<Footprint.FileFact> files) {
    var found = new ArrayList<Footprint.FileFact>();
    for (var file : files) {
      OciLife.onHost(origin, file.path())
          .ifPresent(path -> found.add(new Footprint.FileFact(path.toString(), file.sizeBytes(), file.mode(), file.buildId())));
    }
    return found;
  }

  /** Of anonymous or shared memory, each page divided by how many have it ({@code man 5 proc_pid_smaps_rollup}). */
  private static long bytes(String rollup, String field) {
    return rollup.lines().filter(line -> line.startsWith(field)).mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", ""))).sum() * 1024;
  }

  @Override
  public void destroy(ContainerHandle container) {
    var target = new ContainerTarget(container);
    // One that is frozen was moved, or was to be: its connections live on elsewhere.
    if (new Cgroup(container.cgroup()).exists() && target.freezer().isFrozen()) {
      TcpQuiet.silence(target.processes(), target.networkOutlives());
    }
    target.destroy();
    // Its copy runs elsewhere, or it is a copy that is not to run.
    HaulNote.putAway(container.name(), container.directory(), hauls);
  }

  @Override
  public void freeze(ContainerHandle container) {
    new Freezer(container.cgroup()).freeze(FREEZER_MAX);
  }

  @Override
  public void thaw(ContainerHandle container) {
    NetworkLinks.connect(container.name(), container.initPid(), network);
    TcpQuiet.wake(new ContainerTarget(container).processes());
    // A copy that an agent has built which died before it could let it run.
    var root = Path.of("/proc/" + container.initPid() + "/root");
    var socketFiles = container.directory().resolve(SocketFiles.LIST);
    UserNamespaces.root(container.initPid()).run(() -> SocketFiles.putInPlace(root, socketFiles));
    try (var tracer = new TracerThread("tracer of " + container.name())) {
      RunningOn.thaw(new ContainerTarget(container), tracer);
    }
    HaulNote.HAULED.forget(container.directory());
    OciContainer.of(container.directory()).ifPresent(made -> made.runtime().knowStarted(made.origin().id()));
  }

  @Override
  public Capture capture(ContainerHandle container, CaptureOptions options) {
    return capture(new ContainerTarget(container), options);
  }

  private LiveCapture capture(CaptureTarget target, CaptureOptions options) {
    var findings = inspect(target, hostFacts(), network).findings();
    if (!findings.isEmpty()) {
      throw new RefusedException(findings);
    }
    return new LiveCapture(target, options, network, hauls);
  }

  @Override
  public List<Finding> preflight(String name, Footprint footprint) {
    var facts = hostFacts();
    var findings = new ArrayList<Finding>(footprint.findings());
    findings.addAll(HostDifference.findings(HostComparison.of(footprint.identity(), facts, policy), HostDifference.Verdict.REFUSES));
    NetworkArrival.obstacles(footprint.bridges(), network)
        .forEach(sentence -> findings.add(new Finding(0, -1, "network", sentence)));
    var digestsHere = digestsHere(footprint);
    var coming = Volumes.toHaul(footprint.volumes(), storage, digestsHere).stream().map(tree -> Path.of(tree.path())).toList();
    findings.addAll(DescriptorArrival.checkPreflight(withFilesHere(footprint), coming));
    Volumes.preflight(name, footprint.volumes(), storage, digestsHere)
        .forEach(sentence -> findings.add(new Finding(0, -1, "volume", sentence)));
    footprint.oci()
        .ifPresent(offer -> findings.addAll(OciLife.preflight(offer, runtimeRoot, coming, pathsHere(offer, footprint))));
    if (footprint.residentBytes() + MEMORY_MARGIN_BYTES > facts.memoryAvailableBytes()) {
      findings.add(
          new Finding(0, -1, "memory", "the container holds " + (footprint.residentBytes() >> 20) + " MiB, and this host has "
              + (facts.memoryAvailableBytes() >> 20) + " MiB available"));
    }
    HugePageNeeds.obstacles(footprint.hugePages()).forEach(sentence -> findings.add(new Finding(0, -1, "huge pages", sentence)));
    if (Files.exists(Cgroup.mountPoint().resolve("gantry").resolve(group).resolve(name))) {
      findings.add(new Finding(0, -1, "name", "a container named " + name + " is on this host already; stop or rename it"));
    }
    return findings;
  }

  private OciPaths pathsHere(OciOffer offer, Footprint footprint) {
    return OciPaths.of(offer, footprint.volumes(), storage);
  }

  private Footprint withFilesHere(Footprint footprint) {
    return footprint.oci()
        .map(offer -> footprint.madeBy(offer, pathsHere(offer, footprint).here(offer, footprint.mappedFiles())))
        .orElse(footprint);
  }

  /** Only bundles have any. That their configurations are equal is looked at apart from it. */
  private Volumes.Digests digestsHere(Footprint footprint) {
    return facts -> footprint.oci().map(offer -> offer.digestHere(digests)).orElse("");
  }

  @Override
  public List<HostDifference> compare(HostFacts source) {
    return HostComparison.of(source, hostFacts(), policy);
  }

  @Override
  public Arrival receive(String name, Path directory) {
    return new LiveArrival(new ContainerSite(name, group + "/" + name, directory), network, false);
  }

  @Override
  public Arrival receive(String name, Path directory, Footprint footprint) {
    HaulNote.VOLUMES.write(
        directory,
        footprint.volumes().stream()
            .filter(facts -> facts.kind().equals(VolumeFacts.VOLUME))
            .map(facts -> Path.of(facts.path()))
            .toList());
    var volumes = new LinkedHashMap<Path, Path>();
    var staying = new HashSet<Path>();
    for (var tree : Volumes.toHaul(footprint.volumes(), storage, digestsHere(footprint))) {
      var path = Path.of(tree.path());
      volumes.put(path, path);
      if (tree.neverChanges()) {
        staying.add(path);
      }
    }
    Optional<HaulArrival> haul =
        volumes.isEmpty() ? Optional.empty() : Optional.of(new HaulArrival(name, directory, volumes, staying, hauls));
    ArrivalSite site =
        footprint.oci()
            .<ArrivalSite>map(
                offer -> new OciSite(name, group + "/" + name, directory, offer, pathsHere(offer, footprint), runtimeRoot))
            .orElseGet(() -> new ContainerSite(name, group + "/" + name, directory));
    return new LiveArrival(site, network, haul);
  }

  @Override
  public void removeLeftovers(String name, Path directory) {
    // One that was to be adopted is somebody else's.
    OciContainer.of(directory).filter(made -> !made.adopted()).ifPresent(made -> made.runtime().delete(made.origin().id()));
    OciContainer.forget(directory);
    SocketFiles.discard(Path.of("/"), directory.resolve(SocketFiles.LIST));
    ContainerTarget.destroy(Cgroup.mountPoint().resolve("gantry").resolve(group).resolve(name));
    HaulNote.putAway(name, directory, hauls);
  }

  @Override
  public Optional<Integer> exitStatus(ContainerHandle container) {
    var status = Birth.exitStatus(container);
    return status.isPresent() ? Optional.of(status.getAsInt()) : Optional.empty();
  }

  /**
   * Saves a process and its descendants in a directory of images.
   *
   * @param pid the first process, as this host counts; process 1 of a container saves the container
   * @param images the directory to be made; must not exist
   * @param leaveRunning whether the processes run on; otherwise they are killed once the images are complete
   * @return how many processes and threads were saved, and for how long they stood still
   * @throws RefusedException when something cannot be saved; nothing was touched then
   */
  public Checkpointed checkpoint(int pid, Path images, boolean leaveRunning) {
    var target = new ProcessTreeTarget(pid);
    if (target.processes().isEmpty() || !Files.exists(Path.of("/proc/" + pid))) {
      throw new CheckpointException("there is no process " + pid);
    }
    try (var writer = ImageDirectoryWriter.create(images);
        var capture = capture(target, new CaptureOptions(false))) {
      capture.round(writer);
      long begin = System.nanoTime();
      var frozen = capture.freeze();
      capture.sendLast(writer);
      if (leaveRunning) {
        // Everything has been read; making files of it needs nobody to stand still.
        capture.resume();
        long stopped = System.nanoTime() - begin;
        writer.commit();
        return new Checkpointed(frozen.threads(), writer.bytesSent(), stopped);
      }
      writer.commit();
      var saved = List.copyOf(target.processes());
      boolean container = isContainer(pid);
      TcpQuiet.silence(saved, false);
      target.destroy();
      capture.killed();
      if (!container) {
        awaitGone(saved);
      }
      return new Checkpointed(frozen.threads(), writer.bytesSent(), System.nanoTime() - begin);
    }
  }

  /** Whether it is the first process of a pid namespace: what is restored from it gets a new one, in which every id is free. */
  private static boolean isContainer(int pid) {
    try {
      return TaskStatus.ofProcess(pid).innermost("NSpid") == 1;
    } catch (NoSuchFileException ended) {
      throw new CheckpointException("process " + pid + " has ended while it stood still", ended);
    }
  }

  /** Ids are free for a restore once the parents have taken notice, which may take them a moment; a parent that never does is not waited for. */
  private static void awaitGone(List<Integer> pids) {
    long end = System.nanoTime() + GONE_MAX.toNanos();
    while (System.nanoTime() < end && pids.stream().anyMatch(pid -> Files.exists(Path.of("/proc/" + pid)))) {
      LockSupport.parkNanos(1_000_000);
    }
  }

  /** @param threads that were saved; @param bytes that were written; @param stoppedNs for how long they stood still */
  public record Checkpointed(int threads, long bytes, long stoppedNs) {}

  /**
   * Recreates what {@link #checkpoint} has saved, and lets it run: a tree of host processes under the ids it had, a container in new namespaces.
   *
   * @return how to find it again
   * @throws CheckpointException when the images are incomplete, damaged or from a newer version, or an id is taken; nothing is left behind then
   */
  public ContainerHandle restore(Path images) {
    var reader = ImageDirectoryReader.open(images);
    int root = reader.state().getProcesses(0).getTree().getPid();
    return root == 1 ? restoreContainer(reader, images) : restoreTree(reader, root, images);
  }

  private ContainerHandle restoreTree(ImageDirectoryReader reader, int root, Path images) {
    var site = new HostSite(root, group, images);
    try (var arrival = new LiveArrival(site, network, true, !reader.isByCriu())) {
      reader.feed(arrival);
      var report = arrival.complete();
      arrival.activate();
      site.handOver();
      return report.container();
    }
  }

  /** The console goes on in a directory beside the images. */
  private ContainerHandle restoreContainer(ImageDirectoryReader reader, Path images) {
    var absolute = images.toAbsolutePath().normalize();
    var directory = absolute.resolveSibling(absolute.getFileName() + ".container");
    try {
      Files.createDirectories(directory);
    } catch (IOException e) {
      throw new CheckpointException("cannot create " + directory + " for the container's console: " + e, e);
    }
    var name = absolute.getFileName().toString();
    try (var arrival = new LiveArrival(new ContainerSite(name, group + "/" + name, directory), network, true)) {
      reader.feed(arrival);
      var report = arrival.complete();
      arrival.activate();
      return report.container();
    }
  }

  /** Removes the group's own cgroup when no container is left in it. */
  @Override
  public void close() {
    Cgroup.removeGroupIfEmpty(group);
  }
}
