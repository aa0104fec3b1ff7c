package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.memory.LoopbackSink;
import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An original that is held has no locks on files, and one that runs on has them again. */
class LockHandoverTest {
  @TempDir Path directory;

  private final LiveEngine engine = new LiveEngine("locks-" + ProcessHandle.current().pid());
  private ContainerHandle container;
  private Path file;

  @BeforeEach
  void start() throws IOException {
    file = directory.resolve("locked");
    var own = Files.createDirectories(directory.resolve("original"));
    var command = List.of(Workload.compile("locked").toString(), file.toString());
    container = engine.create(new ContainerSpec("original", command, Map.of("PATH", "/usr/bin:/bin"), Path.of("/"), own));
    Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> Files.readString(own.resolve("console.log")).contains("locked"));
  }

  @AfterEach
  void nothingIsLeft() {
    engine.destroy(container);
    engine.close();
  }

  /** Kinds of lock on the file, from {@code /proc/locks}. */
  private List<String> locks() throws IOException {
    String inode = ":" + FileStatus.of(file.toString()).orElseThrow().inode() + " ";
    return Files.readAllLines(Path.of("/proc/locks")).stream()
        .filter(line -> line.contains(inode))
        .map(line -> line.split("\\s+")[1])
        .sorted()
        .toList();
  }

  private Capture held() throws IOException {
    var capture = engine.capture(container, new CaptureOptions(false));
    try (var arrival = engine.receive("copy", Files.createDirectories(directory.resolve("copy")))) {
      var sink = new LoopbackSink(arrival);
      capture.round(sink);
      capture.freeze();
      capture.sendLast(sink);
      capture.hold();
    }
    return capture;
  }

  @Test
  void whoRunsOnHasItsLocksAgain() throws IOException {
    try (var capture = held()) {
      assertThat(locks()).isEmpty();
      capture.resume();
      assertThat(locks()).containsExactly("FLOCK", "OFDLCK", "POSIX");
    }
  }

  @Test
  void anAgentThatWasRestartedTakesThemBack() throws IOException {
    held().close();
    assertThat(locks()).isEmpty();
    engine.thaw(container);
    assertThat(locks()).containsExactly("FLOCK", "OFDLCK", "POSIX");
    assertThat(container.directory()).isDirectoryNotContaining("glob:**released-locks");
  }

  @Test
  void whoseLockIsTakenStaysFrozenUntilItIsFree() throws IOException {
    try (var capture = held();
        var channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      var taken = channel.tryLock(15, 1, false);
      assertThat(taken).isNotNull();
      assertThatThrownBy(capture::resume)
          .isInstanceOf(CheckpointException.class)
          .hasMessageContaining("an exclusive file lock (POSIX) on 20 bytes from 10 through descriptor 3")
          .hasMessageContaining("stays frozen until it is free");
      assertThat(new io.gantry.checkpoint.tracee.Freezer(container.cgroup()).isFrozen()).isTrue();
      taken.release();
      capture.resume();
      assertThat(locks()).containsExactly("FLOCK", "OFDLCK", "POSIX");
    }
  }

  @Test
  void aLockSomebodyElseWaitsForIsRefused() throws Exception {
    try (var waiter = Workload.run("flock", List.of("flock", file.toString(), "true"))) {
      Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> locks().contains("->"));
      assertThat(engine.inspect(container).findings())
          .singleElement()
          .satisfies(
              finding -> {
                assertThat(finding.kind()).isEqualTo("file lock (flock)");
                assertThat(finding.sentence()).contains("which is not part of the container, waits for this lock").contains("process " + waiter.pid() + ",");
              });
    }
  }
}
