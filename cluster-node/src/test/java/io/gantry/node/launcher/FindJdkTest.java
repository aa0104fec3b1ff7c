package io.gantry.node.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.node.daemon.JavaProcess;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The launchers with Java homes made for the purpose: a {@code java} that only says its version. */
class FindJdkTest {
  @TempDir Path directory;

  private record Ended(int status, String out, String err) {}

  private Ended run(String script, Map<String, String> environment) throws IOException, InterruptedException {
    var builder = new ProcessBuilder(JavaProcess.home().resolve("bin").resolve(script).toString(), "ps");
    builder.environment().clear();
    builder.environment().put("PATH", "/usr/bin:/bin");
    builder.environment().put("GANTRY_JVM_DIRS", "");
    builder.environment().putAll(environment);
    // The java of the machine itself must not be found.
    Path tools = Files.createDirectories(directory.resolve("tools"));
    for (String tool : new String[] {"bash", "sed", "readlink", "dirname", "cat", "env", "tr"}) {
      Path link = tools.resolve(tool);
      if (!Files.exists(link)) {
        Files.createSymbolicLink(link, Path.of("/usr/bin", tool));
      }
    }
    builder.environment().compute("PATH", (name, path) -> environment.getOrDefault("PATH", "") + (environment.containsKey("PATH") ? ":" : "") + tools);
    Path err = Files.createTempFile(directory, "err", "");
    Process process = builder.redirectError(err.toFile()).start();
    String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    return new Ended(process.exitValue(), out.strip(), Files.readString(err));
  }

  private Path javaHome(String name, String version) throws IOException {
    Path home = directory.resolve(name);
    Path java = Files.createDirectories(home.resolve("bin")).resolve("java");
    Files.writeString(java, "#!/usr/bin/bash\necho 'openjdk version \"" + version + "\" 2025-09-16' >&2\n");
    Files.setPosixFilePermissions(java, PosixFilePermissions.fromString("rwxr-xr-x"));
    return home;
  }

  @Test
  void javaHomeIsTakenWhenItIs25() throws Exception {
    Path home = javaHome("jdk", "25.0.1");
    Ended ended = run("find-jdk", Map.of("JAVA_HOME", home.toString()));
    assertThat(ended.status()).as(ended.err()).isZero();
    assertThat(ended.out()).isEqualTo(home.toString());
  }

  @Test
  void anOlderJavaHomeIsPassedOver() throws Exception {
    Path old = javaHome("old", "17.0.15");
    Files.createDirectories(directory.resolve("jvms"));
    Path right = javaHome("jvms/right", "25");
    Ended ended = run("find-jdk", Map.of("JAVA_HOME", old.toString(), "GANTRY_JVM_DIRS", directory.resolve("jvms").toString()));
    assertThat(ended.out()).isEqualTo(right.toString());
  }

  @Test
  void aReleaseFileSavesStartingIt() throws Exception {
    Path home = javaHome("jdk", "1.8.0");
    Files.writeString(home.resolve("release"), "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"25.0.3\"\n");
    assertThat(run("find-jdk", Map.of("JAVA_HOME", home.toString())).out()).isEqualTo(home.toString());
  }

  @Test
  void javaOnThePathIsFound() throws Exception {
    Path home = javaHome("jdk", "25.0.1");
    assertThat(run("find-jdk", Map.of("PATH", home.resolve("bin").toString())).out()).isEqualTo(home.toString());
  }

  @Test
  void theWrongOneIsNamedAndTheRightOneIsTold() throws Exception {
    Path old = javaHome("old", "17.0.15");
    for (String script : new String[] {"find-jdk", "gantry"}) {
      Ended ended = run(script, Map.of("JAVA_HOME", old.toString()));
      assertThat(ended.status()).isEqualTo(10);
      assertThat(ended.out()).isEmpty();
      assertThat(ended.err()).contains("a JDK 25 is needed", old + " is version 17", "apt-get install", "JAVA_HOME");
    }
  }

  @Test
  void noJavaAtAllIsTheSameSentence() throws Exception {
    Ended ended = run("find-jdk", Map.of("JAVA_HOME", directory.resolve("nothing").toString()));
    assertThat(ended.status()).isEqualTo(10);
    assertThat(ended.err()).contains("has no bin/java");
  }
}
