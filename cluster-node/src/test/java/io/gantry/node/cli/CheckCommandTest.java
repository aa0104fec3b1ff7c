package io.gantry.node.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import io.gantry.node.Invocation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code gantry check --pid} on a real program. */
class CheckCommandTest {
  private static final String PROGRAM =
      """
      import os, sys, threading, time
      kept = [os.eventfd(3), os.eventfd(4), os.memfd_create('m'), *os.pipe()]
      if len(sys.argv) > 2:
          kept.append(os.open('/dev/loop-control' if os.path.exists('/dev/loop-control') else '/dev/tty', os.O_RDWR))
      threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
      open(sys.argv[1], 'w').write('ready')
      time.sleep(60)
      """;

  @TempDir Path directory;

  private Invocation check(String... words) throws Exception {
    Path ready = directory.resolve("ready");
    var command = new ProcessBuilder("setsid", "/usr/bin/python3", "-c", PROGRAM, ready.toString());
    command.command().addAll(java.util.List.of(words));
    Process program =
        command.redirectInput(Path.of("/dev/null").toFile()).redirectErrorStream(true).redirectOutput(directory.resolve("output").toFile()).start();
    try {
      await("the program").atMost(Duration.ofSeconds(20)).until(() -> isReady(ready));
      var outcome = Invocation.of("check", "--json", "--pid", Long.toString(program.pid()));
      assertThat(program.isAlive()).isTrue();
      return outcome;
    } finally {
      program.destroyForcibly();
      program.waitFor(10, TimeUnit.SECONDS);
    }
  }

  private static boolean isReady(Path ready) throws IOException {
    return Files.exists(ready) && Files.readString(ready).equals("ready");
  }

  private static Optional<JsonNode> kind(Invocation outcome, String name) {
    return StreamSupport.stream(outcome.json().path("kinds").spliterator(), false).filter(kind -> kind.path("kind").asText().equals(name)).findFirst();
  }

  @Test
  void listsKindByKindWhatAProgramHas() throws Exception {
    Invocation outcome = check();
    assertThat(outcome.status()).as(outcome.out() + outcome.err()).isZero();
    assertThat(outcome.json().path("moves").asBoolean()).isTrue();
    assertThat(outcome.json().path("threads").asInt()).isEqualTo(2);
    assertThat(kind(outcome, "eventfd").orElseThrow().path("count").asInt()).isEqualTo(2);
    assertThat(kind(outcome, "pipe").orElseThrow().path("how").asText()).contains("what is in it");
    for (String name : java.util.List.of("memfd", "private memory", "private file mapping", "thread", "credentials", "pid namespace")) {
      JsonNode kind = kind(outcome, name).orElseThrow(() -> new AssertionError(name + " is missing in " + outcome.out()));
      assertThat(kind.path("count").asInt()).as(name).isPositive();
      assertThat(kind.path("moves").asBoolean()).as(name).isTrue();
      assertThat(kind.path("how").asText()).as(name).isNotEmpty();
    }
  }

  @Test
  void saysWhatIsRefusedAndWhy() throws Exception {
    Invocation outcome = check("refused");
    assertThat(outcome.status()).as(outcome.out() + outcome.err()).isEqualTo(4);
    assertThat(outcome.json().path("moves").asBoolean()).isFalse();
    JsonNode device = kind(outcome, "character device").orElseThrow();
    assertThat(device.path("moves").asBoolean()).isFalse();
    assertThat(device.path("reasons")).hasSize(1);
    assertThat(device.at("/reasons/0/descriptor").asInt()).isGreaterThan(2);
    assertThat(device.at("/reasons/0/sentence").asText()).isNotEmpty();
    assertThat(kind(outcome, "eventfd").orElseThrow().path("moves").asBoolean()).isTrue();
  }

  @Test
  void aProcessThatIsNotThereIsNotFound() {
    assertThat(Invocation.of("check", "--json", "--pid", "4194303").status()).isEqualTo(3);
    assertThat(Invocation.of("check", "--json", "--pid", "1", "--container", "c").status()).isEqualTo(2);
  }
}
