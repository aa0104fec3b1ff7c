package io.gantry.simulation.time;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class VirtualTimeTest {
  private static List<Integer> order(long seed) {
    var time = new VirtualTime();
    time.restart(seed);
    var order = new ArrayList<Integer>();
    for (var i = 0; i < 50; i++) {
      var number = i;
      time.after(1_000, () -> order.add(number));
    }
    while (time.step()) {}
    return order;
  }

  @Test
  void whatIsDueAtTheSameTimeHappensInAnOrderThatOnlyTheSeedDecides() {
    assertThat(order(1)).isEqualTo(order(1)).isNotEqualTo(order(2)).hasSize(50).doesNotHaveDuplicates();
  }

  @Test
  void everythingHappensOnceInTheOrderOfTimeAndNothingThatWasCancelled() {
    var time = new VirtualTime();
    var chance = new SplittableRandom(5);
    var happened = new ArrayList<Long>();
    var due = new ArrayList<VirtualTime.Due>();
    for (var i = 0; i < 2_000; i++) {
      due.add(time.after(chance.nextLong(1_000_000), () -> happened.add(time.nowNs())));
    }
    var cancelled = 0;
    for (var one : due) {
      if (chance.nextInt(3) == 0 && time.cancel(one)) {
        cancelled++;
        assertThat(one.isPending()).isFalse();
        assertThat(time.cancel(one)).isFalse();
      }
    }
    while (time.step()) {}
    assertThat(happened).isSorted().hasSize(2_000 - cancelled);
    assertThat(time.pending()).isZero();
    assertThat(time.nextNs()).isEqualTo(Long.MAX_VALUE);
  }

  @Test
  void whatHappensMayAskForMore() {
    var time = new VirtualTime();
    var times = new ArrayList<Long>();
    time.after(10, () -> time.after(5, () -> times.add(time.nowNs())));
    time.after(12, () -> times.add(time.nowNs()));
    while (time.step()) {}
    assertThat(times).containsExactly(12L, 15L);
  }
}
