package io.gantry.checkpoint;

import io.gantry.checkpoint.memory.UnsupportedMemory;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.resource.DescriptorArrival;
import io.gantry.checkpoint.resource.DescriptorSurvey;
import io.gantry.checkpoint.state.TreeReader;
import io.gantry.checkpoint.tracee.Birth;
import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.Freezer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The engine on real processes. Any thread. */
public final class LiveEngine implements Engine {
  private static final Duration FREEZER_MAX = Duration.ofSeconds(5);

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

  static Footprint inspect(CaptureTarget target, HostFacts facts) {
    var processes = TreeReader.living(target::processes);
    var pids = processes.stream().map(TreeReader.Placed::pid).toList();
    var findings = new ArrayList<Finding>();
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
  public Optional<Integer> exitStatus(ContainerHandle container) {
    var status = Birth.exitStatus(container);
    return status.isPresent() ? Optional.of(status.getAsInt()) : Optional.empty();
  }

  /** Removes the group's own cgroup when no container is left in it. */
  @Override
  public void close() {
    Cgroup.removeGroupIfEmpty(group);
  }
}
