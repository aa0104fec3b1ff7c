package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.state.TreeStep.BecomeZombie;
import io.gantry.checkpoint.state.TreeStep.Discard;
import io.gantry.checkpoint.state.TreeStep.EndStub;
import io.gantry.checkpoint.state.TreeStep.ExitHelper;
import io.gantry.checkpoint.state.TreeStep.Fork;
import io.gantry.checkpoint.state.TreeStep.SetPgid;
import io.gantry.checkpoint.state.TreeStep.SetSid;
import io.gantry.checkpoint.state.TreeStep.LeaveTerminal;
import io.gantry.checkpoint.state.TreeStep.Subreaper;
import io.gantry.checkpoint.state.TreeStep.TakeTerminal;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class TreePlanTest {
  private static TreeMember member(int pid, int ppid, int pgid, int sid) {
    return new TreeMember(pid, ppid, pgid, sid, List.of(pid), false, pid);
  }

  @Test
  void oneProcessNeedsOnlyItsFork() {
    assertThat(TreePlan.complete(List.of(member(1, 0, 0, 0))).steps()).containsExactly(new Fork(0, 1, false));
  }

  @Test
  void leaderFoundsItsSessionAndChildrenInheritIt() {
    var plan = TreePlan.complete(List.of(member(1, 0, 1, 1), member(7, 1, 1, 1), member(9, 7, 9, 1)));
    assertThat(plan.steps())
        .containsExactly(
            new Fork(0, 1, false), new SetSid(1), new Fork(1, 7, false), new Fork(7, 9, false), new SetPgid(9, 9));
  }

  @Test
  void childOfTheSessionThatItsParentLeftIsBornBeforeTheParentLeaves() {
    var plan = TreePlan.complete(List.of(member(1, 0, 1, 1), member(2, 1, 2, 2), member(3, 2, 1, 1), member(4, 2, 2, 2)));
    assertThat(plan.steps())
        .containsExactly(
            new Fork(0, 1, false),
            new SetSid(1),
            new Fork(1, 2, false),
            new Fork(2, 3, false),
            new SetSid(2),
            new Fork(2, 4, false));
  }

  @Test
  void sessionOfADeadLeaderIsLentByAHelperWithItsId() {
    var plan = TreePlan.complete(List.of(member(1, 0, 1, 1), member(6, 1, 5, 5)));
    assertThat(plan.steps())
        .containsExactly(
            new Fork(0, 1, false),
            new SetSid(1),
            new Fork(1, 5, true),
            new SetSid(5),
            new Fork(5, 2, true),
            new Fork(2, 6, false),
            new ExitHelper(2, 5),
            new ExitHelper(5, 1));
  }

  @Test
  void orphanOfALivingSessionIsBornByAHelperOfThatSession() {
    // A daemon's child: 3 founded a session, forked 4, 4 forked 5 and died.
    var plan = TreePlan.complete(List.of(member(1, 0, 1, 1), member(3, 1, 3, 3), member(5, 1, 3, 3)));
    assertThat(plan.steps()).contains(new Fork(3, 2, true), new Fork(2, 5, false), new ExitHelper(2, 3));
    TestKernel.expect(plan, List.of(member(1, 0, 1, 1), member(3, 1, 3, 3), member(5, 1, 3, 3)));
  }

  @Test
  void subreaperAdoptsOnlyWhileTheHelperExits() {
    var target = List.of(member(1, 0, 1, 1), member(2, 1, 2, 2), member(3, 2, 3, 3), member(5, 2, 3, 3));
    var plan = TreePlan.complete(target);
    assertThat(plan.steps()).contains(new Subreaper(2, true), new Subreaper(2, false));
    TestKernel.expect(plan, target);
  }

  @Test
  void groupOfADeadLeaderIsFoundedByAHelperWithItsId() {
    var target = List.of(member(1, 0, 1, 1), member(3, 1, 8, 1), member(4, 1, 8, 1));
    var plan = TreePlan.complete(target);
    assertThat(plan.steps())
        .containsSubsequence(
            new Fork(3, 8, true), new SetPgid(8, 8), new SetPgid(3, 8), new SetPgid(4, 8), new ExitHelper(8, 3));
    TestKernel.expect(plan, target);
  }

  @Test
  void groupWhoseFounderMovedOnIsFoundedByItAgain() {
    var target = List.of(member(1, 0, 1, 1), member(3, 1, 1, 1), member(4, 3, 3, 1));
    TestKernel.expect(TreePlan.complete(target), target);
  }

  @Test
  void zombiesEndLastAndOnlyInTheLastPlan() {
    var zombie = new TreeMember(4, 1, 4, 4, List.of(4), true, 4);
    var target = List.of(member(1, 0, 1, 1), zombie);
    assertThat(TreePlan.complete(target).steps()).endsWith(new BecomeZombie(4));
    assertThat(TreePlan.between(List.of(), target, false).steps()).doesNotContain(new BecomeZombie(4));
    assertThat(TreePlan.between(target.stream().map(TreePlanTest::alive).toList(), target, true).steps())
        .containsExactly(new BecomeZombie(4));
  }

  private static TreeMember alive(TreeMember member) {
    return new TreeMember(
        member.pid(), member.ppid(), member.pgid(), member.sid(), member.threads(), false, member.startTicks(), member.terminal());
  }

  @Test
  void laterRoundsAddAndRemoveProcesses() {
    var before = List.of(member(1, 0, 1, 1), member(2, 1, 1, 1), member(3, 2, 1, 1));
    var after = List.of(member(1, 0, 1, 1), member(3, 1, 1, 1), member(5, 3, 5, 5));
    var plan = TreePlan.between(before, after, false);
    assertThat(plan.steps()).containsExactly(new EndStub(2, 1), new Fork(3, 5, false), new SetSid(5));
    assertThat(plan.rebuilt()).isEmpty();
  }

  @Test
  void stubOfAReusedIdIsRebuiltWithItsDescendants() {
    var before = List.of(member(1, 0, 1, 1), member(2, 1, 1, 1), member(3, 2, 1, 1));
    var other = new TreeMember(2, 1, 1, 1, List.of(2), false, 99);
    var after = List.of(member(1, 0, 1, 1), other, member(3, 2, 1, 1));
    var plan = TreePlan.between(before, after, false);
    assertThat(plan.rebuilt()).containsExactlyInAnyOrder(2, 3);
    assertThat(plan.steps())
        .containsExactly(new Discard(3, 2), new Discard(2, 1), new Fork(1, 2, false), new Fork(2, 3, false));
  }

  @Test
  void stubInASessionThatItCannotLeaveIsRebuilt() {
    // 3's parent had not founded its session yet when 3 was forked at the source; the stub of 3 was born too late.
    var before = List.of(member(1, 0, 1, 1), member(3, 1, 3, 3));
    var after = List.of(member(1, 0, 1, 1), member(3, 1, 1, 1));
    assertThat(TreePlan.between(before, after, false).rebuilt()).containsExactly(3);
  }

  @Test
  void planOfTheSameTreeIsEmpty() {
    var tree = List.of(member(1, 0, 1, 1), member(6, 1, 5, 5), member(7, 6, 8, 5));
    assertThat(TreePlan.between(tree, tree, true).steps()).isEmpty();
  }

  @Test
  void impossibleTreeIsRefusedWithASentence() {
    // Session 9 is led by 9 below 3; nobody below 2 can be in it.
    var target = List.of(member(1, 0, 1, 1), member(2, 1, 1, 1), member(3, 1, 1, 1), member(9, 3, 9, 9), member(5, 2, 9, 9));
    assertThatThrownBy(() -> TreePlan.complete(target))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("Process 5 cannot be recreated");
  }

  @Test
  void treesThatRealHistoriesLeaveBehindAreRebuiltExactly() {
    int impossible = 0;
    for (int seed = 0; seed < 2_000; seed++) {
      var kernel = new TestKernel(new Random(seed));
      List<TreeMember> before = List.of();
      for (int round = 0; round < 3; round++) {
        kernel.live(round == 0 ? 60 : 10);
        var target = kernel.members();
        try {
          var stubs = new TestKernel(before);
          stubs.carryOut(TreePlan.between(before, target, false));
          assertThat(stubs.places()).as("seed %d, round %d", seed, round).isEqualTo(kernel.places());
        } catch (CheckpointException refused) {
          impossible++;
          break;
        }
        before = target.stream().map(TreePlanTest::alive).toList();
      }
    }
    assertThat(impossible).as("histories whose end no plan reaches").isLessThanOrEqualTo(10);
  }

  /** Processes as a kernel keeps them: lives random histories, and carries out plans, refusing what a kernel refuses. */
  private static final class TestKernel {
    private static final class Task {
      int parent;
      int group;
      int session;
      int terminal;
      boolean subreaper;
      boolean zombie;
      long start;
    }

    private final TreeMap<Integer, Task> tasks = new TreeMap<>();
    private final Random random;
    private long clock;
    private int terminals;

    TestKernel(Random random) {
      this.random = random;
      born(1, 0, 0, 0);
      setSid(1);
    }

    TestKernel(List<TreeMember> existing) {
      random = new Random(0);
      for (TreeMember member : existing) {
        born(member.pid(), member.ppid(), member.pgid(), member.sid());
        tasks.get(member.pid()).terminal = member.terminal();
      }
    }

    static void expect(TreePlan plan, List<TreeMember> target) {
      var kernel = new TestKernel(List.of());
      kernel.carryOut(plan);
      var expected = new TreeMap<Integer, List<Integer>>();
      target.forEach(member -> expected.put(member.pid(), List.of(member.ppid(), member.pgid(), member.sid(), member.terminal())));
      assertThat(kernel.places()).isEqualTo(expected);
    }

    void live(int acts) {
      for (int i = 0; i < acts; i++) {
        var alive = tasks.keySet().stream().filter(pid -> !tasks.get(pid).zombie).toList();
        int pid = alive.get(random.nextInt(alive.size()));
        var task = tasks.get(pid);
        switch (random.nextInt(14)) {
          case 0, 1, 2, 3, 4 -> born(freeId(), pid, task.group, task.session);
          case 5 -> {
            if (!groupExists(pid)) {
              setSid(pid);
            }
          }
          case 6 -> {
            if (task.session != pid) {
              task.group = pid;
            }
          }
          case 7 -> {
            var groups = tasks.values().stream().filter(other -> other.session == task.session).map(o -> o.group).toList();
            if (task.session != pid) {
              task.group = groups.get(random.nextInt(groups.size()));
            }
          }
          case 8, 9 -> {
            if (pid != 1) {
              exit(pid);
              tasks.remove(pid);
            }
          }
          case 10 -> {
            if (pid != 1) {
              exit(pid);
            }
          }
          case 12 -> {
            int free = ++terminals;
            if (task.session == pid && task.terminal == 0) {
              task.terminal = free;
            }
          }
          case 13 -> {
            if (random.nextInt(3) == 0) {
              leaveTerminal(pid);
            }
          }
          case 11 -> task.subreaper = random.nextInt(4) == 0;
          default -> throw new AssertionError();
        }
        // Process 1 waits for its children.
        tasks.entrySet().removeIf(entry -> entry.getValue().zombie && entry.getValue().parent == 1 && random.nextBoolean());
      }
    }

    private int freeId() {
      int pid;
      do {
        pid = 2 + random.nextInt(60);
      } while (isTaken(pid));
      return pid;
    }

    private boolean isTaken(int id) {
      return tasks.containsKey(id) || tasks.values().stream().anyMatch(task -> task.session == id || task.group == id);
    }

    private boolean groupExists(int id) {
      return tasks.values().stream().anyMatch(task -> task.group == id);
    }

    private void born(int pid, int parent, int group, int session) {
      var task = new Task();
      task.parent = parent;
      task.group = group;
      task.session = session;
      task.start = ++clock;
      task.terminal = tasks.containsKey(parent) ? tasks.get(parent).terminal : 0;
      tasks.put(pid, task);
    }

    private void setSid(int pid) {
      assertThat(groupExists(pid)).as("setsid in %d must not find a group of its id", pid).isFalse();
      tasks.get(pid).session = pid;
      tasks.get(pid).group = pid;
      tasks.get(pid).terminal = 0;
    }

    private void leaveTerminal(int pid) {
      tasks.get(pid).terminal = 0;
      if (tasks.get(pid).session == pid) {
        tasks.values().stream().filter(task -> task.session == pid).forEach(task -> task.terminal = 0);
      }
    }

    private void exit(int pid) {
      var gone = tasks.get(pid);
      int reaper = gone.parent;
      while (reaper != 1 && (!tasks.get(reaper).subreaper || tasks.get(reaper).zombie)) {
        reaper = tasks.get(reaper).parent;
      }
      for (Task task : tasks.values()) {
        if (task.parent == pid) {
          task.parent = reaper;
        }
      }
      leaveTerminal(pid);
      gone.zombie = true;
    }

    private void end(int pid, int parent) {
      assertThat(tasks.get(pid).parent).as("who waits for %d", pid).isEqualTo(parent);
      exit(pid);
      tasks.remove(pid);
    }

    void carryOut(TreePlan plan) {
      for (TreeStep step : plan.steps()) {
        switch (step) {
          case Fork(int parent, int child, boolean _) -> {
            assertThat(isTaken(child)).as("id %d is free", child).isFalse();
            born(child, parent, parent == 0 ? 0 : tasks.get(parent).group, parent == 0 ? 0 : tasks.get(parent).session);
          }
          case SetSid(int pid) -> setSid(pid);
          case SetPgid(int pid, int pgid) -> {
            var task = tasks.get(pid);
            assertThat(task.session).isNotEqualTo(pid);
            assertThat(pid == pgid || tasks.values().stream().anyMatch(o -> o.group == pgid && o.session == task.session))
                .as("group %d that %d joins", pgid, pid)
                .isTrue();
            task.group = pgid;
          }
          case TakeTerminal(int pid, int terminal) -> {
            assertThat(tasks.get(pid).session).isEqualTo(pid);
            assertThat(tasks.get(pid).terminal).isZero();
            tasks.get(pid).terminal = terminal;
          }
          case LeaveTerminal(int pid) -> leaveTerminal(pid);
          case Subreaper(int pid, boolean on) -> tasks.get(pid).subreaper = on;
          case ExitHelper(int pid, int parent) -> end(pid, parent);
          case EndStub(int pid, int parent) -> end(pid, parent);
          case Discard(int pid, int parent) -> end(pid, parent);
          case BecomeZombie(int pid) -> exit(pid);
        }
      }
    }

    TreeMap<Integer, List<Integer>> places() {
      var places = new TreeMap<Integer, List<Integer>>();
      tasks.forEach((pid, task) -> places.put(pid, List.of(task.parent, task.group, task.session, task.zombie ? 0 : task.terminal)));
      return places;
    }

    List<TreeMember> members() {
      var members = new ArrayList<TreeMember>();
      tasks.forEach(
          (pid, task) ->
              members.add(
                  new TreeMember(pid, task.parent, task.group, task.session, List.of(pid), task.zombie, task.start, task.terminal)));
      return members;
    }
  }
}
