package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.TcpRepair;
import io.gantry.checkpoint.procfs.ElfBuildId;
import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;

/** What this host lacks for a container's open and mapped files and its ports. Any one thread. */
final class Preflight {
  /** How a connection is told apart from a port. */
  static final String CONNECTION = "tcp-connection";

  private Preflight() {}

  /** Every reason against it: files missing, of another type, mode, size or build id, and ports that are taken. */
  static List<Finding> check(Footprint facts, List<Path> coming) {
    var findings = new ArrayList<Finding>();
    for (var fact : facts.mappedFiles()) {
      // The container gets a /proc of its own.
      if (!fact.path().startsWith("/proc/") && !fact.path().equals("/proc") && coming.stream().noneMatch(Path.of(fact.path())::startsWith)) {
        file(fact).ifPresent(sentence -> findings.add(new Finding(0, -1, Finding.FILE, sentence)));
      }
    }
    for (var port : facts.listeningPorts()) {
      port(port).ifPresent(sentence -> findings.add(new Finding(0, -1, "port", sentence)));
    }
    return findings;
  }

  private static Optional<String> file(Footprint.FileFact fact) {
    var there = FileStatus.of(fact.path());
    if (there.isEmpty()) {
      return Optional.of(fact.path() + " does not exist on this host; install the same packages or share the directory");
    }
    if (there.get().mode() != fact.mode()) {
      return Optional.of(
          "%s has type and mode 0%o here and 0%o on the source".formatted(fact.path(), there.get().mode(), fact.mode()));
    }
    if (fact.sizeBytes() >= 0 && there.get().size() != fact.sizeBytes()) {
      return Optional.of(
          "%s is %d bytes long here and %d on the source; install the same version"
              .formatted(fact.path(), there.get().size(), fact.sizeBytes()));
    }
    if (!fact.buildId().isEmpty()) {
      var here = ElfBuildId.read(Path.of(fact.path()));
      if (!here.equals(fact.buildId())) {
        return Optional.of(
            "%s has build id %s here and %s on the source; install the same version"
                .formatted(fact.path(), here.isEmpty() ? "none" : here, fact.buildId()));
      }
    }
    return Optional.empty();
  }

  /** Tries to make the connection, of which nobody is told. */
  private static Optional<String> connection(String local, String peer) {
    var from = parse(local);
    int socket = Sockets.create(from.family(), Sockets.SOCK_STREAM, 0);
    try {
      TcpRepair.set(socket, TcpRepair.ON);
      long result = Sockets.bind(socket, from.raw());
      if (result == 0) {
        result = TcpRepair.connect(socket, parse(peer).raw());
      }
      return result == 0
          ? Optional.empty()
          : Optional.of(
              "the container has a TCP connection from %s to %s, and making it here failed with %s; both addresses must be this host's own, and no connection may have them"
                  .formatted(local, peer, Errno.describe((int) -result)));
    } catch (KernelException refused) {
      return Optional.of("the container has TCP connections, and this node may not make any: " + refused.getMessage());
    } finally {
      Fd.close(socket);
    }
  }

  private static InternetAddress parse(String text) {
    boolean v6 = text.startsWith("[");
    int colon = text.lastIndexOf(':');
    var host = text.substring(v6 ? 1 : 0, v6 ? colon - 1 : colon);
    return new InternetAddress(
        v6 ? Sockets.AF_INET6 : Sockets.AF_INET, Integer.parseInt(text.substring(colon + 1)), address(host, v6), 0);
  }

  /** Tries to bind the port, which nobody notices: a TCP socket that does not listen answers nobody. */
  private static Optional<String> port(String port) {
    var words = port.split(" ");
    if (words.length == 3 && words[0].equals(CONNECTION)) {
      return connection(words[1], words[2]);
    }
    if (words[0].equals("unix") && words.length == 2) {
      return unixName(words[1]);
    }
    int colon = words.length == 2 ? words[1].lastIndexOf(':') : -1;
    boolean tcp = words[0].startsWith("tcp");
    if (colon < 0 || !(tcp || words[0].startsWith("udp"))) {
      return Optional.of("the source names a port in a way this version does not know: " + port);
    }
    boolean v6 = words[1].startsWith("[");
    int family = v6 ? Sockets.AF_INET6 : Sockets.AF_INET;
    int socket = Sockets.create(family, tcp ? Sockets.SOCK_STREAM : Sockets.SOCK_DGRAM, 0);
    try {
      var host = words[1].substring(v6 ? 1 : 0, v6 ? colon - 1 : colon);
      var address = address(host, v6);
      if (v6) {
        Sockets.setOption(socket, Sockets.IPPROTO_IPV6, SocketOptions.IPV6_V6ONLY, number(words[0].endsWith("6only") ? 1 : 0));
      }
      if (tcp) {
        Sockets.setOption(socket, Sockets.SOL_SOCKET, SocketOptions.SO_REUSEADDR, number(1));
      }
      int number = Integer.parseInt(words[1].substring(colon + 1));
      long result = Sockets.bind(socket, new InternetAddress(family, number, address, 0).raw());
      return result == 0
          ? Optional.empty()
          : Optional.of(
              "the container needs %s, and binding it here failed with %s"
                  .formatted(port, Errno.describe((int) -result)));
    } catch (IllegalArgumentException e) {
      return Optional.of("the source names a port in a way this version does not know: " + port);
    } finally {
      Fd.close(socket);
    }
  }

  /** An abstract name, which is free again as soon as nobody has it. */
  private static Optional<String> unixName(String key) {
    var name = new UnixName(HexFormat.of().parseHex(key));
    int socket = Sockets.create(Sockets.AF_UNIX, Sockets.SOCK_STREAM, 0);
    try {
      long result = Sockets.bind(socket, name.raw());
      return result == 0
          ? Optional.empty()
          : Optional.of(
              "the container needs the abstract Unix name %s, and binding it here failed with %s"
                  .formatted(name.text(), Errno.describe((int) -result)));
    } finally {
      Fd.close(socket);
    }
  }

  private static byte[] address(String host, boolean v6) {
    // Literals only; nothing is looked up.
    var bytes = InetAddress.ofLiteral(host).getAddress();
    if (v6 && bytes.length == 4) {
      // ::ffff:a.b.c.d comes back as a.b.c.d
      var mapped = new byte[16];
      mapped[10] = mapped[11] = (byte) 0xff;
      System.arraycopy(bytes, 0, mapped, 12, 4);
      return mapped;
    }
    return bytes;
  }

  private static byte[] number(int value) {
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
  }
}
