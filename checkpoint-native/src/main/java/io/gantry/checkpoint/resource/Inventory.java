package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.DescriptorTable;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.UnixDiag;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;

/**
 * Every descriptor of a set of processes, looked at once from outside. Processes and descriptors that vanish meanwhile are left
 * out, so it can be taken of a running container; only of a stopped one is it a consistent picture. One thread.
 */
final class Inventory implements AutoCloseable {
  private final List<ProcessRef> processes;
  private final Map<Integer, DescriptorTable> tables = new LinkedHashMap<>();
  private final List<SeenDescriptor> descriptors = new ArrayList<>();
  private final Map<String, List<SeenDescriptor>> byLink = new HashMap<>();
  private final Map<Long, List<SeenDescriptor>> byInode = new HashMap<>();
  private final Map<Integer, Integer> nsPids = new HashMap<>();
  private int unixMonitor = -1;
  private Set<String> mounts;

  private Inventory(List<ProcessRef> processes) {
    this.processes = List.copyOf(processes);
  }

  /** Looks at all descriptors. Close it: it holds three descriptors for each process. */
  static Inventory take(List<ProcessRef> processes) {
    var inventory = new Inventory(processes);
    try {
      for (var process : processes) {
        inventory.nsPids.put(process.pid(), process.nsPid());
        inventory.add(process);
      }
      return inventory;
    } catch (RuntimeException e) {
      inventory.close();
      throw e;
    }
  }

  private void add(ProcessRef process) {
    DescriptorTable table;
    try {
      table = DescriptorTable.open(process.pid());
    } catch (KernelException e) {
      if (isGone(e)) {
        return;
      }
      throw e;
    }
    tables.put(process.pid(), table);
    for (int fd : table.list()) {
      try {
        var seen = look(process, table, fd);
        descriptors.add(seen);
        byInode.computeIfAbsent(seen.status().inode(), inode -> new ArrayList<>(2)).add(seen);
        byLink.computeIfAbsent(seen.link(), link -> new ArrayList<>(2)).add(seen);
      } catch (KernelException e) {
        if (!isGone(e)) {
          throw new CheckpointException("looking at descriptor " + fd + " of process " + process.pid() + ": " + e.getMessage(),
              e);
        }
      }
    }
  }

  static boolean isGone(KernelException e) {
    return e.errno() == Errno.ESRCH || e.errno() == Errno.ENOENT || e.errno() == Errno.EBADF;
  }

  private static SeenDescriptor look(ProcessRef process, DescriptorTable table, int fd) {
    int copy = table.take(fd);
    try {
      return new SeenDescriptor(process, fd, decode(table.link(fd)), FileStatus.of(copy), new DescriptorInfo(table.info(fd)));
    } finally {
      Fd.close(copy);
    }
  }

