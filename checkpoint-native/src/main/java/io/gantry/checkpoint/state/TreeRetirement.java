package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The first part of a plan: stubs whose process has ended go, and stubs that cannot become what is wanted are given up. */
final class TreeRetirement {
  private final TreeActs acts;
  private final TreeModel model;
  private final Map<Integer, TreeMember> wanted;
  private final int root;
  private final Set<Integer> rebuilt = new HashSet<>();

  TreeRetirement(TreeActs acts, Map<Integer, TreeMember> wanted, int root) {
    this.acts = acts;
    this.model = acts.model();
    this.wanted = wanted;
    this.root = root;
  }

  /** Returns the processes whose stubs were given up and are created anew. */
  Set<Integer> retire() {
    giveUpUnusable();
    // Deepest first: an ended child of an ended process leaves nobody to adopt.
    var ended =
        model.all().stream()
            .filter(node -> !wanted.containsKey(node.pid))
            .sorted(Comparator.comparingInt((TreeModel.Node node) -> model.depth(node.pid)).reversed())
            .map(node -> node.pid)
            .toList();
    ended.forEach(this::end);
    giveUpUnusable();
    // Only now does everybody have the parent that the ends gave them.
    for (int pid : List.copyOf(model.all().stream().map(node -> node.pid).toList())) {
      if (pid != root && model.find(pid).isPresent() && model.get(pid).ppid != wanted.get(pid).ppid()) {
        giveUp(pid);
      }
    }
    while (freeOneId()) {
      // Giving up a stub makes its own id one that has to be free.
    }
    return rebuilt;
  }

  /** Again and again, because a session leader that goes takes the terminal of all of its session along. */
  private void giveUpUnusable() {
    while (true) {
      var unusable = model.all().stream().filter(node -> !isUsable(node)).findFirst();
      if (unusable.isEmpty()) {
        return;
      }
      giveUp(unusable.get().pid);
    }
  }

  /** A process that is to be created needs its id, which an older stub may still hold as its session or group. */
  private boolean freeOneId() {
    for (TreeModel.Node node : model.all()) {
      var member = wanted.get(node.pid);
      if (isAwaited(node.sid)) {
        giveUp(node.pid);
        return true;
      }
      if (isAwaited(node.pgid)) {
        if (member.sid() == node.sid) {
          acts.setPgid(node.pid, node.pid);
        } else {
          giveUp(node.pid);
        }
        return true;
      }
    }
    return false;
  }

  private boolean isAwaited(int id) {
    return wanted.containsKey(id) && model.find(id).isEmpty();
  }

  /** Whether the stub is that of a wanted process (or of an ended one) and can get the wanted session. */
  private boolean isUsable(TreeModel.Node node) {
    var member = wanted.get(node.pid);
    if (member == null) {
      return true;
    }
    boolean same = member.startTicks() == node.startTicks && (!node.zombie || member.zombie());
    // Only who leads its session can take a terminal; anybody can give it up.
    boolean terminal = member.sid() == node.pid || member.terminal() == 0 || member.terminal() == node.terminal;
    boolean leads = member.sid() == node.pid && model.all().stream().noneMatch(other -> other.pgid == node.pid);
    return same && terminal && (member.sid() == node.sid || leads);
  }

  private void end(int pid) {
    if (pid == root) {
      throw new CheckpointException("The container's first process, " + pid + ", has ended");
    }
    var reapers = new HashSet<Integer>();
    model.childrenOf(pid).forEach(child -> reapers.add(wanted.get(child.pid).ppid()));
    if (reapers.size() > 1 || reapers.stream().anyMatch(reaper -> !model.isDescendant(pid, reaper))) {
      model.childrenOf(pid).forEach(child -> giveUp(child.pid));
      reapers.clear();
    }
    acts.endStub(pid, reapers.isEmpty() ? 1 : reapers.iterator().next());
  }

  private void giveUp(int pid) {
    if (pid == root) {
      throw new CheckpointException(
          "The container's first process, " + pid + ", changed in a way that needs everything to be built anew; start again");
    }
    for (TreeModel.Node node : model.subtree(pid)) {
      if (wanted.containsKey(node.pid)) {
        rebuilt.add(node.pid);
      }
      acts.discard(node.pid);
    }
  }
}
