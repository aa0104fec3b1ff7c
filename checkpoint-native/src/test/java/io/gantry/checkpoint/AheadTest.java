package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class AheadTest {
  @Test
  void resultsAreThoseOfTheirPlacesAndMadeBySomebodyElse() {
    var maker = new Thread[1];
    try (var ahead =
        Ahead.begin(
            "maker",
            1000,
            i -> {
              maker[0] = Thread.currentThread();
              return "result " + i;
            })) {
      assertThat(ahead.get(999)).isEqualTo("result 999");
      assertThat(ahead.get(0)).isEqualTo("result 0");
      assertThat(maker[0]).isNotSameAs(Thread.currentThread());
    }
    assertThat(maker[0].isAlive()).isFalse();
  }

  @Test
  void whatFailsIsThrownToWhoWaitsForItAndWhatCameBeforeIsThere() {
    try (var ahead =
        Ahead.begin(
            "maker",
            10,
            i -> {
              if (i == 3) {
                throw new CheckpointException("thread 3 was killed");
              }
              return i;
            })) {
      assertThat(ahead.get(2)).isEqualTo(2);
      assertThatThrownBy(() -> ahead.get(3)).hasMessage("thread 3 was killed");
      assertThatThrownBy(() -> ahead.get(9)).hasMessage("thread 3 was killed");
    }
  }

  @Test
  void nothingMoreIsMadeOnceItIsClosed() throws InterruptedException {
    var made = new AtomicInteger();
    var go = new CountDownLatch(1);
    var ahead =
        Ahead.begin(
            "maker",
            1_000_000,
            i -> {
              made.incrementAndGet();
              if (i == 5) {
                awaitUninterrupted(go);
              }
              return i;
            });
    assertThat(ahead.get(4)).isEqualTo(4);
    var closer = new Thread(ahead::close);
    closer.start();
    while (closer.getState() != Thread.State.WAITING) {
      Thread.onSpinWait();
    }
    go.countDown();
    closer.join();
    assertThat(made.get()).isEqualTo(6);
  }

  private static void awaitUninterrupted(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void withoutAThreadOfItsOwnEachIsMadeWhenItIsAskedFor() {
    var made = new AtomicInteger();
    try (var ahead = Ahead.notAtAll(10, i -> made.incrementAndGet())) {
      assertThat(made.get()).isZero();
      assertThat(ahead.get(7)).isEqualTo(1);
    }
    assertThat(made.get()).isEqualTo(1);
  }
}
