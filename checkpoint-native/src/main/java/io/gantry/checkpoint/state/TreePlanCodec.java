package io.gantry.checkpoint.state;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.tree_plan_entry;
import io.gantry.checkpoint.image.tree_step_entry;
import io.gantry.checkpoint.image.tree_step_kind;
import io.gantry.checkpoint.image.tree_threads_entry;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Steps of a {@link TreePlan} as they travel between hosts. Pure. */
public final class TreePlanCodec {
  private TreePlanCodec() {}

  public static tree_plan_entry encode(List<TreeStep> steps) {
    var plan = tree_plan_entry.newBuilder();
    steps.forEach(step -> plan.addSteps(encode(step)));
    return plan.build();
  }

  /** @param threads see {@link TreeReader#otherThreads} */
  public static tree_plan_entry.Builder encode(List<TreeStep> steps, Map<Integer, int[]> threads) {
    var plan = encode(steps).toBuilder();
    threads.forEach((pid, tids) -> plan.addThreads(tree_threads_entry.newBuilder().setPid(pid).addAllTids(Arrays.stream(tids).boxed().toList())));
    return plan;
  }

  private static tree_step_entry encode(TreeStep step) {
    return switch (step) {
      case TreeStep.Fork(int parent, int child, boolean helper) ->
          entry(helper ? tree_step_kind.TREE_FORK_HELPER : tree_step_kind.TREE_FORK, child, parent);
      case TreeStep.SetSid(int pid) -> entry(tree_step_kind.TREE_SETSID, pid, 0);
      case TreeStep.SetPgid(int pid, int pgid) -> entry(tree_step_kind.TREE_SETPGID, pid, pgid);
      case TreeStep.TakeTerminal(int pid, int terminal) -> entry(tree_step_kind.TREE_TERMINAL, pid, terminal);
      case TreeStep.LeaveTerminal(int pid) -> entry(tree_step_kind.TREE_NO_TERMINAL, pid, 0);
      case TreeStep.Subreaper(int pid, boolean on) -> entry(tree_step_kind.TREE_SUBREAPER, pid, on ? 1 : 0);
      case TreeStep.ExitHelper(int pid, int parent) -> entry(tree_step_kind.TREE_EXIT_HELPER, pid, parent);
      case TreeStep.EndStub(int pid, int parent) -> entry(tree_step_kind.TREE_END, pid, parent);
      case TreeStep.Discard(int pid, int parent) -> entry(tree_step_kind.TREE_DISCARD, pid, parent);
      case TreeStep.BecomeZombie(int pid) -> entry(tree_step_kind.TREE_ZOMBIE, pid, 0);
    };
  }

  private static tree_step_entry entry(tree_step_kind kind, int pid, int other) {
    return tree_step_entry.newBuilder().setKind(kind).setPid(pid).setOther(other).build();
  }

  public static List<TreeStep> decode(tree_plan_entry plan) {
    return plan.getStepsList().stream().map(TreePlanCodec::decode).toList();
  }

  /** The threads that stubs can be given already, by process. */
  public static Map<Integer, int[]> threads(tree_plan_entry plan) {
    var threads = new HashMap<Integer, int[]>();
    for (var process : plan.getThreadsList()) {
      int[] tids = process.getTidsList().stream().mapToInt(Integer::intValue).toArray();
      if (Arrays.stream(tids).anyMatch(tid -> tid <= 0 || tid == process.getPid())) {
        throw new CheckpointException("The plan of the process tree names impossible threads of process " + process.getPid());
      }
      threads.put(process.getPid(), tids);
    }
    return threads;
  }

  private static TreeStep decode(tree_step_entry step) {
    int pid = step.getPid();
    int other = step.getOther();
    if (pid <= 0 || other < 0) {
      throw new CheckpointException("The plan of the process tree names the impossible ids " + pid + " and " + other);
    }
    return switch (step.getKind()) {
      case TREE_FORK -> new TreeStep.Fork(other, pid, false);
      case TREE_FORK_HELPER -> new TreeStep.Fork(other, pid, true);
      case TREE_SETSID -> new TreeStep.SetSid(pid);
      case TREE_SETPGID -> new TreeStep.SetPgid(pid, other);
      case TREE_TERMINAL -> new TreeStep.TakeTerminal(pid, other);
      case TREE_NO_TERMINAL -> new TreeStep.LeaveTerminal(pid);
      case TREE_SUBREAPER -> new TreeStep.Subreaper(pid, other == 1);
      case TREE_EXIT_HELPER -> new TreeStep.ExitHelper(pid, other);
      case TREE_END -> new TreeStep.EndStub(pid, other);
      case TREE_DISCARD -> new TreeStep.Discard(pid, other);
      case TREE_ZOMBIE -> new TreeStep.BecomeZombie(pid);
    };
  }
}
