package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.Sockets;
import io.gantry.checkpoint.linux.TcpDiag;
import io.gantry.checkpoint.linux.UnixDiag;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Connections that were not accepted yet and cannot be carried in that state: most of all those that have sent something, which nobody can read
 * before they are accepted. A server accepts as soon as it runs, so a container that was met at such a moment runs on for a little and is stopped
 * again. Any one thread.
 */
public final class Unaccepted {
  /** What there is of them. */
  public enum Waiting {
    NOTHING,
    /** The program has only to accept. */
    TO_BE_ACCEPTED,
    /**
     * In a network namespace of its own, which is cut off: a client was sent the answer to its first packet and may take the
     * connection for made. What it says next would meet a
     * copy that knows nothing of it, and be answered by a reset; so it must come through first.
     */
    HALF_MADE
  }

  private Unaccepted() {}

  /**
   * Looks for them. As long as nothing waits at any listening socket of the network namespace, that is asked in three requests,
   * and two more when it is the
   * container's own.
   *
   * @param processes all living ones of a container that stands still
   */
  public static Waiting of(List<ProcessRef> processes) {
    if (processes.isEmpty()) {
      return Waiting.NOTHING;
    }
    int root = processes.getFirst().pid();
    boolean own = NetworkThread.isElsewhere(root);
    return NetworkThread.where(root, () -> here(processes, own));
  }

  /** In the container's network namespace, of which alone the kernel tells. */
  private static Waiting here(List<ProcessRef> processes, boolean own) {
    if (own && anyHalfMade()) {
      return Waiting.HALF_MADE;
    }
    return hasHere(processes) ? Waiting.TO_BE_ACCEPTED : Waiting.NOTHING;
  }

  private static boolean anyHalfMade() {
    int monitor = TcpDiag.open();
    try {
      return TcpDiag.anyHalfMade(monitor, Sockets.AF_INET) || TcpDiag.anyHalfMade(monitor, Sockets.AF_INET6);
    } finally {
      Fd.close(monitor);
    }
  }

  private static boolean hasHere(List<ProcessRef> processes) {
    var waiting = waiting();
    if (waiting.isEmpty()) {
      return false;
    }
    try (var inventory = Inventory.take(processes)) {
      inventory.standsStill();
      return waiting.stream().flatMap(inode -> inventory.withInode(inode).stream().filter(SeenDescriptor::isSocket).limit(1))
          .anyMatch(seen -> isObstacle(seen, inventory));
    }
  }

  /** Inodes of the sockets at which connections wait, and of Unix sockets that wait at them. */
  private static Set<Long> waiting() {
    var found = new HashSet<Long>();
    int monitor = UnixDiag.open();
    try {
      UnixDiag.waiting(monitor, (listener, clients) -> {
        found.add(listener);
        found.addAll(clients);
      });
      TcpDiag.waiting(monitor, Sockets.AF_INET, found::add);
      TcpDiag.waiting(monitor, Sockets.AF_INET6, found::add);
      return found;
    } finally {
      Fd.close(monitor);
    }
  }

  private static boolean isObstacle(SeenDescriptor seen, Inventory inventory) {
    int copy = inventory.take(seen);
    try {
      return !Obstacles.of(seen, copy, inventory).isEmpty();
    } finally {
      Fd.close(copy);
    }
  }
}
