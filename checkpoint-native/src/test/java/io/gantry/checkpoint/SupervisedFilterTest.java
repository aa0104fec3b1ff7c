package io.gantry.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.gantry.checkpoint.testing.Workload;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A seccomp filter that asks a supervisor cannot move, and can only be seen when a thread has been stopped. */
class SupervisedFilterTest {
  @TempDir Path directory;

  @Test
  void aFilterThatAsksASupervisorIsRefusedAndTheProgramRunsOn() throws Exception {
    try (var engine = new LiveEngine("test-" + ProcessHandle.current().pid())) {
      var own = Files.createDirectory(directory.resolve("own"));
      var command = List.of(Workload.compile("obstacle").toString(), "supervised");
      var container = engine.create(new ContainerSpec("supervised", command, Map.of("PATH", "/usr/bin:/bin"), Path.of("/"), own));
      try {
        await().atMost(Duration.ofSeconds(20)).until(() -> Files.readString(own.resolve("console.log")).contains("ready"));
        var images = directory.resolve("images");
        assertThatThrownBy(() -> engine.checkpoint(container.initPid(), images, false))
            .isInstanceOf(CheckpointException.class)
            .hasMessageContainingAll("process " + container.initPid(), "SECCOMP_RET_USER_NOTIF", "supervisor");
        assertThat(engine.isAlive(container)).isTrue();
        assertThat(images).doesNotExist();
      } finally {
        engine.destroy(container);
      }
    }
  }
}
