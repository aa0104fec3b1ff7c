package io.gantry.node.cluster;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * As many random cases under fire as one likes, for {@code docs/reliability.md}. Not among the tests that run by themselves, since it takes seven seconds a
 * case; run it with
 *
 * <pre>
 *   ./mvnw -pl cluster-node -am -Dsurefire.failIfNoSpecifiedTests=false -Dtest=FireRun test
 * </pre>
 *
 * and {@code GANTRY_FIRE_CASES} (300), {@code GANTRY_FIRE_SEED} (1) and {@code GANTRY_FIRE_NODES} (3) in the environment. The table of what came of them goes to {@code target/fire.md}
 * while it runs.
 */
class FireRun {
  private static final List<String> PHASES =
      List.of("Offering", "Connecting", "PreCopying", "Freezing", "SendingLast", "AwaitingReady", "Activating");

  /** Bystanders seldom: what happens to them concerns the membership alone. */
  private static final List<FireCase.Side> SIDES =
      List.of(
          FireCase.Side.SOURCE, FireCase.Side.SOURCE, FireCase.Side.SOURCE, FireCase.Side.DESTINATION, FireCase.Side.DESTINATION, FireCase.Side.DESTINATION,
          FireCase.Side.BYSTANDER);

  /** Longest time after the beginning of a phase; later the next phases have begun. */
  private static final int DELAY_MS_MAX = 120;

  @Test
  void manyRandomCases() throws IOException {
    int cases = Integer.parseInt(System.getenv().getOrDefault("GANTRY_FIRE_CASES", "300"));
    var random = new SplittableRandom(Long.parseLong(System.getenv().getOrDefault("GANTRY_FIRE_SEED", "1")));
    var outcomes = new ArrayList<FireDriver.Outcome>();
    Path report = Path.of(System.getProperty("basedir", "."), "target", "fire.md");
    try (var driver = new FireDriver(Integer.parseInt(System.getenv().getOrDefault("GANTRY_FIRE_NODES", "3")))) {
      for (int i = 0; i < cases; i++) {
        FireCase fireCase = random(random);
        outcomes.add(driver.run(fireCase));
        FireDriver.write(report, FireDriver.table(outcomes));
      }
    }
  }

  private static FireCase random(SplittableRandom random) {
    String phase = PHASES.get(random.nextInt(PHASES.size()));
    FireCase.Fault fault = FireCase.Fault.values()[random.nextInt(FireCase.Fault.values().length)];
    FireCase.Side side = SIDES.get(random.nextInt(SIDES.size()));
    int delayMs = random.nextBoolean() ? 0 : random.nextInt(DELAY_MS_MAX);
    if (fault == FireCase.Fault.KILL_CONTAINER) {
      // There is one container, and from the commit on it is not the one on the source.
      return new FireCase(phase.equals("Activating") ? "PreCopying" : phase, 0, fault, FireCase.Side.SOURCE);
    }
    return new FireCase(phase, delayMs, fault, side);
  }
}
