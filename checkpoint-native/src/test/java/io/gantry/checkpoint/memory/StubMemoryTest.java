package io.gantry.checkpoint.memory;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.BlankStub;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Pages that came for another layout than that of the round. Needs root. */
@Timeout(60)
class StubMemoryTest {
  private static final long AT = 0x5000_0000_0000L;

  private static final Duration LIMIT = Duration.ofSeconds(20);

  @TempDir Path directory;

  /** As when the dynamic loader has put zeros behind the data of a library while a round was made. */
  @Test
  void whatDoesNotFitBehindTheEndOfAFileMayComeAgainInTheNextRound() throws IOException {
    var file = Files.write(directory.resolve("library"), new byte[(int) Mmap.PAGE]);
    try (var blank = Workload.run("blank", List.of("/usr/bin/env", "GLIBC_TUNABLES=glibc.pthread.rseq=0", Workload.compile("blank").toString()));
        var arena = Arena.ofConfined()) {
      blank.awaitLine("ready", LIMIT);
      var stub = BlankStub.of(blank.pid());
      var batch = stub.newBatch();
      var opened = batch.call("open", SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string(file.toString()), Fd.O_RDONLY, 0);
      batch.call("mmap", SyscallNumber.MMAP, AT, 4 * Mmap.PAGE, 1, Mmap.MAP_PRIVATE | Mmap.MAP_FIXED, 0, 0).link(4, opened);
      stub.run(batch);
      var page = arena.allocate(Mmap.PAGE).fill((byte) 7);
      var mapping = new Vma(AT, AT + 4 * Mmap.PAGE, 0, 1, 1, Mmap.MAP_PRIVATE, VmaStatus.REGULAR | VmaStatus.FILE_PRIVATE, 0, Fd.O_RDONLY);
      try (var memory = new StubMemory(stub, 1, Runnable::run, new PageSet())) {
        memory.layout(List.of(mapping));
        memory.write(new long[] {AT}, new int[] {1}, 1, page);
        memory.requireWritten();
        memory.write(new long[] {AT + 2 * Mmap.PAGE}, new int[] {1}, 1, page);
        assertThatThrownBy(memory::requireWritten).isInstanceOf(CheckpointException.class).hasMessageContaining("failed, mapping").hasMessageContaining("EIO");
        memory.layout(List.of());
        memory.requireWritten();
        assertThatThrownBy(() -> memory.write(new long[] {AT + 2 * Mmap.PAGE}, new int[] {1}, 1, page))
            .as("where the layout has no file")
            .isInstanceOf(CheckpointException.class);
      } finally {
        stub.kill();
      }
    }
  }
}
