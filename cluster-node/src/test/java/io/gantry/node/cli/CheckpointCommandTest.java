package io.gantry.node.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.gantry.node.CommandProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code gantry checkpoint} and {@code gantry restore} on a real program, without any node. */
class CheckpointCommandTest {
  private static final Duration LONGEST = Duration.ofSeconds(30);

  @TempDir Path directory;

  private long pid;
  private Process original;

  /** A shell that appends consecutive numbers, in a session of its own, with nothing open but files. */
  private void startCounting() throws IOException {
    Path script = Files.writeString(directory.resolve("count.sh"), "n=0\nexec 7>> \"$1\"\nwhile :; do n=$((n + 1)); echo $n >&7; sleep 0.01; done\n");
    original =
        new ProcessBuilder("setsid", "/bin/sh", script.toString(), numbers().toString())
            .redirectInput(Path.of("/dev/null").toFile())
            .redirectErrorStream(true)
            .redirectOutput(directory.resolve("output").toFile())
            .start();
    pid = original.pid();
    awaitNumbers(10);
  }

  private Path numbers() {
    return directory.resolve("numbers");
  }

  private int count() throws IOException {
    return Files.exists(numbers()) ? (int) Files.readString(numbers()).lines().count() : 0;
  }

  private void awaitNumbers(int more) throws IOException {
    int wanted = count() + more;
    await("numbers").atMost(Duration.ofSeconds(20)).until(() -> count() >= wanted);
  }

  @AfterEach
  void end() throws InterruptedException {
    ProcessHandle.of(pid).ifPresent(process -> {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly();
    });
    original.waitFor(10, TimeUnit.SECONDS);
    await("the program to be gone").atMost(Duration.ofSeconds(10)).until(() -> !Files.exists(Path.of("/proc/" + pid)));
  }

  private CommandProcess command(String... words) throws Exception {
    CommandProcess command = CommandProcess.start(directory, words);
    command.await(LONGEST);
    return command;
  }

  @Test
  void aSavedProgramGoesOnWhereItWasUnderTheIdItHad() throws Exception {
    startCounting();
    Path images = directory.resolve("images");
    CommandProcess saved = command("checkpoint", "--json", "--pid", Long.toString(pid), "--images", images.toString());
    assertThat(saved.process().exitValue()).as(saved.err()).isZero();
    assertThat(saved.json().path("pid").asLong()).isEqualTo(pid);
    assertThat(saved.json().path("left_running").asBoolean()).isFalse();
    assertThat(saved.json().path("bytes").asLong()).isPositive();
    assertThat(original.waitFor(10, TimeUnit.SECONDS)).as("the original has ended").isTrue();
    int before = count();
    CommandProcess restored = command("restore", "--json", "--images", images.toString());
    assertThat(restored.process().exitValue()).as(restored.err()).isZero();
    assertThat(restored.json().path("pid").asLong()).isEqualTo(pid);
    awaitNumbers(20);
    assertThat(count()).isGreaterThan(before);
    List<String> lines = Files.readString(numbers(), StandardCharsets.US_ASCII).lines().toList();
    for (int i = 0; i < lines.size(); i++) {
      assertThat(lines.get(i)).as("number " + (i + 1)).isEqualTo(Integer.toString(i + 1));
    }
    CommandProcess again = command("restore", "--json", "--images", images.toString());
    assertThat(again.process().exitValue()).as("its id is taken now").isNotZero();
    assertThat(again.json().at("/error/message").asText()).contains(Long.toString(pid));
    awaitNumbers(5);
  }

  @Test
  void aProgramThatIsLeftRunningNoticesNothing() throws Exception {
    startCounting();
    Path images = directory.resolve("images");
    CommandProcess saved = command("checkpoint", "--json", "--leave-running", "--pid", Long.toString(pid), "--images", images.toString());
    assertThat(saved.process().exitValue()).as(saved.err()).isZero();
    assertThat(saved.json().path("left_running").asBoolean()).isTrue();
    assertThat(saved.json().path("stopped_ms").asDouble()).isPositive();
    awaitNumbers(20);
    assertThat(original.isAlive()).isTrue();
  }

  @Test
  void whatCannotBeSavedIsRefusedAndLeavesNoDirectory() throws Exception {
    startCounting();
    Process holder =
        new ProcessBuilder("/usr/bin/python3", "-c", "import fcntl,time,sys\nf=open(sys.argv[1],'w')\nfcntl.fcntl(f,fcntl.F_SETLEASE,fcntl.F_WRLCK)\nprint('leased',flush=True)\ntime.sleep(60)",
                directory.resolve("leased").toString())
            .redirectInput(Path.of("/dev/null").toFile())
            .redirectOutput(directory.resolve("holder").toFile())
            .redirectError(directory.resolve("holder.err").toFile())
            .start();
    try {
      await("the lease").atMost(Duration.ofSeconds(20)).until(() -> Files.readString(directory.resolve("holder")).contains("leased"));
      Path images = directory.resolve("images");
      CommandProcess refused = command("checkpoint", "--json", "--pid", Long.toString(holder.pid()), "--images", images.toString());
      assertThat(refused.process().exitValue()).as(refused.err()).isEqualTo(4);
      assertThat(refused.json().at("/error/message").asText()).contains("process " + holder.pid(), "lease").containsPattern("descriptor \\d+");
      assertThat(images).doesNotExist();
      assertThat(holder.isAlive()).isTrue();
    } finally {
      holder.destroyForcibly();
    }
  }
}
