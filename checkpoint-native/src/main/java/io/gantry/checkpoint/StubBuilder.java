package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.memory.StubProvider;
import io.gantry.checkpoint.state.TreeStep;
import io.gantry.checkpoint.tracee.Stub;
import io.gantry.checkpoint.tracee.StubTree;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * Follows the source's plans of the process tree: makes stubs, sessions and groups. The steps of a plan are done as late as the order allows, because a
 * stub is cloned at the point in the stream at which its parent's memory is what it should inherit. Tracer thread only.
 */
final class StubBuilder implements AutoCloseable {
  /** {@code linux/prctl.h} */
  private static final int PR_SET_CHILD_SUBREAPER = 36;

  private final Supplier<StubTree> begin;
  private final Map<Integer, Stub> stubs = new HashMap<>();
  private final ArrayDeque<TreeStep> steps = new ArrayDeque<>();
  private final List<Integer> zombies = new ArrayList<>();
  private Optional<StubTree> tree = Optional.empty();

  /** @param begin makes the first stub, when it is first needed */
  StubBuilder(Supplier<StubTree> begin) {
    this.begin = begin;
  }

  /** Takes the plan of the round that begins; does what comes before the first birth. */
  void plan(List<TreeStep> plan) {
    finishPlan();
    steps.addAll(plan);
    while (!steps.isEmpty() && !(steps.peek() instanceof TreeStep.Fork)) {
      perform(steps.remove());
    }
  }

  /** Does what is left of the plan. */
  void finishPlan() {
    while (!steps.isEmpty()) {
      perform(steps.remove());
    }
  }

  /** Stubs that exist although no round has told what they hold (their process ended while the round was made) go again. */
  void keepOnly(Collection<Integer> processes) {
    List.copyOf(stubs.keySet()).stream().filter(pid -> !processes.contains(pid) && !zombies.contains(pid)).forEach(this::remove);
  }

  /** Processes that have ended and were not waited for; their stubs still have to {@link StubTree#end end}. */
  List<Integer> zombies() {
    return zombies;
  }

  StubTree tree() {
    return tree.orElseThrow(() -> new CheckpointException("no process has been announced yet"));
  }

  Optional<StubTree> begun() {
    return tree;
  }

  Stub find(int nsPid) {
    var stub = stubs.get(nsPid);
    if (stub == null) {
      throw new CheckpointException("there is no stub for process " + nsPid + " of the container");
    }
    return stub;
  }

  private void perform(TreeStep step) {
    switch (step) {
      case TreeStep.Fork(int parent, int child, boolean helper) -> bear(parent, child);
      case TreeStep.SetSid(int pid) -> find(pid).call("setsid", SyscallNumber.SETSID);
      case TreeStep.SetPgid(int pid, int pgid) -> find(pid).call("setpgid(0, " + pgid + ")", SyscallNumber.SETPGID, 0, pgid);
      case TreeStep.Subreaper(int pid, boolean on) ->
          find(pid).call("prctl(PR_SET_CHILD_SUBREAPER)", SyscallNumber.PRCTL, PR_SET_CHILD_SUBREAPER, on ? 1 : 0);
      case TreeStep.ExitHelper(int pid, int _) -> remove(pid);
      case TreeStep.EndStub(int pid, int _) -> remove(pid);
      case TreeStep.Discard(int pid, int _) -> remove(pid);
      case TreeStep.BecomeZombie(int pid) -> zombies.add(pid);
    }
  }

  private void bear(int parent, int child) {
    if (parent == 0) {
      var first = begin.get();
      tree = Optional.of(first);
      if (first.root().nsPid() != child) {
        throw new CheckpointException("the container's first process has id " + child + ", but its stub has " + first.root().nsPid());
      }
      stubs.put(child, first.root());
    } else {
      stubs.put(child, tree().fork(find(parent), child));
    }
  }

  private void remove(int pid) {
    var stub = stubs.remove(pid);
    // A round that could not be made whole may have taken it away already.
    if (stub != null) {
      tree().remove(stub);
    }
  }

  /** The stubs as memory sees them. */
  StubProvider forMemory() {
    return new StubProvider() {
      @Override
      public Stub stub(int nsPid) {
        advanceTo(nsPid);
        return new StubWorkplace(find(nsPid));
      }

      @Override
      public Stub fork(int parentNsPid, int nsPid) {
        return stub(nsPid);
      }

      @Override
      public void remove(int nsPid) {
        // One that has ended since the last round and was not waited for has no memory any more, but is still to become a zombie.
        if (!zombies.contains(nsPid) && !steps.contains(new TreeStep.BecomeZombie(nsPid))) {
          StubBuilder.this.remove(nsPid);
        }
      }
    };
  }

  /** Performs the plan up to the birth of a process, if it is still to be born. */
  private void advanceTo(int nsPid) {
    boolean planned = steps.stream().anyMatch(step -> step instanceof TreeStep.Fork fork && fork.child() == nsPid);
    while (planned) {
      var step = steps.remove();
      perform(step);
      planned = !(step instanceof TreeStep.Fork fork && fork.child() == nsPid);
    }
  }

  @Override
  public void close() {
    tree.ifPresent(StubTree::close);
  }
}
