package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UnacceptedTest {
  private static final List<ProcessRef> SELF =
      List.of(new ProcessRef((int) ProcessHandle.current().pid(), (int) ProcessHandle.current().pid()));

  @TempDir Path directory;

  @Test
  void unixConnectionCountsFromWhatItSendsUntilItIsAccepted() throws IOException {
    countsFromWhatItSendsUntilItIsAccepted(StandardProtocolFamily.UNIX, UnixDomainSocketAddress.of(directory.resolve("socket")));
  }

  @Test
  void tcpConnectionCountsFromWhatItSendsUntilItIsAccepted() throws IOException {
    countsFromWhatItSendsUntilItIsAccepted(StandardProtocolFamily.INET, new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    countsFromWhatItSendsUntilItIsAccepted(StandardProtocolFamily.INET6, new InetSocketAddress("::1", 0));
  }

  private static void countsFromWhatItSendsUntilItIsAccepted(StandardProtocolFamily family, SocketAddress address) throws IOException {
    try (var listener = ServerSocketChannel.open(family).bind(address);
        var client = SocketChannel.open(listener.getLocalAddress())) {
      assertThat(has(SELF)).as("nothing was sent").isFalse();

      client.write(ByteBuffer.wrap(new byte[] {1, 2, 3}));

      await("what was sent").atMost(Duration.ofSeconds(5)).until(() -> has(SELF));
      try (var accepted = listener.accept()) {
        assertThat(has(SELF)).as("it is accepted by " + accepted).isFalse();
      }
    }
  }

  @Test
  void whatOthersHaveDoesNotCount() throws IOException {
    try (var listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(directory.resolve("socket")));
        var client = SocketChannel.open(listener.getLocalAddress())) {
      client.write(ByteBuffer.wrap(new byte[1]));
      var other = new ProcessBuilder("sleep", "60").start();
      try {
        int pid = (int) other.pid();

        assertThat(has(List.of(new ProcessRef(pid, pid)))).isFalse();
      } finally {
        other.destroyForcibly();
      }
    }
  }

  private static boolean has(List<ProcessRef> processes) {
    return Unaccepted.of(processes) == Unaccepted.Waiting.TO_BE_ACCEPTED;
  }

  /** The client's confirmation of the handshake vanishes, as it does when a container is cut off in that moment. */
  @Test
  void connectionThatIsHalfMadeCountsInANetworkOfItsOwnAsLongAsItIsFresh() throws IOException {
    String drop = "nft add table ip t && nft add chain ip t in '{ type filter hook input priority 0; }'"
        + " && nft add rule ip t in tcp dport 7000 'tcp flags & (syn | ack) == ack' drop";
    String program = "import socket, time; s = socket.create_server(('127.0.0.1', 7000)); c = socket.create_connection(s.getsockname()); time.sleep(60)";
    var half = new ProcessBuilder("unshare", "--net", "sh", "-c", "ip link set lo up && " + drop + " && exec python3 -c \"" + program + "\"").inheritIO().start();
    try {
      var refs = List.of(new ProcessRef((int) half.pid(), (int) half.pid()));
      await("a half-made connection").atMost(Duration.ofSeconds(10)).until(() -> half.isAlive() && Unaccepted.of(refs) == Unaccepted.Waiting.HALF_MADE);
      await("its answer to be sent again").atMost(Duration.ofSeconds(10)).until(() -> Unaccepted.of(refs) == Unaccepted.Waiting.NOTHING);
    } finally {
      half.destroyForcibly();
    }
  }
}
