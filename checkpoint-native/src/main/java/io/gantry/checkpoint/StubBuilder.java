package io.gantry.checkpoint;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TerminalCalls;
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
import java.util.function.IntConsumer;
import java.util.function.Supplier;

/**
 * Follows the source's plans of the process tree: makes stubs, sessions and groups. The steps of a plan are done as late as the order allows, because a
 * stub is cloned at the point in the stream at which its parent's memory is what it should inherit. Tracer thread only.
 */
final class StubBuilder implements AutoCloseable {
  /** {@code linux/prctl.h} */
  private static final int PR_SET_CHILD_SUBREAPER = 36;

  private static final int[] NO_THREADS = {};

  private final Supplier<StubTree> begin;
  private final IntConsumer terminals;
  private final Map<Integer, Stub> stubs = new HashMap<>();
  private final ArrayDeque<TreeStep> steps = new ArrayDeque<>();
  /** Threads that stubs are to have besides the main one when the steps are done; by process. */
  private Map<Integer, int[]> threads = Map.of();
  private final List<Integer> zombies = new ArrayList<>();
  private Optional<StubTree> tree = Optional.empty();

  /** @param begin makes the first stub, when it is first needed; @param terminals makes the pseudo-terminal with a number */
  StubBuilder(Supplier<StubTree> begin, IntConsumer terminals) {
    this.begin = begin;
    this.terminals = terminals;
  }

  /**
   * Takes the plan of the round that begins; does what comes before the first birth.
   *
   * @param threads that processes have besides their main ones, made here while the container runs and not in its pause; by process
   */
  void plan(List<TreeStep> plan, Map<Integer, int[]> threads) {
    finishPlan();
    this.threads = threads;
    // Before births, one of which may have an id that a thread had.
    stubs.forEach((pid, stub) -> stub.keepOnlyThreads(threads.getOrDefault(pid, NO_THREADS)));
    steps.addAll(plan);
    while (!steps.isEmpty() && !(steps.peek() instanceof TreeStep.Fork)) {
      perform(steps.remove());
    }
    if (steps.isEmpty()) {
      startThreads();
    }
  }

  /** Does what is left of the plan. */
  void finishPlan() {
    if (!steps.isEmpty()) {
      while (!steps.isEmpty()) {
        perform(steps.remove());
      }
      startThreads();
    }
  }

  private void startThreads() {
    threads.forEach((pid, tids) -> Optional.ofNullable(stubs.get(pid)).filter(stub -> !zombies.contains(pid)).ifPresent(stub -> stub.haveThreads(tids)));
  }

  /**
   * At the end of a round, when all of the plan was done: stubs of which the round did not tell what they hold go, because their process has ended before or
   * while it was made.
   */
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
      case TreeStep.SetSid(int pid) -> beginSession(find(pid));
      case TreeStep.SetPgid(int pid, int pgid) -> find(pid).call("setpgid(0, " + pgid + ")", SyscallNumber.SETPGID, 0, pgid);
      case TreeStep.TakeTerminal(int pid, int terminal) -> takeTerminal(find(pid), terminal - 1);
      case TreeStep.LeaveTerminal(int pid) -> onTerminal(find(pid), "/dev/tty", "TIOCNOTTY", TerminalCalls.TIOCNOTTY);
      case TreeStep.Subreaper(int pid, boolean on) ->
          find(pid).call("prctl(PR_SET_CHILD_SUBREAPER)", SyscallNumber.PRCTL, PR_SET_CHILD_SUBREAPER, on ? 1 : 0);
      case TreeStep.ExitHelper(int pid, int _) -> remove(pid);
      case TreeStep.EndStub(int pid, int _) -> remove(pid);
      case TreeStep.Discard(int pid, int _) -> remove(pid);
      case TreeStep.BecomeZombie(int pid) -> zombies.add(pid);
    }
  }

  private void beginSession(Stub stub) {
    if (stub != tree().root() || !tree().rootLeadsSession()) {
      stub.call("setsid", SyscallNumber.SETSID);
    }
  }

  private void takeTerminal(Stub leader, int index) {
    terminals.accept(index);
    onTerminal(leader, "/dev/pts/" + index, "TIOCSCTTY", TerminalCalls.TIOCSCTTY);
  }

  private static void onTerminal(Stub stub, String path, String what, int request) {
    var batch = stub.newBatch();
    var opened = batch.call("open(\"" + path + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string(path), Fd.O_RDWR | Fd.O_NOCTTY, 0);
    batch.call(what + " on " + path, SyscallNumber.IOCTL, 0, request, 0).link(0, opened);
    batch.call("close(terminal)", SyscallNumber.CLOSE, 0).link(0, opened);
    stub.run(batch);
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

      /**
       * Only {@link #keepOnly} takes stubs away: the process may have ended since the plan was made, which then still means to have children born by its
       * stub, and one that was not waited for is still to become a zombie.
       */
      @Override
      public void remove(int nsPid) {}
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
