package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A program that never complains proves nothing. Here the programs that other tests move run unmoved, must be content with themselves, and
 * must find each damage that is done to them.
 */
class ProgramsNoticeDamageTest {
  @TempDir Path directory;

  private Process process;

  @AfterEach
  void end() throws InterruptedException {
    if (process != null) {
      // By their environment: some of them have left their parents and sessions.
      LeakCheck.killMarked(TestCluster.MARK, directory.toString());
      process.waitFor(10, TimeUnit.SECONDS);
    }
  }

  private String[] arguments(TestProgram program) throws IOException {
    return switch (program) {
      case FORKS, EVERYTHING -> new String[] {};
      case BYTES -> new String[] {"32"};
      case HEAP -> new String[] {"64", "30"};
      case FUTEX -> new String[] {"200"};
      case PREFORK -> new String[] {"16", "4", "3"};
      case CHURN -> new String[] {"16"};
      case DIRTY -> new String[] {"16", "5000"};
      case STORAGE -> new String[] {Files.createDirectory(directory.resolve("volume")).toString()};
      case WITNESS -> new String[] {"16", "40"};
    };
  }

  private WatchedProgram start(TestProgram program) throws IOException {
    var watched = new WatchedProgram(program, directory.resolve(program.name()), arguments(program));
    var builder = new ProcessBuilder(watched.command());
    builder.environment().put(TestCluster.MARK, directory.toString());
    process = builder.redirectErrorStream(true).redirectOutput(watched.directory().resolve("output").toFile()).start();
    return watched.awaitRunning();
  }

  private int exitStatus() throws InterruptedException {
    assertThat(process.waitFor(30, TimeUnit.SECONDS)).as("the program ends").isTrue();
    return process.exitValue();
  }

  @ParameterizedTest(name = "{0}")
  @EnumSource
  void anUndamagedProgramIsContent(TestProgram program) throws Exception {
    WatchedProgram watched = start(program);
    watched.awaitBeats(20);
    watched.assertVerdictOk();
    assertThat(exitStatus()).isZero();
  }

  @ParameterizedTest(name = "{0} {1}")
  @Tag("long")
  @CsvSource({
    "FORKS, number",
    "FORKS, result",
    "BYTES, block",
    "BYTES, mapping",
    "BYTES, shared",
    "BYTES, object",
    "BYTES, file",
    "BYTES, early",
    "HEAP, block",
    "HEAP, map",
    "HEAP, lock",
    "HEAP, direct",
    "HEAP, early",
    "FUTEX, ring",
    "FUTEX, queue",
    "FUTEX, pair",
    "FUTEX, early",
    "FUTEX, late",
    "FUTEX, eintr",
    "PREFORK, private",
    "PREFORK, shared",
    "PREFORK, job",
    "PREFORK, child",
    "CHURN, page",
    "CHURN, dropped",
    "CHURN, child",
    "CHURN, exec",
    "DIRTY, page",
    "STORAGE, byte",
    "STORAGE, name",
    "STORAGE, time",
    "WITNESS, page",
    "WITNESS, number",
  })
  void aDamagedProgramComplains(TestProgram program, String damage) throws Exception {
    WatchedProgram watched = start(program);
    watched.corrupt(damage);
    if (!damage.equals("number")) {
      await("the damage to be found").atMost(Duration.ofSeconds(60)).until(() -> !watched.text("errors").isEmpty());
    }
    assertThat(watched.verdict()).containsEntry("verdict", "failed");
    assertThat(exitStatus()).isEqualTo(1);
  }

  @Test
  @Tag("long")
  void everyItemOfTheProgramThatHasEverythingCanFail() throws Exception {
    WatchedProgram watched = start(TestProgram.EVERYTHING);
    assertThat(watched.look(1)).isEmpty();
    List<String> items = watched.text("items").lines().toList();
    // What is looked at all the time, like waits, is damaged with its next turn only: those first, and their faults stay.
    List<String> slow = items.stream().filter(item -> item.startsWith("wait-")).toList();
    slow.forEach(watched::corrupt);
    int look = 1;
    for (String item : items) {
      if (!slow.contains(item)) {
        watched.corrupt(item);
        look = lookUntilFound(watched, look, item);
      }
    }
    for (String item : slow) {
      look = lookUntilFound(watched, look, item);
    }
    assertThat(watched.verdict()).containsEntry("verdict", "failed");
  }

  private static int lookUntilFound(WatchedProgram watched, int before, String item) {
    long deadlineNs = System.nanoTime() + Duration.ofSeconds(10).toNanos();
    int look = before;
    while (true) {
      look++;
      if (watched.look(look).stream().anyMatch(line -> line.startsWith("FAIL " + item + ": "))) {
        return look;
      }
      assertThat(System.nanoTime()).as("damage to " + item + " is not found").isLessThan(deadlineNs);
    }
  }
}
