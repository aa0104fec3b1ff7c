package io.gantry.checkpoint;

import io.gantry.checkpoint.image.ImageDirectoryReader;
import io.gantry.checkpoint.image.ImageDirectoryWriter;
import io.gantry.checkpoint.memory.UnsupportedMemory;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.resource.DescriptorArrival;
import io.gantry.checkpoint.resource.DescriptorSurvey;
import io.gantry.checkpoint.state.StateSurvey;
import io.gantry.checkpoint.state.TreeReader;
import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.Freezer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/** The engine on real processes. Any thread. */
public final class LiveEngine implements Engine {
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);

  private static final Duration GONE_MAX = Duration.ofSeconds(5);

  private static final long SECOND_LOOK_NS = Duration.ofMillis(2).toNanos();

  /** Left to the host beside what a container brings: a host that starts to swap has gained nothing. */
  private static final long MEMORY_MARGIN_BYTES = 64L << 20;

  private final String group;
  private final HostProbe probe = new HostProbe();

  /**
   * @param group name of the cgroup below which this engine's containers live; two agents on one host need different ones
   */
  public LiveEngine(String group) {
    this.group = group;
  }

  @Override
  public HostFacts hostFacts() {
    return probe.facts();
  }

  @Override
  public ContainerHandle create(ContainerSpec spec) {
    return Birth.create(spec, group);
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
    return inspect(new ContainerTarget(container), hostFacts());
  }

  /**
   * What a running container opens, closes and ends while it is looked at fits together only by chance, so of obstacles only those count that a second
   * look finds again.
   */
  static Footprint inspect(CaptureTarget target, HostFacts facts) {
    var first = look(target, facts);
    if (first.findings().isEmpty()) {
      return first;
    }
    LockSupport.parkNanos(SECOND_LOOK_NS);
    var second = look(target, facts);
    return second.withFindings(second.findings().stream().filter(first.findings()::contains).toList());
  }

  private static Footprint look(CaptureTarget target, HostFacts facts) {
    var processes = TreeReader.living(target::processes);
    var pids = processes.stream().map(TreeReader.Placed::pid).toList();
    var findings = new ArrayList<Finding>(StateSurvey.survey(pids));
    int threads = 0;
    long bytes = 0;
    for (int pid : pids) {
      try {
        findings.addAll(UnsupportedMemory.of(pid));
        threads += ProcText.numbers("/proc/" + pid + "/task").size();
        bytes += ownBytes(pid);
      } catch (NoSuchFileException | io.gantry.checkpoint.procfs.ProcessGoneException ended) {
        // It will not be moved, so it counts nothing.
      }
    }
    var descriptors = DescriptorSurvey.survey(pids);
    findings.addAll(descriptors.findings());
    return new Footprint(
        pids.size(), threads, descriptors.descriptors(), bytes, descriptors.files(), descriptors.listeningPorts(), facts, findings);
  }

  /** Anonymous and shared memory, each page divided by how many have it ({@code man 5 proc_pid_smaps_rollup}). */
  private static long ownBytes(int pid) throws NoSuchFileException {
    return ProcText.read("/proc/" + pid + "/smaps_rollup")
            .lines()
            .filter(line -> line.startsWith("Pss_Anon:") || line.startsWith("Pss_Shmem:"))
            .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")))
            .sum()
        * 1024;
  }

  @Override
  public void destroy(ContainerHandle container) {
    new ContainerTarget(container).destroy();
  }

  @Override
  public void freeze(ContainerHandle container) {
    new Freezer(container.cgroup()).freeze(FREEZER_MAX);
  }

  @Override
  public void thaw(ContainerHandle container) {
    new Freezer(container.cgroup()).thaw(FREEZER_MAX);
  }

  @Override
  public Capture capture(ContainerHandle container, CaptureOptions options) {
    return capture(new ContainerTarget(container), options);
  }

  private Capture capture(CaptureTarget target, CaptureOptions options) {
    var findings = inspect(target, hostFacts()).findings();
    if (!findings.isEmpty()) {
      throw new RefusedException(findings);
    }
    return new LiveCapture(target, options);
  }

  @Override
  public List<Finding> preflight(String name, Footprint footprint) {
    var facts = hostFacts();
    var findings = new ArrayList<Finding>(footprint.findings());
    findings.addAll(HostIdentity.differences(footprint.identity(), facts));
    findings.addAll(DescriptorArrival.checkPreflight(footprint));
    if (footprint.residentBytes() + MEMORY_MARGIN_BYTES > facts.memoryAvailableBytes()) {
      findings.add(
          new Finding(0, -1, "memory", "the container holds " + (footprint.residentBytes() >> 20) + " MiB, and this host has "
              + (facts.memoryAvailableBytes() >> 20) + " MiB available"));
    }
    if (Files.exists(Cgroup.mountPoint().resolve("gantry").resolve(group).resolve(name))) {
      findings.add(new Finding(0, -1, "name", "a container named " + name + " is on this host already; stop or rename it"));
    }
    return findings;
  }

  @Override
  public Arrival receive(String name, Path directory) {
    return new LiveArrival(new ContainerSite(name, group + "/" + name, directory));
  }

  @Override
  public void removeLeftovers(String name, Path directory) {
    ContainerTarget.destroy(Cgroup.mountPoint().resolve("gantry").resolve(group).resolve(name));
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
      writer.commit();
      long bytes = writer.bytesSent();
      var saved = leaveRunning ? List.<Integer>of() : List.copyOf(target.processes());
      if (!leaveRunning) {
        target.destroy();
      }
      capture.resume();
      awaitGone(saved);
      return new Checkpointed(frozen.threads(), bytes, System.nanoTime() - begin);
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
    try (var arrival = new LiveArrival(site)) {
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
    try (var arrival = new LiveArrival(new ContainerSite(name, group + "/" + name, directory))) {
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
