package io.gantry.checkpoint.network;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.network_state;
import io.gantry.checkpoint.image.network_sysctl_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.NetworkThread;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;

/**
 * Settings below {@code /proc/sys/net}, of which a thread sees those of its own network namespace ({@code man 5 proc_sys_net}).
 * Any thread.
 */
final class NetworkSysctls {
  static final Path ROOT = Path.of("/proc/sys/net");

  /** Setting one may change others, such as {@code ip_forward} those of every device. */
  private static final int PASSES = 3;

  /** {@code PAGE_SIZE}: what the kernel takes at a time. */
  private static final int VALUE_MAX = 4096;

  private NetworkSysctls() {}

  /** All that can be read and set in the namespace of a process, those for all devices before those of one. */
  static List<network_sysctl_entry> read(int pid) {
    return NetworkThread.in(
        pid,
        () -> {
          var found = new ArrayList<network_sysctl_entry>();
          try (var files = Files.walk(ROOT)) {
            for (var file : files.sorted(Comparator.comparing(NetworkSysctls::rank).thenComparing(Comparator.naturalOrder())).toList()) {
              if (Files.isRegularFile(file) && isSettable(file)) {
                var value = value(file);
                if (!value.isEmpty() && value.length() < VALUE_MAX) {
                  found.add(network_sysctl_entry.newBuilder().setName(ROOT.relativize(file).toString()).setValue(value).build());
                }
              }
            }
          } catch (IOException e) {
            throw new CheckpointException("reading the settings below " + ROOT + ": " + e, e);
          }
          return found;
        });
  }

  private static int rank(Path file) {
    var text = file.toString();
    return !text.contains("/conf/") ? 0 : text.contains("/conf/all/") ? 1 : text.contains("/conf/default/") ? 2 : 3;
  }

  private static boolean isSettable(Path file) throws IOException {
    return Files.getPosixFilePermissions(file).containsAll(Set.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE));
  }

  /** Empty for one that has never been set, such as {@code stable_secret}. */
  static String value(Path file) {
    try {
      // In one read: the kernel gives a value at once or not at all, and a library that begins with a single byte gets no more.
      return Fd.readIfThere(file.toString()).map(value -> new String(value, StandardCharsets.US_ASCII).strip()).orElse("");
    } catch (KernelException unset) {
      return "";
    }
  }

  /** Sets what is different in the namespace of a process. @param except names that are left alone for now */
  static void write(int pid, network_state state, Set<String> except) {
    NetworkThread.in(
        pid,
        () -> {
          var left = state.getSysctlsList().stream().filter(entry -> !except.contains(entry.getName())).toList();
          for (int pass = 0; pass < PASSES && !left.isEmpty(); pass++) {
            left = left.stream().filter(NetworkSysctls::differs).toList();
            left.forEach(NetworkSysctls::set);
          }
          left.stream()
              .filter(NetworkSysctls::differs)
              .findFirst()
              .ifPresent(
                  entry -> {
                    throw new CheckpointException(
                        "the container's network has net.%s = %s, and here it is %s and cannot be set to that; is a kernel module missing?"
                            .formatted(entry.getName().replace('/', '.'), entry.getValue(), current(entry)));
                  });
          return true;
        });
  }

  private static String current(network_sysctl_entry entry) {
    var value = value(NetworkState.path(entry));
    return value.isEmpty() ? "not there" : value;
  }

  /**
   * Settings of a module that only the source has loaded are nobody's who could notice, unless packet filters are carried,
   * which load it.
   */
  private static boolean differs(network_sysctl_entry entry) {
    boolean absent = entry.getName().startsWith("netfilter/") && !Files.exists(NetworkState.path(entry));
    return !absent && !value(NetworkState.path(entry)).equals(entry.getValue());
  }

  private static void set(network_sysctl_entry entry) {
    try {
      Files.writeString(NetworkState.path(entry), entry.getValue());
    } catch (IOException refused) {
      // Whether it is as wanted in the end is looked at above.
      return;
    }
  }
}
