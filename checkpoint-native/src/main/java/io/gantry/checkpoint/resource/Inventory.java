package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Ahead;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.DescriptorTable;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.UnixDiag;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.shm.ContainerShm;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntFunction;

/**
 * Every descriptor of a set of processes, looked at once from outside. Processes and descriptors that vanish meanwhile are left
 * out, so it can be taken of a running container; only of a stopped one is it a consistent picture. One thread.
 */
final class Inventory implements AutoCloseable {
  /** With fewer processes a second thread of ours would cost more than it gains. */
  private static final int MANY = 16;

  private static final Comparator<List<SeenDescriptor>> KERNEL_ORDER =
      Comparator.comparing(List::getFirst, (a, b) -> Kcmp.compareFiles(a.process().pid(), a.fd(), b.process().pid(), b.fd()));

  private final List<ProcessRef> processes;
  /** Opened by whoever looks at a process. */
  private final Map<Integer, DescriptorTable> tables = new ConcurrentHashMap<>();

  private final List<SeenDescriptor> descriptors = new ArrayList<>();
  private final Map<String, List<SeenDescriptor>> byLink = new HashMap<>();
  private final Map<Long, List<SeenDescriptor>> byInode = new HashMap<>();
  private final Map<Integer, Integer> nsPids = new HashMap<>();
  private final Map<SeenDescriptor, Map<Integer, Optional<SeenDescriptor>>> epollTargets = new IdentityHashMap<>();
  private final Map<ProcessRef, Map<Integer, SeenDescriptor>> byNumber = new HashMap<>();
  private final Map<Long, UnixDiag> unixSockets = new HashMap<>();
  private Optional<Map<Long, UnixDiag>> unixListeners = Optional.empty();
  private boolean still;
  private int unixMonitor = -1;
  private Set<String> mounts;
  private final Map<FileIdentity, Optional<String>> otherNames = new HashMap<>();
  private TcpEnds tcpEnds;
  private Optional<Optional<ContainerShm>> shm = Optional.empty();
  private Boolean otherRoot;
  private final Set<Integer> groups = new HashSet<>();

  private Inventory(List<ProcessRef> processes) {
    this.processes = List.copyOf(processes);
  }

  /** Looks at all descriptors. Close it: it holds three descriptors for each process. */
  static Inventory take(List<ProcessRef> processes) {
    var inventory = new Inventory(processes);
    // Of many, one half is looked at beside the other.
    int half = processes.size() < MANY ? processes.size() : processes.size() / 2;
    var others = processes.subList(half, processes.size());
    try (var second = half(others, inventory)) {
      for (int i = 0; i < processes.size(); i++) {
        var process = processes.get(i);
        inventory.nsPids.put(process.pid(), process.nsPid());
        inventory.add(process, i < half ? inventory.look(process) : second.get(i - half));
      }
      return inventory;
    } catch (RuntimeException e) {
      inventory.close();
      throw e;
    }
  }

  private static Ahead<List<SeenDescriptor>> half(List<ProcessRef> processes, Inventory inventory) {
    IntFunction<List<SeenDescriptor>> look = i -> inventory.look(processes.get(i));
    return processes.isEmpty() ? Ahead.notAtAll(0, look) : Ahead.begin("more descriptors", processes.size(), look);
  }

  private void add(ProcessRef process, List<SeenDescriptor> found) {
    for (var seen : found) {
      descriptors.add(seen);
      byNumber.computeIfAbsent(process, p -> new HashMap<>()).put(seen.fd(), seen);
      byInode.computeIfAbsent(seen.status().inode(), inode -> new ArrayList<>(2)).add(seen);
      byLink.computeIfAbsent(seen.link(), link -> new ArrayList<>(2)).add(seen);
    }
  }

