package io.gantry.checkpoint.testing;

import io.gantry.checkpoint.tracee.Cgroup;
import io.gantry.checkpoint.tracee.StubTree;
import io.gantry.checkpoint.tracee.TracerThread;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** What a test with stubs needs: a tracer thread, a cgroup and a directory of its own, all gone afterwards. Needs root. */
public final class StubHost implements BeforeEachCallback, AfterEachCallback {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private TracerThread tracer;
  private Cgroup cgroup;
  private Path directory;

  @Override
  public void beforeEach(ExtensionContext context) throws IOException {
    tracer = new TracerThread("tracer of a test");
    cgroup = Cgroup.create("test-" + ProcessHandle.current().pid() + "-" + Long.toHexString(System.nanoTime()));
    directory = Files.createTempDirectory("gantry-test-");
  }

  @Override
  public void afterEach(ExtensionContext context) throws IOException {
    tracer.close();
    cgroup.kill();
    cgroup.awaitEmpty(LIMIT);
    cgroup.remove();
    try (var files = Files.walk(directory)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }

  public TracerThread tracer() {
    return tracer;
  }

  public Cgroup cgroup() {
    return cgroup;
  }

  /** The container's directory on the host. */
  public Path directory() {
    return directory;
  }

  /** The first stub of a container; on the tracer thread. */
  public StubTree begin() {
    return StubTree.begin("box", cgroup.path(), directory);
  }
}
