package io.gantry.checkpoint.procfs;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.testing.Workload;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ElfBuildIdTest {
  @Test
  void readsWhatTheLinkerWrote() throws Exception {
    var program = Workload.compile("counter");
    var readelf = new ProcessBuilder("readelf", "-n", program.toString()).redirectErrorStream(true).start();
    var output = new String(readelf.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(readelf.waitFor()).isZero();
    assertThat(output).contains("Build ID: " + ElfBuildId.read(program));
    assertThat(ElfBuildId.read(program)).hasSize(40);
  }

  @Test
  void otherFilesHaveNone(@TempDir Path directory) throws IOException {
    assertThat(ElfBuildId.read(directory)).isEmpty();
    assertThat(ElfBuildId.read(directory.resolve("missing"))).isEmpty();
    assertThat(ElfBuildId.read(Files.writeString(directory.resolve("text"), "x".repeat(500)))).isEmpty();
  }

  @Test
  void damagedFilesHaveNone(@TempDir Path directory) throws IOException {
    byte[] program = Files.readAllBytes(Workload.compile("counter"));
    for (int length : new int[] {10, 64, 100, 600}) {
      assertThat(ElfBuildId.read(Files.write(directory.resolve("cut" + length), Arrays.copyOf(program, length)))).isEmpty();
    }
    // Program headers that point far behind the end.
    var far = program.clone();
    Arrays.fill(far, 32, 40, (byte) 0x7f);
    assertThat(ElfBuildId.read(Files.write(directory.resolve("far"), far))).isEmpty();
  }
}
