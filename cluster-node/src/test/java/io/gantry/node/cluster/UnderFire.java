package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Agents are killed, stopped and restarted, links cut, disks filled and the container itself killed, in each phase of a move between two of three nodes, on either side and
 * on the third, with real processes. After each, exactly one copy runs and nothing is left of the other. A class for each side, so that they can run side by side.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Tag("long")
abstract class UnderFire {
  /** Before any of these has ended, the source may and must take the container back by itself. */
  static final List<String> BEFORE_THE_COMMIT = List.of("Offering", "Connecting", "PreCopying", "Freezing", "SendingLast", "AwaitingReady");

  /**
   * A second, of which 800 ms are how long the source waits for a word of the destination; the rest is for two processors on which other
   * tests run: every gap of more than 10 ms counts.
   */
  private static final long STALLED_MS_MAX = 4000;

  private final List<FireDriver.Outcome> outcomes = new ArrayList<>();
  private FireDriver driver;

  /** What strikes one of the two that move the container. */
  static List<FireCase> cases(FireCase.Side side) {
    var all = new ArrayList<FireCase>();
    for (String phase : BEFORE_THE_COMMIT) {
      all.add(new FireCase(phase, 0, FireCase.Fault.KILL, side));
    }
    all.add(new FireCase("AwaitingReady", 20, FireCase.Fault.KILL, side));
    all.add(new FireCase("Activating", 0, FireCase.Fault.KILL, side));
    for (String phase : List.of("PreCopying", "SendingLast")) {
      all.add(new FireCase(phase, 0, FireCase.Fault.STOP, side));
      all.add(new FireCase(phase, 0, FireCase.Fault.CUT, side));
      all.add(new FireCase(phase, 0, FireCase.Fault.CUT_SENDING, side));
    }
    all.add(new FireCase("Activating", 0, FireCase.Fault.CUT, side));
    all.add(new FireCase("PreCopying", 0, FireCase.Fault.FULL, side));
    all.add(new FireCase("PreCopying", 0, FireCase.Fault.RESTART, side));
    return all;
  }

  @BeforeAll
  void start() throws IOException {
    driver = new FireDriver(3);
  }

  @AfterAll
  void end() {
    System.out.println(FireDriver.table(outcomes));
    if (driver != null) {
      driver.close();
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void exactlyOneCopyGoesOn(FireCase fireCase) {
    FireDriver.Outcome outcome = driver.run(fireCase);
    System.out.println(outcome);
    outcomes.add(outcome);
    if (fireCase.side() == FireCase.Side.DESTINATION && BEFORE_THE_COMMIT.contains(fireCase.phase()) && !outcome.result().startsWith("completed")) {
      assertThat(outcome.stalledMs()).as("milliseconds for which the program stood still although it could run on").isLessThan(STALLED_MS_MAX);
    }
  }
}
