package io.gantry.checkpoint.shm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.procfs.Link;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Needs root, and busybox-static for a root directory of few files. */
class ShmSurveyTest {
  @TempDir Path directory;

  @Test
  void aFirstProcessWithAnotherRootIsRefusedAndOneWithoutIsNot() throws Exception {
    Files.copy(Path.of("/bin/busybox"), directory.resolve("busybox"), StandardCopyOption.COPY_ATTRIBUTES);
    Process changed = new ProcessBuilder("unshare", "--mount", "chroot", directory.toString(), "/busybox", "sleep", "60").start();
    Process plain = new ProcessBuilder("unshare", "--mount", "/bin/busybox", "sleep", "60").start();
    try {
      await("the new root").atMost(Duration.ofSeconds(20)).until(() -> Link.read((int) changed.pid(), "root").filter(directory.toString()::equals).isPresent());
      await("the namespace").atMost(Duration.ofSeconds(20)).until(() -> Link.read((int) plain.pid(), "exe").filter(exe -> exe.endsWith("busybox")).isPresent());
      assertThat(ShmSurvey.obstacles((int) changed.pid())).extracting(Finding::kind).containsExactly("root directory");
      assertThat(ShmSurvey.obstacles((int) plain.pid())).isEmpty();
    } finally {
      changed.destroyForcibly();
      plain.destroyForcibly();
    }
  }
}
