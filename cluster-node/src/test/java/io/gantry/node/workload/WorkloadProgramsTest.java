package io.gantry.node.workload;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.node.daemon.JavaProcess;
import io.gantry.node.demo.WorkloadStatus;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WorkloadProgramsTest {
  @TempDir Path directory;

  private Process start(Class<?> program, String... arguments) throws IOException {
    var command = new java.util.ArrayList<String>();
    command.add(JavaProcess.java().toString());
    command.add("-cp");
    command.add(JavaProcess.classPath());
    command.add(program.getName());
    command.add(directory.toString());
    command.addAll(java.util.List.of(arguments));
    return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(directory.resolve("output").toFile()).start();
  }

  @Test
  void theProgramChecksItselfAndSaysSoAtTheEnd() throws Exception {
    Process program = start(SelfCheckingProgram.class, Long.toString(80L << 20));
    try {
      Path status = directory.resolve("status.json");
      WorkloadStatus running =
          WorkloadStatus.await(status, "did not check anything", Duration.ofSeconds(15), now -> now.checks() > 10_000);
      assertThat(running.errors()).as(running.firstError()).isZero();
      Files.createFile(directory.resolve("stop"));
      WorkloadStatus last = WorkloadStatus.await(status, "did not end", Duration.ofSeconds(15), now -> now.state().equals("ended"));
      assertThat(last.errors()).as(last.firstError()).isZero();
      assertThat(last.checks()).isGreaterThan((80L << 20) / 4096);
      assertThat(program.waitFor(10, TimeUnit.SECONDS)).isTrue();
      assertThat(program.exitValue()).as(Files.readString(directory.resolve("output"))).isZero();
    } finally {
      program.destroyForcibly();
    }
  }

  @Test
  void itsClockSeesAPause() throws Exception {
    Process program = start(PageWriter.class, Long.toString(16L << 20), "10", "10", "60");
    try {
      Path status = directory.resolve("status.json");
      WorkloadStatus.await(status, "did not start", Duration.ofSeconds(15), now -> now.state().equals("running"));
      long beganNs = System.nanoTime();
      signal("STOP", program.pid());
      // A pause of known length, not a wait for something.
      Thread.sleep(200);
      signal("CONT", program.pid());
      long endedNs = System.nanoTime();
      WorkloadStatus after = WorkloadStatus.await(status, "did not go on", Duration.ofSeconds(15), now -> now.writtenNs() > endedNs + 50_000_000);
      assertThat(after.longestGapMs(beganNs, endedNs + 50_000_000)).isBetween(150.0, (endedNs - beganNs) / 1e6 + 50);
    } finally {
      program.destroyForcibly();
    }
  }

  private static void signal(String name, long pid) throws IOException, InterruptedException {
    assertThat(new ProcessBuilder("kill", "-" + name, Long.toString(pid)).start().waitFor()).isZero();
  }

  @Test
  void damagedAndOutdatedPagesAreNoticed() {
    try (var arena = Arena.ofConfined()) {
      var memory = arena.allocate(8 * CheckedPages.PAGE_BYTES, CheckedPages.PAGE_BYTES);
      var pages = new CheckedPages(memory, 100, "the test");
      pages.fill();
      byte[] before = memory.asSlice(3L * CheckedPages.PAGE_BYTES, CheckedPages.PAGE_BYTES).toArray(ValueLayout.JAVA_BYTE);
      pages.rewrite(3);
      var checks = new Checks();
      pages.verifyAll(checks);
      assertThat(checks.failed()).isZero();
      memory.asSlice(3L * CheckedPages.PAGE_BYTES).copyFrom(java.lang.foreign.MemorySegment.ofArray(before));
      assertThat(pages.holds(3)).isFalse();
      assertThat(pages.describe(3)).contains("version 1 and should have 2");
      memory.set(ValueLayout.JAVA_BYTE, 5L * CheckedPages.PAGE_BYTES + 4095, (byte) 1);
      assertThat(pages.holds(5)).isFalse();
    }
  }
}
