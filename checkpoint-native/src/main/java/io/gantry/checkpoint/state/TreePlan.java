package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * In which order stubs are created so that parents, sessions and groups come out as they are at the source.
 *
 * <p>A process cannot be put into a session; it can only be born into the one its parent is in at that moment, or found its own. So a child
 * that lives in the session its parent later left is created before the parent's {@code setsid}. Where nobody of that session is
 * left to give birth, because its leader or the process in between has died, a helper process does, and exits later: its children are then
 * adopted by process 1 or by the nearest subreaper, as they were at the source.
 *
 * <p>Pure: nothing here touches the kernel. Works from nothing as well as from stubs of earlier rounds.
 */
public final class TreePlan {
  private final List<TreeStep> steps;
  private final Set<Integer> rebuilt;

  private TreePlan(List<TreeStep> steps, Set<Integer> rebuilt) {
    this.steps = List.copyOf(steps);
    this.rebuilt = Set.copyOf(rebuilt);
  }

  /** What to do, in order. */
  public List<TreeStep> steps() {
    return steps;
  }

  /** For each new process, in the order of birth, the process whose memory its stub starts with; a helper has that of whoever bore it. */
  public Map<Integer, Integer> origins() {
    var origin = new LinkedHashMap<Integer, Integer>();
    var helpers = new HashMap<Integer, Integer>();
    for (var step : steps) {
      if (step instanceof TreeStep.Fork(int parent, int child, boolean helper)) {
        int from = helpers.getOrDefault(parent, parent);
        if (helper) {
          helpers.put(child, from);
        } else {
          origin.put(child, from);
        }
      }
    }
    return origin;
  }

  /** Processes that had a stub which had to be given up: whatever was sent into it is lost. */
  public Set<Integer> rebuilt() {
    return rebuilt;
  }

  /** The plan from nothing, to the end. */
  public static TreePlan complete(Collection<TreeMember> target) {
    return between(List.of(), target, true);
  }

  /**
   * The plan that turns the stubs that exist into those that are wanted.
   *
   * @param existing what was wanted in the last round; empty when nothing exists yet
   * @param target what is wanted now; the process whose parent is 0 or not among them is the root
   * @param last whether zombies are made, which cannot be undone
   * @throws CheckpointException when some process has a session or a group that no order of creation gives
   */
  public static TreePlan between(Collection<TreeMember> existing, Collection<TreeMember> target, boolean last) {
    Map<Integer, TreeMember> wanted =
        target.stream().collect(Collectors.toMap(TreeMember::pid, member -> member, (a, b) -> a, TreeMap::new));
    int root = rootOf(wanted);
    var acts = new TreeActs(TreeModel.of(normalized(existing, root)), usedIds(existing, target));
    var rebuilt = new TreeRetirement(acts, wanted, root).retire();
    new TreeGrowth(acts, wanted, root).grow();
    leaveTerminals(acts, wanted);
    new TreeGroups(acts, wanted).form();
    verify(acts.model(), wanted, root);
    if (last) {
      for (TreeMember member : wanted.values()) {
        if (member.zombie() && !acts.model().get(member.pid()).zombie) {
          acts.becomeZombie(member.pid());
        }
      }
    }
    return new TreePlan(acts.steps(), rebuilt);
  }

  private static int rootOf(Map<Integer, TreeMember> wanted) {
    var roots = wanted.values().stream().filter(member -> !wanted.containsKey(member.ppid())).map(TreeMember::pid).toList();
    if (roots.size() != 1) {
      throw new CheckpointException(
          "A process tree has exactly one root, but these processes have no parent among the others: " + roots);
    }
    return roots.getFirst();
  }

  /** The root's parent is 0 in the model, whoever it is. */
  private static List<TreeMember> normalized(Collection<TreeMember> members, int root) {
    return members.stream()
        .map(
            member ->
                member.pid() == root && member.ppid() != 0
                    ? new TreeMember(
                        root, 0, member.pgid(), member.sid(), member.threads(), member.zombie(), member.startTicks(), member.terminal())
                    : member)
        .toList();
  }

  private static Set<Integer> usedIds(Collection<TreeMember> existing, Collection<TreeMember> target) {
    var used = new HashSet<Integer>();
    for (Collection<TreeMember> members : List.of(existing, target)) {
      for (TreeMember member : members) {
        used.add(member.pid());
        used.add(member.sid());
        used.add(member.pgid());
        used.addAll(member.threads());
      }
    }
    return used;
  }

  /** Who was born with its parent's controlling terminal and has none gives it up, when all who inherit it are born. */
  private static void leaveTerminals(TreeActs acts, Map<Integer, TreeMember> wanted) {
    for (TreeMember member : wanted.values()) {
      if (member.terminal() == 0 && acts.model().get(member.pid()).terminal != 0) {
        acts.leaveTerminal(member.pid());
      }
    }
  }

  private static void verify(TreeModel model, Map<Integer, TreeMember> wanted, int root) {
    for (TreeMember member : wanted.values()) {
      var node = model.find(member.pid());
      boolean right =
          node.isPresent()
              && node.get().sid == member.sid()
              && node.get().pgid == member.pgid()
              && node.get().terminal == member.terminal()
              && (member.pid() == root || node.get().ppid == member.ppid());
      if (!right) {
        throw cannot(member);
      }
    }
    if (model.all().size() != wanted.size()) {
      throw new IllegalStateException("helpers are left over");
    }
  }

  static CheckpointException cannot(TreeMember member) {
    return new CheckpointException(
        "Process %d cannot be recreated: no order of creation gives it parent %d, session %d%s and process group %d at once; "
                .formatted(
                    member.pid(),
                    member.ppid(),
                    member.sid(),
                    member.terminal() == 0 ? "" : ", terminal /dev/pts/" + (member.terminal() - 1),
                    member.pgid())
            + "it helps to start it with setsid(1) or from the container's first process");
  }
}
