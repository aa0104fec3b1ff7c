package io.gantry.node.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.gantry.node.CommandProcess;
import io.gantry.node.daemon.JavaProcess;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What we save, the real CRIU restores, and the other way round. {@code exchange.c} looks all the time whether it is still what it was. */
@Tag("long")
class CriuExchangeTest {
  private static final Duration LONGEST = Duration.ofSeconds(180);
  private static final Path CRIU = JavaProcess.home().resolve("target").resolve("criu");

  private static Path program;

  @TempDir Path directory;

  private long pid;

  @BeforeAll
  static void prepare(@TempDir Path temporary) throws Exception {
    run(temporary, JavaProcess.home().resolve("bin").resolve("get-criu").toString(), CRIU.toString());
    Path source = Path.of(System.getProperty("basedir", "."), "src", "test", "workloads", "exchange.c").toAbsolutePath();
    Path built = source.resolveSibling("../../../target/workloads").normalize();
    Files.createDirectories(built);
    program = built.resolve("exchange");
    run(temporary, "gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program.toString(), source.toString());
  }

  /** Runs a command to its end; returns what it said. */
  private static String run(Path directory, String... command) throws Exception {
    Path output = Files.createTempFile(directory, "said", "");
    Process process =
        new ProcessBuilder(command)
            .redirectInput(Path.of("/dev/null").toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    boolean ended = process.waitFor(LONGEST.toSeconds(), TimeUnit.SECONDS);
    if (!ended) {
      process.destroyForcibly();
    }
    assertThat(ended).as(String.join(" ", command)).isTrue();
    assertThat(process.exitValue()).as(String.join(" ", command) + ": " + Files.readString(output)).isZero();
    return Files.readString(output);
  }

  private Path log() {
    return directory.resolve("log");
  }

  /** In a session of its own, with nothing open but files; who started it ends, so that nobody but process 1 has to wait for it. */
  private void start(String kind) throws Exception {
    Path out = directory.resolve("out");
    run(
        directory,
        "/bin/sh",
        "-c",
        "cd \"$1\" && setsid \"$2\" \"$3\" \"$4\" < /dev/null > \"$5\" 2>&1 & echo $! > \"$1/pid\"",
        "sh", directory.toString(), program.toString(), log().toString(), kind, out.toString());
    pid = Long.parseLong(Files.readString(directory.resolve("pid")).strip());
    await("the program to be in its own session").atMost(LONGEST).until(() -> rounds() > 10);
    pid = ProcessHandle.of(pid).filter(ProcessHandle::isAlive).map(ProcessHandle::pid).orElseThrow();
  }

  private long rounds() throws IOException {
    if (!Files.exists(log())) {
      return 0;
    }
    String said = Files.readString(log());
    assertThat(said).doesNotContain("WRONG");
    return said.lines().filter(line -> line.startsWith("round")).count();
  }

  private void goesOn(long before) throws IOException {
    await("more rounds").atMost(LONGEST).until(() -> rounds() > before + 20);
    List<String> lines = Files.readString(log()).lines().toList();
    for (int i = 0; i < lines.size() - 1; i++) {
      assertThat(lines.get(i)).isEqualTo("round " + (i + 1));
    }
    assertThat(Files.exists(Path.of("/proc/" + pid))).as("under the id it had").isTrue();
  }

  @AfterEach
  void end() {
    ProcessHandle.of(pid).ifPresent(process -> {
      var all = new ArrayList<>(process.descendants().toList());
      all.add(process);
      all.forEach(ProcessHandle::destroyForcibly);
    });
    await("the program to be gone").atMost(LONGEST).until(() -> !Files.exists(Path.of("/proc/" + pid)));
  }

  private CommandProcess gantry(String... words) throws Exception {
    var command = CommandProcess.start(directory, words);
    command.await(LONGEST);
    return command;
  }

  private Path saved() throws Exception {
    Path images = directory.resolve("images");
    var saved = gantry("checkpoint", "--json", "--pid", Long.toString(pid), "--images", images.toString());
    assertThat(saved.process().exitValue()).as(saved.err() + saved.out()).isZero();
    return images;
  }

  private void gone() {
    await("the original to be gone").atMost(LONGEST).until(() -> !Files.exists(Path.of("/proc/" + pid)));
  }

  private Path dumped() throws Exception {
    Path images = Files.createDirectory(directory.resolve("dump"));
    run(directory, CRIU.resolve("criu").toString(), "dump", "-t", Long.toString(pid), "-D", images.toString(), "-o", "dump.log");
    gone();
    return images;
  }

  @ParameterizedTest
  @ValueSource(strings = {"single", "tree"})
  void criuRestoresWhatWeSaved(String kind) throws Exception {
    start(kind);
    Path images = saved();
    gone();
    long before = rounds();
    Path work = Files.createDirectory(directory.resolve("work"));
    Path log = work.resolve("restore.log");
    var command = List.of(CRIU.resolve("criu").toString(), "restore", "-d", "-D", images.toString(), "-W", work.toString(), "-o", "restore.log", "-v4");
    Process restore = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(work.resolve("said").toFile()).start();
    assertThat(restore.waitFor(LONGEST.toSeconds(), TimeUnit.SECONDS)).isTrue();
    assertThat(restore.exitValue()).as(() -> errors(log)).isZero();
    goesOn(before);
  }

  private static String errors(Path log) {
    try (Stream<String> lines = Files.lines(log)) {
      return String.join("\n", lines.filter(line -> line.contains("Error")).toList());
    } catch (IOException unreadable) {
      return unreadable.toString();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"single", "tree"})
  void weRestoreWhatCriuDumped(String kind) throws Exception {
    start(kind);
    Path images = dumped();
    long before = rounds();
    var restored = gantry("restore", "--json", "--images", images.toString());
    assertThat(restored.process().exitValue()).as(restored.err() + restored.out()).isZero();
    assertThat(restored.json().path("pid").asLong()).isEqualTo(pid);
    goesOn(before);
  }

  @Test
  void weRestoreWhatWeSaved() throws Exception {
    start("tree");
    Path images = saved();
    gone();
    long before = rounds();
    var restored = gantry("restore", "--json", "--images", images.toString());
    assertThat(restored.process().exitValue()).as(restored.err() + restored.out()).isZero();
    goesOn(before);
  }

  @Test
  void critReadsEveryFileOfCriusNames() throws Exception {
    start("tree");
    Path images = saved();
    List<Path> files;
    try (Stream<Path> all = Files.walk(images)) {
      files = all.filter(file -> file.toString().endsWith(".img")).sorted().toList();
    }
    for (Path file : files) {
      String name = file.getFileName().toString();
      boolean pages = name.matches("(stream-)?pages-\\d+\\.img");
      if (!pages && !name.equals("stream.img") && !name.equals("manifest.img")) {
        String decoded = run(directory, CRIU.resolve("crit").toString(), "decode", "-i", file.toString());
        assertThat(decoded).as(name).startsWith("{\"magic\":");
      }
    }
    assertThat(run(directory, CRIU.resolve("crit").toString(), "x", images.toString(), "ps")).contains(Long.toString(pid));
  }

  @Test
  void whatOfCriusImagesCannotBeCarriedIsNamed() throws Exception {
    start("single");
    Path images = dumped();
    Files.write(images.resolve("tty-info.img"), new byte[8]);
    var refused = gantry("restore", "--json", "--images", images.toString());
    assertThat(refused.process().exitValue()).isEqualTo(12);
    assertThat(refused.json().at("/error/message").asText())
        .contains("holds state that cannot be carried from CRIU's images: tty-info.img; restore it with CRIU");
    Files.delete(images.resolve("tty-info.img"));
    Path pages = images.resolve("pages-1.img");
    byte[] whole = Files.readAllBytes(pages);
    Files.write(pages, java.util.Arrays.copyOf(whole, whole.length - 4096));
    var cut = gantry("restore", "--json", "--images", images.toString());
    assertThat(cut.process().exitValue()).isNotZero();
    assertThat(cut.json().at("/error/message").asText()).contains("names more pages than are there");
    assertThat(Files.exists(Path.of("/proc/" + pid))).as("nothing is left of the attempt").isFalse();
    Files.write(pages, whole);
    long before = rounds();
    assertThat(gantry("restore", "--json", "--images", images.toString()).process().exitValue()).isZero();
    goesOn(before);
  }
}