  /** Looks at the descriptors of one process; there are none when it has gone. Of this inventory only the tables are touched: any thread. */
  private List<SeenDescriptor> look(ProcessRef process) {
    DescriptorTable table;
    try {
      table = DescriptorTable.open(process.pid());
    } catch (KernelException e) {
      if (isGone(e)) {
        return List.of();
      }
      throw e;
    }
    tables.put(process.pid(), table);
    var found = new ArrayList<SeenDescriptor>();
    for (int fd : table.list()) {
      try {
        found.add(look(process, table, fd));
      } catch (KernelException e) {
        if (!isGone(e)) {
          throw new CheckpointException("looking at descriptor " + fd + " of process " + process.pid() + ": " + e.getMessage(),
              e);
        }
      }
    }
    return found;
  }

  static boolean isGone(KernelException e) {
    return e.errno() == Errno.ESRCH || e.errno() == Errno.ENOENT || e.errno() == Errno.EBADF;
  }

  private static SeenDescriptor look(ProcessRef process, DescriptorTable table, int fd) {
    return new SeenDescriptor(process, fd, decode(table.link(fd)), table.status(fd), new DescriptorInfo(table.info(fd)));
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

  /** A process's descriptor. */
  Optional<SeenDescriptor> find(ProcessRef process, int fd) {
    return Optional.ofNullable(byNumber.getOrDefault(process, Map.of()).get(fd));
  }

  /** What is known of the files an epoll instance watches, by their places in fdinfo; asking the kernel again is slow with thousands. */
  Map<Integer, Optional<SeenDescriptor>> epollTargets(SeenDescriptor epoll) {
    return epollTargets.computeIfAbsent(epoll, e -> new HashMap<>());
  }

  /** Our own copy of a descriptor; the caller closes it. */
  int take(SeenDescriptor seen) {
    return tables.get(seen.process().pid()).take(seen.fd());
  }

  /** Reads {@code /proc/PID/fdinfo/N} once more. */
  DescriptorInfo infoNow(SeenDescriptor seen) {
    return new DescriptorInfo(tables.get(seen.process().pid()).info(seen.fd()));
  }

  /** Whether the container has a network namespace of its own. */
  boolean hasOwnNetwork() {
    return !processes.isEmpty() && NetworkThread.isElsewhere(processes.getFirst().pid());
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

  /** Whether a file lies in the container's own {@code /dev/shm}, where its content is memory's. */
  boolean isInOwnShm(FileStatus status) {
    if (shm.isEmpty()) {
      shm = Optional.of(ContainerShm.of(processes.getFirst().pid()));
    }
    return shm.get().filter(own -> own.device() == status.device()).isPresent();
  }

  /** Whether a file lies on none of the mounts that the container can see, but on one of the host's: only where the container has another root. */
  boolean isOutside(SeenDescriptor seen) {
    if (otherRoot == null) {
      otherRoot = FileStatus.of(root()).filter(root -> FileStatus.of("/").filter(root::sameInode).isEmpty()).isPresent();
    }
    return otherRoot && seen.isPath() && !isMounted(seen.info().required("mnt_id"));
  }

  /** Another name of a file that is open under a name it does not have any more. */
  Optional<String> otherName(SeenDescriptor seen) {
    var status = seen.status();
    if (status.links() == 0 || status.type() == FileStatus.S_IFDIR || !seen.link().endsWith(SeenDescriptor.DELETED)) {
      return Optional.empty();
    }
    return otherNames.computeIfAbsent(new FileIdentity(status.device(), status.inode()), identity -> new OtherName(this, seen).find());
  }

  /** Says that the container stands still from now on, so that what was asked once need not be asked again. */
  void standsStill() {
    still = true;
  }

  boolean isStill() {
    return still;
  }

  /** @throws KernelException {@code ENOENT} when this network namespace has no such Unix socket */
  UnixDiag unixSocket(long inode) {
    var known = unixSockets.get(inode);
    if (known != null) {
      return known;
    }
    if (unixMonitor < 0) {
      unixMonitor = UnixDiag.open();
    }
    var socket = UnixDiag.query(unixMonitor, inode);
    if (still) {
      unixSockets.put(inode, socket);
    }
    return socket;
  }

  Optional<UnixDiag> findUnixSocket(long inode) {
    try {
      return Optional.of(unixSocket(inode));
    } catch (KernelException e) {
      if (e.errno() != Errno.ENOENT) {
        throw e;
      }
      return Optional.empty();
    }
  }

  /** The listening Unix sockets that the container has, by inode. */
  Map<Long, UnixDiag> unixListeners() {
    if (unixListeners.isEmpty()) {
      var found = new LinkedHashMap<Long, UnixDiag>();
      for (var alike : byInode.entrySet()) {
        if (alike.getValue().stream().anyMatch(SeenDescriptor::isSocket)) {
          findUnixSocket(alike.getKey()).filter(UnixDiag::isListening).ifPresent(socket -> found.put(alike.getKey(), socket));
        }
      }
      unixListeners = Optional.of(found);
    }
    return unixListeners.get();
  }

  /** Whether anything waits in any Unix socket of the container. */
  boolean hasMessages() {
    return descriptors.stream()
        .filter(SeenDescriptor::isSocket)
        .anyMatch(seen -> findUnixSocket(seen.status().inode()).filter(socket -> socket.receiveQueue() != 0).isPresent());
  }

  /** Takes up a file that no process has open: {@code ours} is our own descriptor, which the caller keeps open. */
  SeenDescriptor adopt(int ours) {
    int self = (int) ProcessHandle.current().pid();
    var table = tables.computeIfAbsent(self, DescriptorTable::open);
    var seen = look(new ProcessRef(self, 0), table, ours);
    byInode.computeIfAbsent(seen.status().inode(), inode -> new ArrayList<>(2)).add(seen);
    byLink.computeIfAbsent(seen.link(), link -> new ArrayList<>(2)).add(seen);
    unixListeners = Optional.empty();
    return seen;
  }

  /** Which TCP sockets are connected with which. */
  TcpEnds tcpEnds() {
    if (tcpEnds == null) {
      tcpEnds = TcpEnds.of(this);
    }
    return tcpEnds;
  }

  /** The number inside the container of a process, thread or group of this container; empty for any other. */
  OptionalInt nsId(int hostId) {
    var known = nsPids.get(hostId);
    return known != null ? OptionalInt.of(known) : nsId(hostId, false);
  }

  /** As {@link #nsId}, but also of a process that has ended and that its parent has not waited for. */
  OptionalInt nsIdOfMember(int hostId) {
    var known = nsPids.get(hostId);
    return known != null ? OptionalInt.of(known) : nsId(hostId, true);
  }

  private OptionalInt nsId(int hostId, boolean ended) {
    try {
      var status = TaskStatus.ofProcess(hostId);
      boolean inside = groups().contains((int) status.number("Tgid"));
      boolean zombie = ended && status.state() == 'Z' && groups().contains(status.parent());
      return inside || zombie ? OptionalInt.of(status.innermost("NSpid")) : OptionalInt.empty();
    } catch (NoSuchFileException gone) {
      return OptionalInt.empty();
    }
  }

  /** Ids of the processes, which need not be those under which they are looked at. */
  private Set<Integer> groups() {
    if (groups.isEmpty()) {
      for (var process : processes) {
        try {
          groups.add((int) TaskStatus.ofProcess(process.pid()).number("Tgid"));
        } catch (NoSuchFileException gone) {
          continue;
        }
      }
    }
    return groups;
  }

  /**
   * Finds out which descriptors share one open file. Only candidates that look alike are compared, each with one of every open file found so far, which are
   * kept in the kernel's own order: n descriptors of m open files cost n log m comparisons.
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
    // In the kernel's order of open files, each by its first holder; within one the order of processes and numbers stays.
    var groups = new ArrayList<List<SeenDescriptor>>();
    for (var seen : alike) {
      int place = Collections.binarySearch(groups, List.of(seen), KERNEL_ORDER);
      if (place >= 0) {
        groups.get(place).add(seen);
      } else {
        var group = new ArrayList<SeenDescriptor>(2);
        group.add(seen);
        groups.add(-place - 1, group);
      }
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
    if (tcpEnds != null) {
      tcpEnds.close();
    }
  }
}
