package io.gantry.actors;

import io.gantry.actors.link.Peer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.TreeSet;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The addresses of the nodes that were in the cluster last, in a file of the state directory, so that a restarted node finds
 * its way back even if it
 * was the one that began the cluster. Losing the file does no harm but that. One thread at a time.
 */
final class KnownPeers {
  private static final Logger LOG = LoggerFactory.getLogger(KnownPeers.class);

  private final Path file;
  private List<String> written;

  KnownPeers(Path stateDirectory) {
    this.file = stateDirectory.resolve("peers");
    this.written = read();
  }

  /** {@code host:port} of each. */
  List<String> addresses() {
    return written;
  }

  /** Remembers who is there now; nobody being there teaches nothing. */
  void remember(List<Peer> peers) {
    var addresses = new TreeSet<String>();
    for (var peer : peers) {
      // akka://gantry@127.0.0.3:7750 and gantry@127.0.0.3:7750 both end so.
      addresses.add(peer.address().substring(peer.address().lastIndexOf('@') + 1));
    }
    var now = List.copyOf(addresses);
    if (now.isEmpty() || now.equals(written)) {
      return;
    }
    try {
      var fresh = file.resolveSibling("peers.new");
      Files.write(fresh, now);
      Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
      written = now;
    } catch (IOException e) {
      LOG.warn("The addresses of the cluster's nodes could not be kept in {}: {}", file, e.toString());
    }
  }

  private List<String> read() {
    try {
      return Files.exists(file) ? List.copyOf(Files.readAllLines(file)) : List.of();
    } catch (IOException e) {
      LOG.warn("The addresses of the cluster's nodes could not be read from {}: {}", file, e.toString());
      return List.of();
    }
  }
}
