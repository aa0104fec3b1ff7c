package io.gantry.checkpoint.network;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.PacketFilterDiag;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** The packet filters of a network namespace, by {@code nft(8)}; that is needed only where there are any. Any thread. */
final class PacketFilters {
  private static final List<String> PLACES = List.of("/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft", "/usr/bin/nft");

  private PacketFilters() {}

  /** The rules as {@code nft -f} takes them; empty when there are none. */
  static Optional<String> read(int pid) {
    if (!NetworkThread.in(pid, PacketFilterDiag::hasTables)) {
      return Optional.empty();
    }
    var rules = new String(NetworkTool.in(pid, tool(), "-s", "list", "ruleset").out(), StandardCharsets.UTF_8);
    return rules.isBlank() ? Optional.empty() : Optional.of(rules);
  }

  /** Why they cannot be carried. */
  static Optional<String> obstacle(int pid) {
    var legacy =
        Stream.of("ip_tables_names", "ip6_tables_names", "arp_tables_names")
            .filter(name -> Fd.readIfThere("/proc/" + pid + "/net/" + name).filter(text -> text.length > 0).isPresent())
            .findFirst();
    if (legacy.isPresent()) {
      return Optional.of("its network namespace has packet filters of the old kind (iptables-legacy), which cannot be carried; use nftables");
    }
    return find().isEmpty() && NetworkThread.in(pid, PacketFilterDiag::hasTables)
        ? Optional.of("its network namespace has packet filters, and nft(8) is not installed here; install the package nftables")
        : Optional.empty();
  }

  static void write(int pid, String rules) {
    var result = NetworkTool.attempt(pid, ("flush ruleset\n" + rules).getBytes(StandardCharsets.UTF_8), tool(), "-f", "-");
    if (result.status() != 0) {
      throw new CheckpointException("the container's packet filters cannot be made here: " + result.err().strip());
    }
  }

  private static Optional<String> find() {
    return PLACES.stream().filter(place -> Files.isExecutable(Path.of(place))).findFirst();
  }

  private static String tool() {
    return find().orElseThrow(
        () ->
            new CheckpointException(
                "the container's network namespace has packet filters, and nft(8) is not installed here; install the package nftables"));
  }
}
