package io.gantry.simulation.mutation;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.simulation.fault.Coverage;
import io.gantry.simulation.fault.Fault;
import io.gantry.simulation.fault.FaultKind;
import io.gantry.simulation.fault.MovePhase;
import io.gantry.simulation.run.RunSettings;
import io.gantry.simulation.run.SeedRun;
import io.gantry.simulation.time.VirtualActorSystem;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The simulation sees every mistake that it knows of. */
class MutationsTest {
  /** Each of the usual ones was seen within 700 seeds when this was written. */
  private static final int SEEDS_MAX = 3_000;

  /** This needs two particular faults one after the other. */
  private static final String SELDOM = "discard-what-is-owned";

  private static VirtualActorSystem actors;

  @BeforeAll
  static void open() {
    actors = new VirtualActorSystem();
  }

  @AfterAll
  static void end() {
    actors.close();
  }

  static List<String> usual() {
    return Mutations.all().stream().map(Mutation::name).filter(name -> !name.equals(SELDOM)).toList();
  }

  /** One for each invariant. */
  @ParameterizedTest
  @ValueSource(strings = {"take-back-unasked", "destroy-too-early", "never-ask", "keep-what-is-discarded", "skip-the-freeze"})
  void aCoarseMistakeIsSeenAtOnce(String name) {
    assertThat(seedsUntilSeen(name, RunSettings.exploring(), 100)).isPositive();
  }

  @ParameterizedTest
  @Tag("long")
  @MethodSource("usual")
  void aMistakeIsSeen(String name) {
    assertThat(seedsUntilSeen(name, RunSettings.exploring(), SEEDS_MAX)).isPositive();
  }

  @Test
  void threeFaultsThatKillACarelessSourceAreBorneByTheProtocol() {
    var plan =
        List.of(
            fault(FaultKind.LOST_WRITE, "Releasing", 0, 1_000),
            fault(FaultKind.PARTITION, "Releasing", 0, 3_000),
            fault(FaultKind.AGENT_CRASH, "RollingBack", 5, 200));
    var mistaken = RunSettings.exploring().withMutation(Mutations.named("unknown-is-not-written").orElseThrow());
    assertThat(violations(mistaken, plan)).contains("I1");
    assertThat(violations(RunSettings.exploring(), plan)).as("the protocol bears them").isEmpty();
  }

  private static Fault fault(FaultKind kind, String phase, int delayMs, int lastsMs) {
    return new Fault(kind, MovePhase.source(phase), 1, delayMs * 1_000_000L, 0, lastsMs * 1_000_000L, 0);
  }

  private static Set<String> violations(RunSettings settings, List<Fault> plan) {
    var invariants = new TreeSet<String>();
    for (var seed = 1; seed <= 50; seed++) {
      SeedRun.run(actors, settings, seed, plan, new Coverage(settings.faults()), false).violations()
          .forEach(violation -> invariants.add(violation.invariant()));
    }
    return invariants;
  }

  @Test
  @Tag("long")
  void anOwnedCopyThatIsDiscardedIsSeen() {
    assertThat(seedsUntilSeen(SELDOM, RunSettings.exploring(), 20_000)).isPositive();
  }

  @Test
  void thereAreEnoughOfThem() {
    assertThat(Mutations.all()).hasSizeGreaterThanOrEqualTo(15);
    assertThat(Mutations.all()).extracting(Mutation::name).doesNotHaveDuplicates();
  }

  /** @return which seed it was, counted from 1; 0 when none of so many has seen it */
  private static int seedsUntilSeen(String name, RunSettings settings, int seedsMax) {
    var mistaken = settings.withMutation(Mutations.named(name).orElseThrow());
    for (var seed = 1; seed <= seedsMax; seed++) {
      var coverage = new Coverage(settings.faults());
      if (!SeedRun.run(actors, mistaken, seed, SeedRun.plan(mistaken, seed), coverage, false).isSound()) {
        return seed;
      }
    }
    return 0;
  }
}
