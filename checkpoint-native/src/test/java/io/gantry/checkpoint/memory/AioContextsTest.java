package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.testing.Workload;
import org.junit.jupiter.api.Test;

/** Needs root. That contexts arrive as they were is tested where a whole program moves. */
class AioContextsTest {
  private static AioRing ring(int pid) {
    var mapping = Maps.read(pid).stream().filter(each -> each.name().startsWith(AioRing.NAME)).findFirst().orElseThrow();
    return AioRing.read(pid, mapping.start(), mapping.end() - mapping.start());
  }

  @Test
  void requestThatDoesNotEndIsFoundAndNothingOfTheLookStays() {
    try (var source = Workload.start("aio", "flying");
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      assertThat(UnsupportedMemory.of(source.pid())).isEmpty();
      move.round();
      move.freeze();
      assertThatThrownBy(move::awaitRequests)
          .isInstanceOf(CheckpointException.class)
          .hasMessageContaining("AIO context at 0x" + Long.toHexString(ring(source.pid()).address()) + " of process " + source.pid())
          .hasMessageContaining("has 1 requests in flight");
      move.thaw();
      source.send("go on");
      assertThat(source.awaitLine("events", Move.LIMIT)).isEqualTo("events 77 78 99");
    }
  }

  @Test
  void eventsThatWaitAreNotDisturbedAndArrive() {
    try (var source = Workload.start("aio", "landed");
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      move.round();
      move.freeze();
      move.awaitRequests();
      var original = ring(source.pid());
      move.last();
      move.finish();
      var copy = ring(move.stubOf(source.pid()));
      assertThat(copy.address()).isEqualTo(original.address());
      assertThat(copy.head()).isEqualTo(original.head());
      assertThat(copy.unread()).isEqualTo(2);
      assertThat(copy.events()).isEqualTo(original.events());
      move.thaw();
      source.send("go on");
      assertThat(source.awaitLine("events", Move.LIMIT)).isEqualTo("events 77 78");
    }
  }

  @Test
  void whatARoundHasSentIsSentOnceMoreWhereDevicesMayWrite() {
    try (var source = Workload.start("aio", "landed");
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      move.round();
      long first = move.sink.contentPages();
      assertThat(first).isPositive();
      assertThat(move.capture.dirtyEstimate()).isGreaterThanOrEqualTo(first);
      move.round();
      assertThat(move.sink.contentPages()).isGreaterThanOrEqualTo(2 * first);
      long both = move.sink.contentPages();
      move.round();
      assertThat(move.sink.contentPages()).as("not a third time").isLessThan(both + first / 2);
    }
  }

  @Test
  void contextThatWasNotWaitedForIsNotCarried() {
    try (var source = Workload.start("aio", "landed");
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      move.round();
      move.freeze();
      assertThatThrownBy(move::last).isInstanceOf(CheckpointException.class).hasMessageContaining("made an AIO context just before it was frozen");
    }
  }

  @Test
  void inheritedRingIsAnObstacleInTheChildAlone() {
    try (var source = Workload.start("aio", "inherited")) {
      int child = Integer.parseInt(source.awaitLine("ready", Move.LIMIT).substring("ready ".length()));
      assertThat(UnsupportedMemory.of(source.pid())).isEmpty();
      assertThat(UnsupportedMemory.of(child))
          .singleElement()
          .satisfies(
              finding -> {
                assertThat(finding.kind()).isEqualTo("AIO context");
                assertThat(finding.sentence()).contains("is the ring of a context of its parent's, inherited by fork(2)");
              });
    }
  }

  @Test
  void requestsThatMakeARingAreTheFewestThatDo() {
    // 127 slots in the first page, and 128 in each other one; two more than twice the requests are needed, and one stays free.
    assertThat(AioRing.requests(4096)).isEqualTo(1);
    assertThat(AioRing.requests(2 * 4096)).isEqualTo(63);
    for (int pages = 2; pages < 2000; pages++) {
      int requests = AioRing.requests(pages * 4096L);
      assertThat(pagesOf(requests)).isEqualTo(pages);
      assertThat(pagesOf(requests - 1)).isEqualTo(pages - 1);
    }
  }

  private static int pagesOf(int requests) {
    return Math.ceilDiv(AioRing.HEADER_BYTES + AioRing.EVENT_BYTES * (2 * requests + 2), 4096);
  }

  @Test
  void placesThatNoProcessorCanHaveAreNotCounted() {
    assertThat(AioRequests.usable(new AioRing(1, 0, 8192, 255, 0, 0), 2)).isEqualTo(248);
    assertThat(AioRequests.usable(new AioRing(1, 0, 4096, 127, 0, 0), 64)).isEqualTo(126);
  }
}
