package io.gantry.checkpoint;

import io.gantry.checkpoint.memory.MemorySurvey;
import io.gantry.checkpoint.network.NetworkPolicy;
import io.gantry.checkpoint.resource.DescriptorSurvey;
import io.gantry.checkpoint.shm.ShmSurvey;
import io.gantry.checkpoint.state.StateHoldings;
import io.gantry.checkpoint.state.TreeReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * All that a tree of processes has, kind by kind, with every reason that speaks against carrying it. Looked at from outside: nothing is stopped, consumed
 * or changed.
 *
 * @param footprint its size, and every finding, each of which is a reason of exactly one holding
 * @param kinds in the order of their parts
 */
public record Holdings(Footprint footprint, List<Holding> kinds) {
  public Holdings {
    kinds = List.copyOf(kinds);
  }

  /** Whether everything moves. */
  public boolean moves() {
    return footprint.findings().isEmpty();
  }

  /**
   * Looks at a process and its descendants.
   *
   * @param pid the first process, as this host counts
   * @throws CheckpointException when there is no such process
   */
  static Holdings of(int pid, HostFacts facts, NetworkPolicy network) {
    return of(pid, new ProcessTreeTarget(pid), facts, network);
  }

  /**
   * Looks at a container, of which more moves than of other processes when a runtime has made it.
   *
   * @throws CheckpointException when its first process has ended
   */
  static Holdings of(ContainerHandle container, HostFacts facts, NetworkPolicy network) {
    return of(container.initPid(), new ContainerTarget(container), facts, network);
  }

  private static Holdings of(int pid, CaptureTarget target, HostFacts facts, NetworkPolicy network) {
    if (!Files.exists(Path.of("/proc/" + pid)) || target.processes().isEmpty()) {
      throw new CheckpointException("there is no process " + pid);
    }
    var footprint = LiveEngine.inspect(target, facts, network);
    var pids = TreeReader.living(target::processes).stream().map(TreeReader.Placed::pid).toList();
    var found = new ArrayList<Holding>(StateHoldings.of(target.processes()));
    found.addAll(MemorySurvey.of(pids));
    found.addAll(ShmSurvey.holdings(pid));
    found.addAll(DescriptorSurvey.kinds(pids));
    return new Holdings(footprint, withReasons(found, footprint.findings()));
  }

  /** Gives each finding to the kind that it names; for what has no kind among those found, one is added. */
  private static List<Holding> withReasons(List<Holding> found, List<Finding> findings) {
    Map<String, List<Finding>> byKind = new LinkedHashMap<>();
    findings.forEach(finding -> byKind.computeIfAbsent(finding.kind(), kind -> new ArrayList<>()).add(finding));
    var all = new ArrayList<Holding>();
    for (var holding : found) {
      var reasons = byKind.remove(holding.kind());
      all.add(reasons == null ? holding : holding.because(reasons));
    }
    byKind.forEach(
        (kind, reasons) -> all.add(new Holding(reasons.getFirst().descriptor() >= 0 ? "descriptor" : "process", kind, reasons.size(), "", reasons)));
    return all;
  }
}
