package io.gantry.checkpoint.state;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/** The second part of a plan: every process is born into the right session, by its parent or by a helper. */
final class TreeGrowth {
  private final TreeActs acts;
  private final TreeModel model;
  private final Map<Integer, TreeMember> wanted;
  private final int root;
  private final Map<Integer, List<TreeMember>> children = new HashMap<>();
  /** Processes that their parent cannot give birth to, because it is not and never will be in their session. */
  private final ArrayDeque<TreeMember> orphans = new ArrayDeque<>();
  /** Helpers that lead a session whose leader has died, by session. They stay until all of their session are born. */
  private final Map<Integer, Integer> deadLeaders = new HashMap<>();

  TreeGrowth(TreeActs acts, Map<Integer, TreeMember> wanted, int root) {
    this.acts = acts;
    this.model = acts.model();
    this.wanted = wanted;
    this.root = root;
    for (TreeMember member : wanted.values()) {
      if (member.pid() != root) {
        children.computeIfAbsent(member.ppid(), parent -> new ArrayList<>()).add(member);
      }
    }
  }

  void grow() {
    if (model.find(root).isEmpty()) {
      acts.fork(0, wanted.get(root));
    }
    settle(wanted.get(root));
    adoptOrphans();
  }

  /** The process exists, in the session it was born into: it bears children, founds its own session and bears the others. */
  private void settle(TreeMember member) {
    var node = model.get(member.pid());
    boolean willLead = member.sid() == member.pid() && node.sid != member.pid();
    var own = children.getOrDefault(member.pid(), List.of());
    for (TreeMember child : own) {
      var needs = birthSession(child);
      // Without a need it does not matter; later is simpler to follow.
      if (willLead && model.find(child.pid()).isEmpty() && needs.isPresent() && needs.getAsInt() == node.sid) {
        acts.fork(member.pid(), child);
        settle(child);
      } else if (willLead && model.find(child.pid()).isPresent()) {
        settle(child);
      }
    }
    if (willLead) {
      acts.setSid(member.pid());
    }
    terminal(member);
    for (TreeMember child : own) {
      if (model.find(child.pid()).isPresent()) {
        if (!willLead) {
          settle(child);
        }
        continue;
      }
      var needs = birthSession(child);
      if (needs.isEmpty() || needs.getAsInt() == node.sid) {
        acts.fork(member.pid(), child);
        settle(child);
      } else {
        orphans.add(child);
      }
    }
  }

  /** A leader has its terminal before it bears those who inherit it. */
  private void terminal(TreeMember member) {
    var node = model.get(member.pid());
    if (node.sid == node.pid && node.terminal != member.terminal()) {
      if (node.terminal != 0) {
        acts.leaveTerminal(member.pid());
      }
      if (member.terminal() != 0) {
        acts.takeTerminal(member.pid(), member.terminal());
      }
    }
  }

  /** The session that a process that does not exist yet must be born into, if it matters: its own, or that of a descendant. */
  private OptionalInt birthSession(TreeMember member) {
    if (member.sid() != member.pid()) {
      return OptionalInt.of(member.sid());
    }
    for (TreeMember child : children.getOrDefault(member.pid(), List.of())) {
      var needs = birthSession(child);
      if (needs.isPresent() && needs.getAsInt() != member.pid() && !isLedBelow(needs.getAsInt(), member.pid())) {
        return needs;
      }
    }
    return OptionalInt.empty();
  }

  /** Whether the session's leader lives below that process, so that a helper can be born there. */
  private boolean isLedBelow(int session, int ancestor) {
    for (var member = wanted.get(session); member != null; member = wanted.get(member.ppid())) {
      if (member.ppid() == ancestor) {
        return true;
      }
    }
    return false;
  }

  private void adoptOrphans() {
    while (!orphans.isEmpty()) {
      // Deepest first: a helper below a deep parent is also below all that are above it.
      var next =
          orphans.stream()
              .max(Comparator.comparingInt((TreeMember orphan) -> model.depth(orphan.ppid())))
              .filter(this::bearByHelper)
              .or(() -> orphans.stream().filter(this::bearByHelper).findFirst())
              .orElseThrow(() -> TreePlan.cannot(orphans.getFirst()));
      orphans.remove(next);
    }
    deadLeaders.values().forEach(helper -> acts.exitHelper(helper, root));
  }

  /** Creates the process by a helper that is in its session and whose children its parent inherits. False when there is no way yet. */
  private boolean bearByHelper(TreeMember orphan) {
    int session = birthSession(orphan).orElseThrow();
    int parent = orphan.ppid();
    if (model.find(parent).isEmpty()) {
      return false;
    }
    var donor = donor(session, parent);
    if (donor.isEmpty()) {
      if (wanted.containsKey(session) || session == 0 || model.isTaken(session)) {
        return false;
      }
      acts.forkHelper(parent, session);
      acts.setSid(session);
      deadLeaders.put(session, session);
      donor = Optional.of(session);
    }
    int helper = acts.forkHelper(donor.get());
    acts.fork(helper, orphan);
    settle(orphan);
    acts.exitHelper(helper, parent);
    return true;
  }

  /** Somebody in that session below that parent. */
  private Optional<Integer> donor(int session, int parent) {
    return model.all().stream()
        .filter(node -> node.sid == session && !node.zombie && model.isDescendant(node.pid, parent))
        .map(node -> node.pid)
        .findFirst();
  }
}
