package io.gantry.checkpoint.network;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.network_link_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.NetworkDevice;
import io.gantry.checkpoint.linux.NetworkThread;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Keeps a namespace silent in which somebody else makes devices: hooks of a runtime connect a container that has the address of
 * one that still runs elsewhere. Until
 * the devices can be cut off, a routing rule lets whatever comes in from them vanish, requests for hardware addresses ({@code
 * net/ipv4/arp.c}:
 * {@code arp_process} looks for a route first) and neighbour solicitations included, so nothing is answered, and no connection is
 * reset. Any thread.
 */
public final class NetworkFence {
  /** The local table is looked at first; it comes behind a rule that means every packet that was not made here. */
  private static final String UP =
      "ip $f rule add pref 1 lookup local && ip $f rule del pref 0 && ip $f rule add pref 0 not iif lo blackhole";

  private static final String DOWN =
      "ip $f rule add pref 0 lookup local && ip $f rule del pref 0 not iif lo blackhole && ip $f rule del pref 1 lookup local";

  /**
   * What the kernel says of itself when a device with IPv6 comes up (who listens to which groups, whether an address is free) has the hardware address of the
   * original, and bridges on the way would send here what is meant for it. Rules of routing do not see it, filters do; on a host
   * without {@code nft} the original has to say something before it is found again.
   */
  private static final String MUTE =
      "if command -v nft >/dev/null; then nft 'add table ip6 gantry-fence; "
          + "add chain ip6 gantry-fence out { type filter hook output priority 0; policy drop; }' 2>/dev/null; fi; ";

  private static final String UNMUTE = "if command -v nft >/dev/null; then nft delete table ip6 gantry-fence 2>/dev/null; fi; ";

  private NetworkFence() {}

  /** Before there is any device. Does nothing in the agent's own namespace. @param pid a process in the namespace */
  public static void put(int pid) {
    each(pid, MUTE, UP);
  }

  /** Cuts off whatever devices are there, and lets packets in again. @param fenced whether {@link #put} was called */
  public static void exchangeForCut(int pid, boolean fenced) {
    devices(pid).values().forEach(link -> NetworkDevice.setUp(link.getOuter(), false));
    if (fenced) {
      each(pid, UNMUTE, DOWN);
    }
  }

  private static void each(int pid, String first, String commands) {
    if (NetworkThread.isElsewhere(pid)) {
      NetworkTool.in(pid, "sh", "-c", first + "f=-4; " + commands + (NetworkState.hasV6(pid) ? "; s=$?; f=-6; " + commands + " && exit $s" : ""));
    }
  }

  /** Pairs in the namespace of a process, by name. @throws CheckpointException when there is something else */
  static Map<String, network_link_entry> devices(int pid) {
    var found = new HashMap<String, network_link_entry>();
    // Two lines of heading and the loopback device: most namespaces are empty, and that is quick to see.
    if (new String(Fd.readAll("/proc/" + pid + "/net/dev"), StandardCharsets.US_ASCII).lines().count() > 3) {
      var seen = NetworkLinks.of(pid, true);
      if (!seen.obstacles().isEmpty()) {
        throw new CheckpointException("the network that was made here for the container cannot be taken: " + String.join("; ", seen.obstacles()));
      }
      seen.links().forEach(link -> found.put(link.getName(), link));
    }
    return found;
  }
}
