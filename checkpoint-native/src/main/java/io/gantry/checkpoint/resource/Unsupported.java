package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.Sockets;
import java.util.List;
import java.util.Map;

/** Everything else, refused by name. */
final class Unsupported implements FileKind {
  /** By the names that the kernel gives to anonymous files: what cannot be carried in them. */
  private static final Map<String, String> REASONS =
      Map.of(
          "io_uring", "it is an io_uring, whose requests on their way and registered files the kernel shows nobody",
          "userfaultfd", "it is a userfaultfd: pages that the program itself would have to bring cannot be told from pages that it has not",
          "perf_event", "it is a perf event, which counts on this host's processors",
          "bpf-map", "it is a BPF map, which programs in this host's kernel may share",
          "bpf-prog", "it is a BPF program, which is part of this host's kernel",
          "bpf_link", "it is a BPF link, which ties a program to this host's kernel",
          "landlock-ruleset", "it is a Landlock rule set, whose rules the kernel shows nobody",
          "kvm-vm", "it is a KVM virtual machine, whose state is in this host's kernel");
  /** {@code linux/in.h}. */
  private static final Map<Integer, String> PROTOCOLS =
      Map.of(33, "DCCP socket", 132, "SCTP socket", 262, "MPTCP socket", 256, "SMC socket");

  /** {@code bits/socket.h}. */
  private static final Map<Integer, String> FAMILIES =
      Map.ofEntries(
          Map.entry(3, "AX.25 socket"),
          Map.entry(15, "key management socket"),
          Map.entry(21, "RDS socket"),
          Map.entry(24, "PPPoX socket"),
          Map.entry(26, "LLC socket"),
          Map.entry(29, "CAN socket"),
          Map.entry(30, "TIPC socket"),
          Map.entry(31, "Bluetooth socket"),
          Map.entry(33, "RxRPC socket"),
          Map.entry(36, "IEEE 802.15.4 socket"),
          Map.entry(38, "kernel crypto socket (AF_ALG)"),
          Map.entry(39, "NFC socket"),
          Map.entry(Sockets.AF_VSOCK, "vsock socket"),
          Map.entry(41, "KCM socket"),
          Map.entry(42, "QRTR socket"),
          Map.entry(43, "SMC socket"),
          Map.entry(44, "XDP socket"),
          Map.entry(45, "MCTP socket"));

  @Override
  public String name(SeenDescriptor seen, int copy) {
    if (seen.link().startsWith("anon_inode:")) {
      var name = seen.link().substring("anon_inode:".length());
      return name.startsWith("[") && name.endsWith("]") ? name.substring(1, name.length() - 1) : name;
    }
    if (seen.isSocket()) {
      return socket(copy);
    }
    return switch (seen.status().type()) {
      case FileStatus.S_IFBLK -> "block device";
      case FileStatus.S_IFLNK -> "symbolic link opened with O_PATH";
      case FileStatus.S_IFSOCK -> "Unix socket's file opened with O_PATH";
      default -> "open file";
    };
  }

  private static String socket(int copy) {
    int family = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN);
    int protocol = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL);
    if (family == Sockets.AF_INET || family == Sockets.AF_INET6) {
      return PROTOCOLS.getOrDefault(protocol, "socket of an unusual Internet protocol");
    }
    return FAMILIES.getOrDefault(family, "socket of an unusual kind");
  }

  @Override
  public String how() {
    return "";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return true;
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    if (seen.isSocket()) {
      int family = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_DOMAIN);
      int type = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_TYPE);
      int protocol = Sockets.intOption(copy, Sockets.SOL_SOCKET, Sockets.SO_PROTOCOL);
      return List.of(
          "it is a %s (family %d, type %d, protocol %d), which cannot be carried".formatted(socket(copy), family, type,
              protocol));
    }
    var reason = REASONS.get(name(seen, copy));
    if (reason != null) {
      return List.of(reason + "; the program has to close it first");
    }
    return List.of("it is open as " + seen.link() + ", a kind of file that cannot be carried; the program has to close it first");
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    throw new CheckpointException(seen.where() + " is " + name(seen, copy) + ", which cannot be carried");
  }

  @Override
  public boolean describes(file_entry file) {
    return false;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    throw new IllegalStateException("nothing describes an unsupported file");
  }
}
