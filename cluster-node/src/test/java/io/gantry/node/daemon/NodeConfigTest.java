package io.gantry.node.daemon;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NodeConfigTest {
  @TempDir Path directory;

  private static NodeConfig.Options options(String name, String bind, Path file) {
    return new NodeConfig.Options(
        Optional.ofNullable(name),
        Optional.ofNullable(bind),
        Optional.empty(),
        Optional.empty(),
        List.of(),
        Optional.empty(),
        Optional.ofNullable(file),
        Optional.empty());
  }

  private Path file(String text) throws IOException {
    return Files.writeString(directory.resolve("gantry.conf"), text);
  }

  @Test
  void whatIsSharedAndForHowLongTheRestIsKept() throws IOException {
    var config = NodeConfig.resolve(options("a", "127.0.0.1", file("gantry { storage { shared = [\"/srv/nfs\"], keep = 2h } }")), Map.of());
    assertThat(config.storagePolicy().shared()).containsExactly(Path.of("/srv/nfs"));
    assertThat(config.storagePolicy().keep()).isEqualTo(Duration.ofHours(2));
    assertThat(NodeConfig.resolve(options("a", "127.0.0.1", file("")), Map.of()).storagePolicy().keep()).isEqualTo(Duration.ofDays(7));
    assertMistake(options("a", "127.0.0.1", file("gantry.storage.shared = [srv]")), Map.of(), "gantry.storage.shared", "'srv' is none");
  }

  @Test
  void whereDirectoriesOfOtherHostsAre() throws IOException {
    var policy =
        NodeConfig.resolve(
                options("a", "127.0.0.1", file("gantry { path-map { \"/srv\" = /mnt/other, \"/srv/a.b\" = \"/data\" } }")), Map.of())
            .storagePolicy();
    assertThat(policy.here(Path.of("/srv/x/y"))).isEqualTo(Path.of("/mnt/other/x/y"));
    assertThat(policy.here(Path.of("/srv/a.b/c"))).isEqualTo(Path.of("/data/c"));
    assertThat(policy.here(Path.of("/srv/a.b"))).isEqualTo(Path.of("/data"));
    assertThat(policy.here(Path.of("/srvx"))).isEqualTo(Path.of("/srvx"));
    assertMistake(options("a", "127.0.0.1", file("gantry.path-map { srv = /data }")), Map.of(), "gantry.path-map", "'srv = /data' is none");
    assertMistake(options("a", "127.0.0.1", file("gantry.path-map { /srv/a.b = /data }")), Map.of(), "in quotation marks");
  }

  private static void assertMistake(NodeConfig.Options options, Map<String, String> environment, String... parts) {
    assertThatThrownBy(() -> NodeConfig.resolve(options, environment))
        .isInstanceOfSatisfying(CommandException.class, mistake -> assertThat(mistake.code()).isEqualTo(ExitCode.USAGE))
        .hasMessageContainingAll(parts);
  }

  @Test
  void optionsWinOverTheEnvironmentAndThatOverTheFile() throws IOException {
    Path file = file("gantry { name = file, bind = 127.0.0.4, port = 1000, pages-port = 1001, join = [\"a:1\"], state-dir = /s/file }");
    NodeConfig config =
        NodeConfig.resolve(options("option", null, file), Map.of("GANTRY_NAME", "variable", "GANTRY_PORT", "2000", "GANTRY_BIND", ""));
    assertThat(config.name()).isEqualTo("option");
    assertThat(config.port()).isEqualTo(2000);
    assertThat(config.bind()).isEqualTo("127.0.0.4");
    assertThat(config.pagesPort()).isEqualTo(1001);
    assertThat(config.join()).containsExactly("a:1");
    assertThat(config.stateDirectory()).isEqualTo(Path.of("/s/file"));
  }

  @Test
  void defaultsNeedOnlyNameAndAddress() {
    NodeConfig config = NodeConfig.resolve(options("a", "127.0.0.1", null), Map.of("GANTRY_JOIN", "b, c:5"));
    assertThat(config.port()).isEqualTo(7750);
    assertThat(config.pagesPort()).isEqualTo(7751);
    assertThat(config.stateDirectory()).isEqualTo(Path.of("/var/lib/gantry"));
    assertThat(config.join()).containsExactly("b", "c:5");
    assertThat(config.rehearse()).isTrue();
  }

  @Test
  void aFencingCommandIsOffUnlessItIsSaidWhatAndWhen() throws IOException {
    assertThat(NodeConfig.resolve(options("a", "127.0.0.1", null), Map.of()).fencing().isOn()).isFalse();
    Path file = file("gantry { fencing-command = [\"/sbin/fence\", \"{node}\"], fencing-after = 2m }");
    var fencing = NodeConfig.resolve(options("a", "127.0.0.1", file), Map.of()).fencing();
    assertThat(fencing.command()).containsExactly("/sbin/fence", "{node}");
    assertThat(fencing.after()).isEqualTo(Duration.ofMinutes(2));
    assertThat(fencing.deadline()).isEqualTo(Duration.ofSeconds(60));
    assertMistake(
        options("a", "127.0.0.1", file("gantry { fencing-command = [x] }")), Map.of(), "fencing-after", "belong together");
    assertMistake(
        options("a", "127.0.0.1", file("gantry { fencing-after = 60s }")), Map.of(), "fencing-command", "belong together");
    assertMistake(
        options("a", "127.0.0.1", file("gantry { fencing-command = [x], fencing-after = soon }")), Map.of(), "fencing-after");
    assertMistake(
        options("a", "127.0.0.1", file("gantry { fencing-command = [x], fencing-after = 1s, fencing-deadline = 0s }")), Map.of(),
        "fencing-deadline");
  }

  @Test
  void akkasSectionIsHandedOn() throws IOException {
    Path file = file("akka.loglevel = DEBUG");
    assertThat(NodeConfig.resolve(options("a", "127.0.0.1", file), Map.of()).overrides().getString("akka.loglevel")).isEqualTo("DEBUG");
  }

  @Test
  void whatIsMissingIsNamed() {
    assertMistake(options(null, "127.0.0.1", null), Map.of(), "--name", "GANTRY_NAME", "gantry.name");
    assertMistake(options("a", null, null), Map.of(), "--bind", "GANTRY_BIND");
  }

  @Test
  void whatIsWrongIsExplained() throws IOException {
    assertMistake(options("a b", "127.0.0.1", null), Map.of(), "'a b'", "letters");
    assertMistake(options("a", "0.0.0.0", null), Map.of(), "every address");
    assertMistake(options("a", "no.such.host.invalid", null), Map.of(), "neither an IP address");
    assertMistake(options("a", "127.0.0.1", null), Map.of("GANTRY_PORT", "many"), "GANTRY_PORT", "'many'");
    assertMistake(options("a", "127.0.0.1", null), Map.of("GANTRY_PORT", "70000"), "0 to 65535", "70000");
  }

  @Test
  void anUnreadableFileIsASentenceWithTheLine() throws IOException {
    assertMistake(options("a", "127.0.0.1", directory.resolve("none")), Map.of(), "none", "does not exist");
    assertMistake(options("a", "127.0.0.1", directory), Map.of(), "cannot be read");
    assertMistake(options("a", "127.0.0.1", file("gantry { name = a\n port : : 3 }")), Map.of(), "gantry.conf", "cannot be read", "2");
    assertMistake(options("a", "127.0.0.1", file("gantry { nmae = a }")), Map.of(), "nmae", "Known are");
    assertMistake(options("a", "127.0.0.1", file("gantry { port = often }")), Map.of(), "port");
  }
}
