package io.gantry.checkpoint.state;

import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.testing.Workload;
import java.io.UncheckedIOException;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import org.awaitility.Awaitility;

/** Waits until every thread of the test program {@code state} has done everything and is in {@code pause(2)} for good. */
final class Pausing {
  private static final String PAUSE = "34 ";

  private Pausing() {}

  static void await(Workload workload, Duration limit) {
    workload.awaitLine("ready", limit);
    Awaitility.await().atMost(limit).until(() -> allPause(workload.pid()));
  }

  private static boolean allPause(int pid) {
    try {
      for (int tid : ProcText.numbers("/proc/" + pid + "/task")) {
        if (!ProcText.read("/proc/" + pid + "/task/" + tid + "/syscall").startsWith(PAUSE)) {
          return false;
        }
      }
      return true;
    } catch (NoSuchFileException e) {
      throw new UncheckedIOException(e);
    }
  }
}
