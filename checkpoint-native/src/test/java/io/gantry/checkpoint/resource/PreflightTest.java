package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.procfs.ElfBuildId;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PreflightTest {
  private static List<Finding> check(List<Footprint.FileFact> files, List<String> ports) {
    var identity = new HostFacts("", "", List.of(), 0, "", 0, List.of(), List.of());
    return DescriptorArrival.checkPreflight(new Footprint(1, 1, 1, 0, files, ports, identity, List.of()), List.of());
  }

  @Test
  void saysEveryReasonAtOnce(@TempDir Path directory) throws IOException {
    var file = Files.writeString(directory.resolve("file"), "content");
    int mode = FileStatus.of(file.toString()).orElseThrow().mode();
    var shell = Path.of("/bin/sh").toRealPath();
    int shellMode = FileStatus.of(shell.toString()).orElseThrow().mode();
    var findings =
        check(
            List.of(
                new Footprint.FileFact(file.toString(), 7, mode, ""),
                new Footprint.FileFact(file.toString(), 8, mode, ""),
                new Footprint.FileFact(file.toString(), -1, mode ^ 0100, ""),
                new Footprint.FileFact(directory.resolve("missing").toString(), 7, mode, ""),
                new Footprint.FileFact(shell.toString(), Files.size(shell), shellMode, ElfBuildId.read(shell)),
                new Footprint.FileFact(shell.toString(), Files.size(shell), shellMode, "00ff")),
            List.of());
    assertThat(findings).extracting(Finding::sentence).hasSize(4);
    assertThat(findings.get(0).sentence()).contains("is 7 bytes long here and 8 on the source");
    assertThat(findings.get(1).sentence()).contains("type and mode");
    assertThat(findings.get(2).sentence()).contains("does not exist");
    assertThat(findings.get(3).sentence()).contains("build id " + ElfBuildId.read(shell) + " here and 00ff");
  }

  @Test
  void takenPortsAreFound() throws IOException {
    try (var taken = new ServerSocket(0, 1, InetAddress.ofLiteral("127.0.0.1"))) {
      int port = taken.getLocalPort();
      assertThat(check(List.of(), List.of("tcp 127.0.0.1:" + port)))
          .singleElement()
          .satisfies(finding -> assertThat(finding.sentence()).contains("EADDRINUSE"));
      assertThat(check(List.of(), List.of("tcp 0.0.0.0:" + port))).hasSize(1);
      assertThat(check(List.of(), List.of("tcp [::]:" + port))).hasSize(1);
      assertThat(check(List.of(), List.of("tcp6only [::]:" + port, "udp 127.0.0.1:" + port))).isEmpty();
      assertThat(check(List.of(), List.of("tcp 192.0.2.1:" + port)))
          .singleElement()
          .satisfies(finding -> assertThat(finding.sentence()).contains("EADDRNOTAVAIL"));
    }
  }

  @Test
  void aPortInUnknownWordsIsRefused() {
    assertThat(check(List.of(), List.of("sctp 1", "tcp nonsense:1", "tcp 127.0.0.1:x"))).hasSize(3);
  }
}
