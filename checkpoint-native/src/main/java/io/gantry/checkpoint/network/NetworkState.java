package io.gantry.checkpoint.network;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.network_link_entry;
import io.gantry.checkpoint.image.network_state;
import io.gantry.checkpoint.image.network_sysctl_entry;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;

/** Describes a network namespace. Any thread. */
final class NetworkState {
  private NetworkState() {}

  /** All of it. @throws CheckpointException when it has something that cannot be carried */
  static network_state read(int pid, int version, boolean hooked) {
    var found = NetworkLinks.of(pid, hooked);
    if (!found.obstacles().isEmpty()) {
      throw new CheckpointException(String.join("; ", found.obstacles()));
    }
    var state =
        ofLinks(found).toBuilder()
            .setVersion(version)
            .setAddresses(ByteString.copyFrom(NetworkTool.in(pid, "ip", "addr", "save").out()))
            .addAllRoutes4(routes(pid, "-4"))
            .addAllRoutes6(routes(pid, "-6"))
            .addAllRules4(NetworkTool.in(pid, "ip", "-4", "rule", "show").lines())
            .addAllSysctls(NetworkSysctls.read(pid))
            .addAllShown(shown(pid));
    if (hasV6(pid)) {
      state.addAllRules6(NetworkTool.in(pid, "ip", "-6", "rule", "show").lines());
    }
    PacketFilters.read(pid).ifPresent(state::setFilters);
    return state.build();
  }

  /** Devices alone: enough to connect them. */
  static network_state ofLinks(NetworkLinks.Found found) {
    return network_state.newBuilder()
        .setVersion(0)
        .addAllLinks(found.links())
        .setAddresses(ByteString.EMPTY)
        .setLoopbackUp(found.loopbackUp())
        .build();
  }

  static boolean hasV6(int pid) {
    return Files.exists(Path.of("/proc/" + pid + "/net/if_inet6"));
  }

  /** Addresses as {@code ip(8)} shows them, but for what depends on the moment. */
  static List<String> shown(int pid) {
    return NetworkTool.in(pid, "ip", "-o", "addr", "show").lines().stream().map(NetworkState::lasting).sorted().toList();
  }

  /** Routes of all tables, each as {@code ip route add} takes it. @param family {@code -4} or {@code -6} */
  static List<String> routes(int pid, String family) {
    return family.equals("-6") && !hasV6(pid)
        ? List.of()
        : NetworkTool.in(pid, "ip", family, "-o", "route", "show", "table", "all").lines().stream()
            .map(NetworkState::lasting)
            .distinct()
            .sorted()
            .toList();
  }

  private static String lasting(String line) {
    return line.replace('\\', ' ')
        .replaceAll("(valid_lft|preferred_lft|expires) \\S+", "")
        .replaceAll("\\b(linkdown|dead|tentative|dadfailed)\\b", "")
        .replaceAll("\\s+", " ")
        .strip();
  }

  /** For a hook. */
  static String json(network_state state) {
    var links = state.getLinksList().stream().map(NetworkState::json).collect(Collectors.joining(","));
    var addresses =
        state.getShownList().stream()
            .filter(line -> line.matches("\\d+: \\S+ inet6? .*"))
            .map(line -> line.split(" "))
            .map(words -> "{\"device\":\"%s\",\"address\":\"%s\"}".formatted(words[1], words[3]))
            .collect(Collectors.joining(","));
    return "{\"links\":[" + links + "],\"addresses\":[" + addresses + "]}";
  }

  /**
   * Names of devices have neither quotes nor control characters that mean anything here: {@code ip(8)} was asked for them by
   * line.
   */
  private static String json(network_link_entry link) {
    return "{\"name\":\"%s\",\"outer\":\"%s\",\"mac\":\"%s\",\"mtu\":%d,\"bridge\":\"%s\"}"
        .formatted(escaped(link.getName()), escaped(link.getOuter()), link.getMac(), link.getMtu(), escaped(link.getBridge()));
  }

  private static String escaped(String text) {
    return text.replace("\\", "\\\\").replace("\"", "\\\"");
  }

  /** What {@code network_sysctl_entry} says, as a path. */
  static Path path(network_sysctl_entry entry) {
    return NetworkSysctls.ROOT.resolve(entry.getName());
  }
}
