package io.gantry.checkpoint;

import io.gantry.checkpoint.memory.ProcessRef;
import io.gantry.checkpoint.state.TreeMember;
import io.gantry.checkpoint.state.TreePlan;
import io.gantry.checkpoint.state.TreeReader.Placed;
import io.gantry.checkpoint.state.TreeStep;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What the destination's stubs look like, as the source knows it: compares the container's processes of a round with those of the round before, and says
 * which steps lead from one to the other. One thread.
 */
final class TreeTracker {
  private final Map<Integer, TreeMember> stubs = new LinkedHashMap<>();

  /**
   * @param steps what the destination has to do
   * @param rebuilt processes whose stub is made anew, so that everything has to be sent again
   * @param order living processes in the order in which stubs exist or come to exist; {@link ProcessRef#nsPpid} is the process from whose stub
   *     the memory of a new stub is cloned, which is not the parent when a helper bears it
   */
  record Change(List<TreeStep> steps, Set<Integer> rebuilt, List<ProcessRef> order) {}

  /** @param last whether the container stands still and zombies are made */
  Change advance(List<Placed> processes, boolean last) {
    var target = new LinkedHashMap<Integer, TreeMember>();
    var hostPids = new HashMap<Integer, Integer>();
    for (var process : processes) {
      target.put(process.member().pid(), process.member());
      hostPids.put(process.member().pid(), process.pid());
    }
    var plan = TreePlan.between(List.copyOf(stubs.values()), target.values(), last);
    var bornFrom = plan.origins();
    var order = new ArrayList<Integer>();
    stubs.keySet().stream().filter(pid -> target.containsKey(pid) && !bornFrom.containsKey(pid)).forEach(order::add);
    bornFrom.keySet().stream().filter(target::containsKey).forEach(order::add);
    stubs.clear();
    order.forEach(pid -> stubs.put(pid, target.get(pid)));
    var living =
        order.stream()
            .filter(pid -> !target.get(pid).zombie())
            .map(pid -> new ProcessRef(hostPids.get(pid), pid, bornFrom.getOrDefault(pid, target.get(pid).ppid())))
            .toList();
    return new Change(plan.steps(), plan.rebuilt(), living);
  }

  /** Processes that ended while the round was made have no stub after it, whatever was planned. */
  void keepOnly(Set<Integer> processes) {
    stubs.keySet().retainAll(processes);
  }
}
