package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.control.ControlClient;
import io.gantry.node.control.ControlSocket;
import io.gantry.node.daemon.NodeLauncher;
import io.gantry.node.demo.LeftOvers;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class DaemonTest {
  @Test
  void itHasASessionOfItsOwnAndIsReadyWhenItSaysSo() throws Exception {
    Path directory = Files.createTempDirectory("gantry-daemon-");
    Path state = directory.resolve("state");
    NodeLauncher.Started started =
        NodeLauncher.start(state, List.of("--name", "d", "--bind", TestCluster.loopback(81), "--state-dir", state.toString(), "--no-rehearsal"));
    try {
      long pid = started.process().pid();
      assertThat(started.ready().path("pid").asLong()).isEqualTo(pid);
      assertThat(session(pid)).as("its session, which no terminal's hang-up reaches").isEqualTo(pid);
      ObjectNode nodes = new ControlClient(ControlSocket.in(state)).call(ControlClient.request("nodes"));
      assertThat(nodes.at("/nodes/0/name").asText()).isEqualTo("d");
    } finally {
      started.process().destroy();
      assertThat(started.process().waitFor(30, TimeUnit.SECONDS)).isTrue();
      LeftOvers.deleteTree(directory);
    }
  }

  /** Field 6 of {@code /proc/PID/stat}. */
  private static long session(long pid) throws IOException {
    String stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
    return Long.parseLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[3]);
  }
}
