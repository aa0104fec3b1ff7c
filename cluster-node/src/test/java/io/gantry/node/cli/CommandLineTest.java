package io.gantry.node.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.node.ExitCode;
import io.gantry.node.Invocation;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CommandLineTest {
  @TempDir Path empty;

  @ParameterizedTest
  @ValueSource(
      strings = {
        "node", "run", "ps", "nodes", "migrate", "cancel", "resolve", "stop", "logs", "check", "checkpoint", "restore", "demo",
        "simulate"
      })
  void everyCommandHasHelpWithAnExampleAndExitCodes(String command) {
    Invocation help = Invocation.of(command, "--help");
    assertThat(help.status()).isZero();
    assertThat(help.out()).contains("Usage: gantry " + command, "--json", "Example:", "  gantry " + command, "Exit codes:");
    assertThat(help.err()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"pause", "stream"})
  void everyBenchHasHelpWithAnExample(String which) {
    assertThat(Invocation.of("bench", which, "--help").out()).contains("Usage: gantry bench " + which, "--json", "Example:", "Exit codes:");
  }

  /** Else one would learn it when all else was measured. */
  @Test
  void whatIsNoCriuIsSaidBeforeAnythingIsMeasured() {
    for (String path : new String[] {"/nowhere/criu", "/bin/false"}) {
      Invocation result = Invocation.of("bench", "pause", "--json", "--against-criu", path);
      assertThat(result.status()).isEqualTo(ExitCode.NOT_FOUND.status());
      assertThat(result.json().at("/error/message").asText()).contains(path);
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "migrate web|Missing required option: '--to=N'",
        "migrate web --to b --pause-budget 20|--pause-budget: '20' is not a duration",
        "migrate web --to b --pause-budget 0ms|--pause-budget must be longer than nothing",
        "migrate web --to b --when-stalled hope|'freeze' or 'abort'",
        "cancel|Missing required parameter: 'C'",
        "resolve web|Missing required option: '--host-is-off=N'",
        "resolve web --host-is-off b|say --yes if you are sure that the host of node b is off",
        "run --name a/b -- true|'a/b' cannot be a container's name",
        "run --name web|There is no program to run; give it after --, or a bundle with --bundle",
        "logs -f web|use one of them",
        "demo --memory much|--memory: 'much' is not a size",
        "demo --moves 0|--moves must be 1 to",
        "bench pause --sizes 64M,nothing|--sizes: 'nothing' is not a size",
        "bench|Say what to measure",
        "simulate --seeds 0|--seeds must be at least 1",
        "simulate --faults rain|--faults: 'rain' is none of",
        "simulate --mutation sloth|--mutation: 'sloth' is none of",
        "node --port x|--port",
        "frobnicate|is not a command of gantry",
      })
  void mistakesAreUsageErrorsWithASentenceAndOneObject(String line, String sentence) {
    String[] words = line.split(" ");
    String[] withJson = new String[words.length + 1];
    // Among gantry's own words: behind "--" they belong to the program.
    withJson[0] = words[0];
    withJson[1] = "--json";
    System.arraycopy(words, 1, withJson, 2, words.length - 1);
    Invocation result = Invocation.of(withJson);
    assertThat(result.status()).isEqualTo(ExitCode.USAGE.status());
    assertThat(result.json().at("/error/code").asText()).isEqualTo("usage");
    assertThat(result.json().at("/error/message").asText()).contains(sentence).contains("--help");
    assertThat(result.err()).startsWith("gantry: ").contains(sentence);
  }

  @Test
  void withoutJsonStandardOutputStaysEmptyOnFailure() {
    Invocation result = Invocation.of("ps", "--state-dir", empty.toString());
    assertThat(result.status()).isEqualTo(ExitCode.UNREACHABLE.status());
    assertThat(result.out()).isEmpty();
    assertThat(result.err()).contains("No node answers on " + empty, "gantry node --name");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "ps", "nodes", "stop c", "logs c", "migrate c --to b", "cancel c", "resolve c --host-is-off b --yes",
        "run --name c -- true"
      })
  void withoutANodeEveryCommandSaysHowToStartOne(String line) {
    String[] words = (line.replaceFirst(" |$", " --json --state-dir " + empty + " ")).trim().split(" +");
    Invocation result = Invocation.of(words);
    assertThat(result.status()).isEqualTo(7);
    assertThat(result.json().at("/error/code").asText()).isEqualTo("unreachable");
    assertThat(result.json().at("/error/exit_code").asInt()).isEqualTo(7);
  }

  @Test
  void wordsOfTheProgramAreNotGantrysOwn() {
    Invocation result = Invocation.of("run", "--name", "c", "--state-dir", empty.toString(), "--", "prog", "--json", "--help");
    assertThat(result.status()).isEqualTo(7);
    assertThat(result.out()).isEmpty();
  }

  @Test
  void aStateDirectoryWhoseSocketNameWouldBeTooLongIsExplained() {
    Invocation result = Invocation.of("ps", "--state-dir", "/tmp/" + "x".repeat(120));
    assertThat(result.status()).isEqualTo(ExitCode.USAGE.status());
    assertThat(result.err()).contains("too long", "107 bytes");
  }

  @Test
  void imagesThatAreMissingOrDamagedAreToldApart() throws java.io.IOException {
    Invocation missing = Invocation.of("restore", "--images", empty.resolve("none").toString(), "--json");
    assertThat(missing.status()).isEqualTo(ExitCode.NOT_FOUND.status());
    Invocation damaged = Invocation.of("restore", "--images", empty.toString(), "--json");
    assertThat(damaged.status()).isEqualTo(ExitCode.DAMAGED.status());
    assertThat(damaged.json().at("/error/message").asText()).startsWith("Nothing was restored: ").contains(empty.toString());
    java.nio.file.Files.createDirectory(empty.resolve("there"));
    String own = Long.toString(ProcessHandle.current().pid());
    assertThat(Invocation.of("checkpoint", "--pid", own, "--images", empty.resolve("there").toString()).status()).isEqualTo(9);
    assertThat(Invocation.of("checkpoint", "--pid", "999999999", "--images", empty.resolve("x").toString()).status()).isEqualTo(3);
  }

  @Test
  void exitCodesAreDistinct() {
    assertThat(ExitCode.values()).extracting(ExitCode::status).doesNotHaveDuplicates();
    assertThat(ExitCode.values()).extracting(ExitCode::word).doesNotHaveDuplicates();
  }
}
