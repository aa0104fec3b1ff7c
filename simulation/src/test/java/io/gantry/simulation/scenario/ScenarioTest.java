package io.gantry.simulation.scenario;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.simulation.host.ContainerModel;
import io.gantry.simulation.network.NetworkModel;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class ScenarioTest {
  private static final int MIB = 256;

  @Test
  void everyMoveHasItsFiguresAndTheSameSeedGivesTheSame() {
    var scenario = Scenario.of(3).with("cache", ContainerModel.steady(64 * MIB, 2_000), 3).withMoves(40);
    var result = scenario.run();
    assertThat(result.moves()).hasSize(40).allSatisfy(move -> {
      assertThat(move.outcome()).isEqualTo(Result.COMPLETED);
      assertThat(move.pauseMs()).isPositive().isLessThan(move.totalMs());
      assertThat(move.bytes()).isGreaterThanOrEqualTo(64L << 20);
      assertThat(move.rounds()).isPositive();
    });
    assertThat(scenario.run().csv()).isEqualTo(result.csv());
    assertThat(scenario.withSeed(2).run().csv()).isNotEqualTo(result.csv());
  }

  @Test
  void pausesGrowWithTheRateOfWritesAndTimesWithTheSize() {
    var quiet = Scenario.of(2).with("c", ContainerModel.steady(64 * MIB, 0), 1).withMoves(20).run();
    var busy = Scenario.of(2).with("c", ContainerModel.steady(64 * MIB, 100_000), 1).withMoves(20).run();
    var large = Scenario.of(2).with("c", ContainerModel.steady(512 * MIB, 0), 1).withMoves(20).run();
    assertThat(busy.pauseMs().p50()).isGreaterThan(quiet.pauseMs().p50());
    assertThat(large.totalMs().p50()).isGreaterThan(4 * quiet.totalMs().p50());
    assertThat(large.pauseMs().p50()).as("the pause does not grow with the size").isLessThan(quiet.pauseMs().p50() * 1.5);
  }

  @Test
  void aSlowNetworkMakesMovesSlow() {
    var slow = new NetworkModel(2_000_000, 0, 100_000_000, 500_000_000, 2_000_000_000);
    var scenario = Scenario.of(2).with("c", ContainerModel.steady(16 * MIB, 100), 1).withMoves(10);
    assertThat(scenario.withNetwork(slow).run().totalMs().p50()).isGreaterThan(4 * scenario.run().totalMs().p50());
  }

  @Test
  void textSaysTheSameAsJava() {
    var parsed =
        ScenarioText.parse(
            """
            # two kinds
            nodes 4
            moves 7
            seed 3
            pause-budget 5ms
            deadline 2s
            when-stalled abort
            network latency=100us jitter=10us bandwidth=2GB/s
            container cache count=2 size=1GiB writes=500/s processes=3 threads=12 descriptors=40
            container batch size=4MiB quiet=10/s busy=2000/s period=200ms busy-share=0.25
            """);
    assertThat(parsed.nodes()).isEqualTo(4);
    assertThat(parsed.moves()).isEqualTo(7);
    assertThat(parsed.seed()).isEqualTo(3);
    assertThat(parsed.options().pauseBudget()).isEqualTo(Duration.ofMillis(5));
    assertThat(parsed.options().deadline()).isEqualTo(Duration.ofSeconds(2));
    assertThat(parsed.network().latencyNs()).isEqualTo(100_000);
    assertThat(parsed.network().bytesPerSecond()).isEqualTo(2_000_000_000);
    assertThat(parsed.kinds()).hasSize(2);
    var cache = parsed.kinds().getFirst();
    assertThat(cache.count()).isEqualTo(2);
    assertThat(cache.model().pages()).isEqualTo(1 << 18);
    assertThat(cache.model().threads()).isEqualTo(12);
    assertThat(cache.model().writes().pagesWritten(2_000_000_000)).isEqualTo(1_000);
    var batch = parsed.kinds().getLast().model().writes();
    assertThat(batch.pagesWritten(150_000_000)).isEqualTo(1);
    assertThat(batch.pagesWritten(200_000_000)).isEqualTo(101);
    assertThat(parsed.run().moves()).hasSize(7);
  }

  @Test
  void aMistakeInATextNamesItsLine() {
    assertThatThrownBy(() -> ScenarioText.parse("nodes 2\nrain on\n"))
        .hasMessageContaining("Line 2").hasMessageContaining("'rain'");
    assertThatThrownBy(() -> ScenarioText.parse("nodes two")).hasMessageContaining("Line 1").hasMessageContaining("'two'");
    assertThatThrownBy(() -> ScenarioText.parse("container c sice=1MiB")).hasMessageContaining("'sice' is not known");
    assertThatThrownBy(() -> ScenarioText.parse("moves 3").run()).hasMessageContaining("at least one kind");
  }

  @Test
  void aDistributionKnowsItsShares() {
    var figures = new Distribution(new double[] {5, 1, 4, 2, 3});
    assertThat(figures.min()).isEqualTo(1);
    assertThat(figures.p50()).isEqualTo(3);
    assertThat(figures.at(0.8)).isEqualTo(4);
    assertThat(figures.max()).isEqualTo(5);
    assertThat(figures.mean()).isEqualTo(3);
    assertThat(new Distribution(new double[0]).p99()).isZero();
  }
}
