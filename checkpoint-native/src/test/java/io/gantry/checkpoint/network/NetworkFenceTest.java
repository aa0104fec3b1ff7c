package io.gantry.checkpoint.network;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

class NetworkFenceTest {
  private static final long SPEAKS_NS_MAX = 20_000_000_000L;
  private static final long LOOK_NS = 20_000_000;

  /** A process in a network namespace of its own, which somebody connects to the host by a pair of devices. */
  private static final class Namespace implements AutoCloseable {
    private final Process process;
    private final String outer;

    Namespace(String outer) throws IOException {
      this.outer = outer;
      process = new ProcessBuilder("unshare", "--net", "sleep", "60").start();
      Path own = Path.of("/proc/self/ns/net");
      Path there = Path.of("/proc/" + process.pid() + "/ns/net");
      long end = System.nanoTime() + SPEAKS_NS_MAX;
      while (Files.readSymbolicLink(there).equals(Files.readSymbolicLink(own))) {
        assertThat(System.nanoTime()).as("a namespace of its own").isLessThan(end);
        LockSupport.parkNanos(LOOK_NS);
      }
    }

    int pid() {
      return (int) process.pid();
    }

    void connect() {
      NetworkTool.here("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", Integer.toString(pid()));
      NetworkTool.here("ip", "link", "set", outer, "up");
      NetworkTool.in(pid(), "ip", "link", "set", "eth0", "up");
    }

    long framesThatCameOut() throws IOException {
      return Long.parseLong(Files.readString(Path.of("/sys/class/net/" + outer + "/statistics/rx_packets")).strip());
    }

    @Override
    public void close() {
      process.destroyForcibly().onExit().orTimeout(10, TimeUnit.SECONDS).join();
    }
  }

  /** Bridges learn from any frame where a hardware address is. */
  @Test
  void aDeviceThatIsMadeBehindItSaysNothingOfItself() throws Exception {
    String mark = "gf" + ProcessHandle.current().pid() % 1_000_000;
    try (var open = new Namespace(mark + "a");
        var fenced = new Namespace(mark + "b")) {
      NetworkFence.put(fenced.pid());
      fenced.connect();
      open.connect();
      long end = System.nanoTime() + SPEAKS_NS_MAX;
      while (open.framesThatCameOut() == 0) {
        assertThat(System.nanoTime()).as("a device speaks when it comes up").isLessThan(end);
        LockSupport.parkNanos(LOOK_NS);
      }
      assertThat(fenced.framesThatCameOut()).as("frames that came out").isZero();
      NetworkFence.exchangeForCut(fenced.pid(), true);
      assertThat(NetworkTool.in(fenced.pid(), "nft", "list", "ruleset").lines()).as("filters that are left").isEqualTo(List.of());
    }
  }
}
