package io.gantry.actors.migration;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.actors.MigrateOptions.OnStall;
import io.gantry.actors.migration.FreezePolicy.AnotherRound;
import io.gantry.actors.migration.FreezePolicy.FreezeNow;
import io.gantry.actors.migration.FreezePolicy.GiveUp;
import io.gantry.actors.migration.FreezePolicy.Goal;
import io.gantry.actors.migration.FreezePolicy.Round;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class FreezePolicyTest {
  private static final long MS = 1_000_000;
  private static final Goal GOAL = new Goal(20 * MS, OnStall.FREEZE, 60_000 * MS);
  private static final Goal ABORT = new Goal(20 * MS, OnStall.ABORT, 60_000 * MS);
  private static final long FIXED = 10 * MS;

  /** A round of {@code pages} at 1 GB/s, with {@code dirtyPerSecond} pages written meanwhile. */
  private static Round round(long pages, double dirtyPerSecond) {
    var elapsedNs = pages * 4096;
    return new Round(pages, 0, pages * 4096, elapsedNs, Math.round(elapsedNs * dirtyPerSecond / 1e9));
  }

  /** Runs the policy against a container that writes at a steady rate. */
  private static List<Object> play(long pages, double dirtyPerSecond, Goal goal) {
    var rounds = new ArrayList<Round>();
    rounds.add(round(pages, dirtyPerSecond));
    while (true) {
      var decision = FreezePolicy.decide(rounds, FIXED, goal);
      if (!(decision instanceof AnotherRound)) {
        return List.of(rounds.size(), decision);
      }
      rounds.add(round(rounds.getLast().dirtyPages(), dirtyPerSecond));
    }
  }

  @Test
  void anIdleContainerIsFrozenAfterTheFirstRound() {
    var end = play(262_144, 0, GOAL);
    assertThat(end.getFirst()).isEqualTo(1);
    assertThat(end.getLast()).isInstanceOfSatisfying(FreezeNow.class, now -> assertThat(now.why()).isEmpty());
  }

  @Test
  void roundsGoOnWhileThePredictionFallsAndStopWithinTheBudget() {
    // 50,000 pages/s against about 244,000 pages/s: each round is a fifth of the one before.
    var end = play(262_144, 50_000, GOAL);
    assertThat((int) end.getFirst()).isBetween(3, 4);
    assertThat(end.getLast())
        .isInstanceOfSatisfying(FreezeNow.class, now -> assertThat(now.prediction().pauseNs()).isLessThanOrEqualTo(20 * MS));
  }

  @Test
  void aContainerThatWritesFasterThanTheLinkStallsAndTheOptionDecides() {
    assertThat(play(262_144, 300_000, GOAL).getLast())
        .isInstanceOfSatisfying(FreezeNow.class, now -> assertThat(now.why()).contains("budget of 20.0 ms", "pages/s"));
    var given = play(262_144, 300_000, ABORT);
    assertThat((int) given.getFirst()).isLessThanOrEqualTo(FreezePolicy.STALL_ROUNDS + 1);
    assertThat(given.getLast()).isInstanceOfSatisfying(GiveUp.class, up -> assertThat(up.why()).contains("no longer shorten"));
  }

  @Test
  void whenOnlyTheFixedCostIsTooHighNoMoreRoundsAreWasted() {
    var decision = FreezePolicy.decide(List.of(round(1000, 0)), 50 * MS, GOAL);
    assertThat(decision).isInstanceOfSatisfying(FreezeNow.class, now -> assertThat(now.why()).contains("besides memory"));
    assertThat(FreezePolicy.decide(List.of(round(1000, 0)), 50 * MS, ABORT)).isInstanceOf(GiveUp.class);
  }

  @Test
  void theDeadlineEndsTheRounds() {
    var rounds = List.of(round(262_144, 50_000));
    assertThat(FreezePolicy.decide(rounds, FIXED, new Goal(20 * MS, OnStall.FREEZE, 500 * MS))).isInstanceOf(FreezeNow.class);
    assertThat(FreezePolicy.decide(rounds, FIXED, new Goal(20 * MS, OnStall.ABORT, 500 * MS))).isInstanceOf(GiveUp.class);
    assertThat(FreezePolicy.decide(rounds, FIXED, new Goal(20 * MS, OnStall.FREEZE, 0))).isInstanceOf(GiveUp.class);
  }

  @Test
  void smallRoundsDoNotSpoilTheThroughput() {
    // The last round sent 10 pages in 3 ms, nearly all of it for the scan.
    var rounds = List.of(round(262_144, 1000), new Round(10, 0, 40_960, 3 * MS, 20));
    assertThat(FreezePolicy.predict(rounds, 2, FIXED).memoryNs()).isLessThan(4 * MS);
  }

  @Test
  void aContainerWithoutPagesIsFrozenAtOnce() {
    assertThat(FreezePolicy.decide(List.of(new Round(0, 100, 200, MS, 0)), FIXED, GOAL)).isInstanceOf(FreezeNow.class);
  }

  @Test
  void theModelLearnsFromMeasuredPauses() {
    var shape = new PauseModel.Shape(1, 100, 50);
    var measured = 40 * MS;
    var model = PauseModel.INITIAL;
    for (var i = 0; i < 8; i++) {
      model = model.learn(shape, measured);
    }
    assertThat(model.fixedNs(shape)).isBetween(39 * MS, 41 * MS);
    assertThat(model.fixedNs(new PauseModel.Shape(1, 500, 50))).isGreaterThan(measured);
    assertThat(model.learn(shape, -5).factor()).isGreaterThan(0);
  }
}
