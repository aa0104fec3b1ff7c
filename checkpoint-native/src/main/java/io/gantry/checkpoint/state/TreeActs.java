package io.gantry.checkpoint.state;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Writes steps down and applies them to the model at the same time. */
final class TreeActs {
  private final TreeModel model;
  private final Set<Integer> used;
  private final List<TreeStep> steps = new ArrayList<>();
  private int lastHelper = 1;

  /** @param used ids that helpers may not have */
  TreeActs(TreeModel model, Set<Integer> used) {
    this.model = model;
    this.used = used;
  }

  TreeModel model() {
    return model;
  }

  List<TreeStep> steps() {
    return steps;
  }

  void fork(int parent, TreeMember child) {
    model.fork(parent, child.pid(), false, child.startTicks());
    steps.add(new TreeStep.Fork(parent, child.pid(), false));
  }

  /** A helper with an id that nobody needs. */
  int forkHelper(int parent) {
    do {
      lastHelper++;
    } while (used.contains(lastHelper) || model.isTaken(lastHelper));
    forkHelper(parent, lastHelper);
    return lastHelper;
  }

  void forkHelper(int parent, int pid) {
    model.fork(parent, pid, true, 0);
    steps.add(new TreeStep.Fork(parent, pid, true));
  }

  void setSid(int pid) {
    model.setSid(pid);
    steps.add(new TreeStep.SetSid(pid));
  }

  void setPgid(int pid, int pgid) {
    model.setPgid(pid, pgid);
    steps.add(new TreeStep.SetPgid(pid, pgid));
  }

  void takeTerminal(int pid, int terminal) {
    model.takeTerminal(pid, terminal);
    steps.add(new TreeStep.TakeTerminal(pid, terminal));
  }

  void leaveTerminal(int pid) {
    model.leaveTerminal(pid);
    steps.add(new TreeStep.LeaveTerminal(pid));
  }

  void becomeZombie(int pid) {
    model.becomeZombie(pid);
    steps.add(new TreeStep.BecomeZombie(pid));
  }

  void discard(int pid) {
    steps.add(new TreeStep.Discard(pid, model.get(pid).ppid));
    model.remove(pid);
  }

  /** The helper goes, and its children become children of {@code reaper}. */
  void exitHelper(int pid, int reaper) {
    adopt(pid, reaper, new TreeStep.ExitHelper(pid, model.get(pid).ppid));
  }

  /** A stub whose process has ended goes, and its children become children of {@code reaper}. */
  void endStub(int pid, int reaper) {
    adopt(pid, reaper, new TreeStep.EndStub(pid, model.get(pid).ppid));
  }

  private void adopt(int pid, int reaper, TreeStep step) {
    // Process 1 is the last reaper anyway; a subreaper is only needed where there is somebody to adopt.
    boolean switchOn = reaper != 1 && !model.childrenOf(pid).isEmpty();
    if (switchOn) {
      model.subreaper(reaper, true);
      steps.add(new TreeStep.Subreaper(reaper, true));
    }
    model.remove(pid);
    steps.add(step);
    if (switchOn) {
      model.subreaper(reaper, false);
      steps.add(new TreeStep.Subreaper(reaper, false));
    }
  }
}
