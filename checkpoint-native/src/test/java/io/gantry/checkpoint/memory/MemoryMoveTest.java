package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.procfs.VmFlags;
import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Needs root. */
class MemoryMoveTest {
  @TempDir Path directory;

  private Path file() throws IOException {
    byte[] content = new byte[16 * 4096];
    new Random(1).nextBytes(content);
    return Files.write(directory.resolve("mapped"), content);
  }

  @Test
  void everyKindOfMappingArrivesAsItWas() throws IOException {
    try (var source = Workload.start("mappings", "still", file().toString());
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      assertThat(UnsupportedMemory.of(source.pid())).isEmpty();
      move.round();
      move.freeze();
      move.last();
      assertThat(move.capture.digest()).isEqualTo(move.arrival.digest());
      assertThat(move.arrival.verifyDigest()).isEqualTo(move.capture.verifyDigest());
      move.finish();
      move.capture.close();
      Likeness.assertAlike(source.pid(), move.stubs.get(source.pid()));
    }
  }

  @Test
  void reservationsCostNothing() throws IOException {
    try (var source = Workload.start("mappings", "still", file().toString());
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      long tables = pageTablesKb(source.pid());
      move.round();
      // The 256 GiB without access and the 64 GiB that are sparse: only what exists was looked at and sent.
      assertThat(move.sink.contentPages()).isLessThan(8192);
      assertThat(pageTablesKb(source.pid())).isLessThan(tables + 64);
      assertThat(pageTablesKb(move.stubOf(source.pid()))).isLessThan(2 * tables + 256);
    }
  }

  @Test
  void trackingLeavesNoTrace() throws IOException {
    try (var source = Workload.start("mappings", "still", file().toString());
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      var before = Likeness.layout(source.pid(), 0, 0);
      int mappings = Maps.read(source.pid()).size();
      int descriptors = descriptors(source.pid());
      move.round();
      move.round();
      move.freeze();
      move.last();
      move.capture.close();
      move.thaw();
      assertThat(Likeness.layout(source.pid(), 0, 0)).isEqualTo(before);
      assertThat(Maps.read(source.pid())).hasSize(mappings);
      assertThat(descriptors(source.pid())).isEqualTo(descriptors);
      var flags = VmFlags.read(source.pid());
      assertThat(Maps.read(source.pid()))
          .noneMatch(
              mapping ->
                  !mapping.name().equals("[vsyscall]")
                      && (flags.of(mapping.start(), mapping.end()) & VmFlags.USERFAULT_WRITE_PROTECT) != 0);
    }
  }

  @Test
  void everythingThatAProcessDoesToItsMemoryIsFollowed() throws IOException {
    try (var source = Workload.start("mappings", "churn", file().toString());
        var move = new Move(source)) {
      source.awaitLine("ready", Move.LIMIT);
      for (int i = 0; i < 25; i++) {
        move.round();
      }
      move.freeze();
      move.last();
      assertThat(move.arrival.verifyDigest()).isEqualTo(move.capture.verifyDigest());
      move.finish();
      move.capture.close();
      for (int pid : move.arrival.processes()) {
        Likeness.assertAlike(pid, move.stubs.get(pid));
      }
    }
  }

  private static int descriptors(int pid) {
    return io.gantry.checkpoint.procfs.Link.descriptors(pid).size();
  }

  private static long pageTablesKb(int pid) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/status"))) {
      if (line.startsWith("VmPTE:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    throw new AssertionError("no VmPTE");
  }
}