  private static String decode(byte[] link) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(link)).toString();
    } catch (CharacterCodingException e) {
      return "";
    }
  }

  List<ProcessRef> processes() {
    return processes;
  }

  /** In the order of the processes, then of the numbers. */
  List<SeenDescriptor> descriptors() {
    return descriptors;
  }

  /** Whether a process was there at all (a zombie is, without descriptors). */
  boolean hasProcess(ProcessRef process) {
    return tables.containsKey(process.pid());
  }

  /** All descriptors that {@code /proc/PID/fd} shows as this. */
  List<SeenDescriptor> withLink(String link) {
    return byLink.getOrDefault(link, List.of());
  }

  /** All descriptors whose inode has this number, on whatever device; anonymous files of all kinds have the same. */
  List<SeenDescriptor> withInode(long inode) {
    return byInode.getOrDefault(inode, List.of());
  }

  /** Our own copy of a descriptor; the caller closes it. */
  int take(SeenDescriptor seen) {
    return tables.get(seen.process().pid()).take(seen.fd());
  }

  /** Reads {@code /proc/PID/fdinfo/N} once more. */
  DescriptorInfo infoNow(SeenDescriptor seen) {
    return new DescriptorInfo(tables.get(seen.process().pid()).info(seen.fd()));
  }

  /** Where the container's file system begins, as a prefix for absolute paths. */
  String root() {
    return "/proc/" + processes.getFirst().pid() + "/root";
  }

  /** Whether a file with this {@code mnt_id} lies on a mount that the container can see, not on one that is the kernel's own. */
  boolean isMounted(String mountId) {
    if (mounts == null) {
      mounts = new HashSet<>();
      try (var lines = Files.lines(Path.of("/proc/" + processes.getFirst().pid() + "/mountinfo"), StandardCharsets.ISO_8859_1)) {
        lines.forEach(line -> mounts.add(line.substring(0, line.indexOf(' '))));
      } catch (IOException | UncheckedIOException e) {
        throw new CheckpointException("reading the mounts of process " + processes.getFirst().pid(), e);
      }
    }
    return mounts.contains(mountId);
  }

  UnixDiag unixSocket(long inode) {
    if (unixMonitor < 0) {
      unixMonitor = UnixDiag.open();
    }
    return UnixDiag.query(unixMonitor, inode);
  }

  /** The number inside the container of a process, thread or group of this container; empty for any other. */
  OptionalInt nsId(int hostId) {
    var known = nsPids.get(hostId);
    if (known != null) {
      return OptionalInt.of(known);
    }
    try {
      int group = 0;
      int inside = 0;
      for (var line : Files.readAllLines(Path.of("/proc/" + hostId + "/status"))) {
        var parts = line.split("\\s+");
        if (line.startsWith("Tgid:")) {
          group = Integer.parseInt(parts[1]);
        } else if (line.startsWith("NSpid:")) {
          inside = Integer.parseInt(parts[parts.length - 1]);
        }
      }
      return nsPids.containsKey(group) ? OptionalInt.of(inside) : OptionalInt.empty();
    } catch (IOException gone) {
      return OptionalInt.empty();
    }
  }

  /**
   * Finds out which descriptors share one open file. Only candidates that look alike are compared, and those are sorted by the
   * kernel's own order, so n of them cost n log n comparisons.
   */
  List<OpenFile> openFiles() {
    // All eventfds have one inode, but each a number of its own (eventfd-id in fdinfo).
    record Key(String link, long device, long inode, int flags, long position, List<String> eventFd) {}
    var candidates = new LinkedHashMap<Key, List<SeenDescriptor>>();
    for (var seen : descriptors) {
      var info = seen.info();
      var eventFd = seen.isAnonymous("[eventfd]") ? info.values("eventfd-id") : List.<String>of();
      var status = seen.status();
      var key = new Key(seen.link(), status.device(), status.inode(), info.statusFlags(), info.position(), eventFd);
      candidates.computeIfAbsent(key, k -> new ArrayList<>(2)).add(seen);
    }
    var shared = new HashMap<SeenDescriptor, List<SeenDescriptor>>();
    for (var alike : candidates.values()) {
      group(alike).forEach(holders -> shared.put(holders.getFirst(), holders));
    }
    var files = new ArrayList<OpenFile>(shared.size());
    for (var seen : descriptors) {
      var holders = shared.get(seen);
      if (holders != null) {
        files.add(new OpenFile(files.size() + 1, holders));
      }
    }
    return files;
  }

  private static List<List<SeenDescriptor>> group(List<SeenDescriptor> alike) {
    if (alike.size() == 1) {
      return List.of(alike);
    }
    Comparator<SeenDescriptor> kernelOrder =
        (a, b) -> a == b ? 0 : Kcmp.compareFiles(a.process().pid(), a.fd(), b.process().pid(), b.fd());
    // The sort is stable: within one open file the order of processes and numbers stays.
    var sorted = new ArrayList<>(alike);
    sorted.sort(kernelOrder);
    var groups = new ArrayList<List<SeenDescriptor>>();
    for (var seen : sorted) {
      if (groups.isEmpty() || kernelOrder.compare(groups.getLast().getLast(), seen) != 0) {
        groups.add(new ArrayList<>(2));
      }
      groups.getLast().add(seen);
    }
    return groups;
  }

  @Override
  public void close() {
    tables.values().forEach(DescriptorTable::close);
    if (unixMonitor >= 0) {
      Fd.close(unixMonitor);
      unixMonitor = -1;
    }
  }
}
