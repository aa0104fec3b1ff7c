package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.PagemapScan;
import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Needs root: page frame numbers are only shown to it. */
class CowSharingTest {
  private static final int MIB = 48;
  private static final int CHILDREN = 3;

  @Test
  void pagesSharedCopyOnWriteAreSentOnceAndSharedAgain() throws IOException {
    try (var source = Workload.start("prefork", String.valueOf(MIB), String.valueOf(CHILDREN), "parent writes too");
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      for (int i = 0; i < 5; i++) {
        move.round();
      }
      move.freeze();
      move.last();
      assertThat(move.arrival.verifyDigest()).isEqualTo(move.capture.verifyDigest());
      assertThat(move.arrival.processes()).hasSize(1 + CHILDREN + 1);
      move.finish();
      move.capture.close();
      long written = 0;
      for (int pid : move.arrival.processes()) {
        Likeness.assertAlike(pid, move.stubs.get(pid));
        written += MIB / 16 * 256;
      }
      // The common memory once, what each wrote twice at most.
      assertThat(move.sink.contentPages()).isLessThan(MIB * 256 + 6 * written);
      sharesTheSameFrames(source.pid(), move);
      var sources = move.arrival.processes();
      var stubs = move.stubs.values().stream().map(StubProvider.Stub::pid).toList();
      assertThat(proportionalKb(stubs)).isLessThan(proportionalKb(sources) * 11 / 10);
    }
  }

  @Test
  void aChildThatIsFirstSeenInTheFreezeIsSharedToo() throws IOException {
    try (var source = Workload.start("prefork", String.valueOf(MIB), String.valueOf(CHILDREN), "parent writes too");
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      move.capture.round(0, move.alive(), move::whileStopped, move.sink);
      long before = move.sink.contentPages();
      move.freeze();
      move.last();
      assertThat(move.sink.contentPages() - before).isLessThan(MIB * 256 / 2);
      move.finish();
      for (int pid : move.arrival.processes()) {
        Likeness.assertAlike(pid, move.stubs.get(pid));
      }
      sharesTheSameFrames(source.pid(), move);
    }
  }

  /** Where two source processes have the same frame at the same address, so have their stubs. Pages rewritten since may have parted. */
  private static void sharesTheSameFrames(int root, Move move) {
    long sharedAtSource = 0;
    long sharedAtStubs = 0;
    int pages = MIB * 256;
    long start = bigMapping(root);
    long[] parent = frames(root, start, pages);
    long[] parentStub = frames(move.stubOf(root), start, pages);
    for (int pid : move.arrival.processes()) {
      if (pid != root) {
        long[] child = frames(pid, start, pages);
        long[] childStub = frames(move.stubOf(pid), start, pages);
        for (int i = 0; i < pages; i++) {
          if (parent[i] != 0 && parent[i] == child[i]) {
            sharedAtSource++;
            sharedAtStubs += parentStub[i] != 0 && parentStub[i] == childStub[i] ? 1 : 0;
          }
        }
      }
    }
    assertThat(sharedAtSource).isGreaterThan(MIB * 256L);
    assertThat(sharedAtStubs).isGreaterThan(sharedAtSource * 98 / 100);
  }

  private static long bigMapping(int pid) {
    return io.gantry.checkpoint.procfs.Maps.read(pid).stream()
        .filter(mapping -> mapping.end() - mapping.start() >= (long) (MIB - 1) << 20 && mapping.inode() == 0)
        .findFirst()
        .orElseThrow()
        .start();
  }

  private static long[] frames(int pid, long start, int pages) {
    try (var scan = PagemapScan.open(pid);
        var arena = Arena.ofConfined()) {
      var entries = arena.allocate(pages * 8L, 8);
      assertThat(scan.entries(start, entries)).isEqualTo(pages * 8L);
      long[] frames = entries.toArray(ValueLayout.JAVA_LONG);
      for (int i = 0; i < pages; i++) {
        frames[i] = frames[i] < 0 ? frames[i] & (1L << 55) - 1 : 0;
      }
      return frames;
    }
  }

  private static long proportionalKb(Collection<Integer> pids) throws IOException {
    long sum = 0;
    for (int pid : List.copyOf(pids)) {
      for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/smaps_rollup"))) {
        if (line.startsWith("Pss_Anon:")) {
          sum += Long.parseLong(line.replaceAll("[^0-9]", ""));
        }
      }
    }
    return sum;
  }
}
