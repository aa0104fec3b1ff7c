package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.shared_memory;
import io.gantry.checkpoint.image.tmpfs_state;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileSystemType;
import io.gantry.checkpoint.linux.SystemV.Segment;
import io.gantry.checkpoint.procfs.Link;
import io.gantry.checkpoint.shm.ContainerShm;
import io.gantry.checkpoint.shm.ShmTree;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.function.IntSupplier;

/**
 * The shared-memory objects of a container: those that some process has mapped, memfds that are only open, and the files of its own {@code
 * /dev/shm}. One that nobody has any more is forgotten. One thread.
 */
final class SharedObjects implements AutoCloseable {
  private static final int CHUNK_BYTES = 1 << 20;

  /** Below {@code /proc/PID}: leads to a file of {@code /dev/shm} that may have no name. */
  private record Unnamed(int pid, String link) {}

  private final IntSupplier newSpace;
  private final ContainerIpc ipc;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment chunk = arena.allocate(CHUNK_BYTES, 4096);
  private final Map<Long, SharedPages> objects = new LinkedHashMap<>();
  /** Whether the file system of memory files is one of huge pages. */
  private final Map<Long, Boolean> hugeDevices = new HashMap<>();
  /** Looked for once: nobody in a container that may be carried has mounted anything since. */
  private Optional<Optional<ContainerShm>> shm = Optional.empty();
  private Optional<ShmTree> tree = Optional.empty();

  SharedObjects(IntSupplier newSpace, ContainerIpc ipc) {
    this.newSpace = newSpace;
    this.ipc = ipc;
  }

  /**
   * Looks what there is now. All of them live in the kernel's own instance of tmpfs, so the inode number names one; that of a segment is its
   * id, which others may have as well.
   *
   * @param trackers of all processes, the container's first one first
   * @param open descriptors of a process that may be of such memory
   */
  void discover(List<SpaceTracker> trackers, IntFunction<List<OpenMemory>> open) {
    Set<Long> seen = new HashSet<>();
    var unnamed = new ArrayList<Unnamed>();
    for (var tracker : trackers) {
      for (var vma : tracker.layout().vmas()) {
        if (vma.is(VmaStatus.OWN_TMPFS)) {
          unnamed.add(new Unnamed(tracker.pid(), mapped(vma)));
        } else if (vma.fromSharedObject() && !vma.is(VmaStatus.SYSV_IPC)) {
          find(tracker.pid(), mapped(vma), vma.object(), seen);
        }
      }
      for (var descriptor : open.apply(tracker.pid())) {
        String link = "fd/" + descriptor.number();
        var target = descriptor.target();
        if (target.startsWith(AddressSpaceReader.MEMFD)) {
          memoryFile(tracker.pid(), link).ifPresent(object -> find(tracker.pid(), link, object, seen));
        } else if (ContainerShm.mayHold(target) && target.endsWith(AddressSpaceReader.DELETED)) {
          unnamed.add(new Unnamed(tracker.pid(), link));
        }
      }
    }
    if (!trackers.isEmpty()) {
      ipc.segments(trackers.getFirst().pid()).forEach(segment -> find(segment, trackers, seen));
      files(trackers.getFirst().pid(), unnamed, seen);
    }
    objects.entrySet().removeIf(
        entry -> {
          boolean gone = !seen.contains(entry.getKey());
          if (gone) {
            entry.getValue().close();
          }
          return gone;
        });
  }

  /** Number of the object that an open memfd is. */
  private Optional<Long> memoryFile(int pid, String link) {
    String path = "/proc/" + pid + "/" + link;
    return FileStatus.of(path).map(status -> status.inode() | (isHuge(status, path) ? Vma.HUGE : 0));
  }

  private boolean isHuge(FileStatus status, String path) {
    if (status.blockBytes() <= Mmap.PAGE) {
      return false;
    }
    var known = hugeDevices.get(status.device());
    if (known != null) {
      return known;
    }
    int fd = Fd.tryOpen(path, Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    if (fd < 0) {
      return false;
    }
    try {
      boolean huge = FileSystemType.of(fd) == FileSystemType.HUGETLBFS;
      hugeDevices.put(FileStatus.of(fd).device(), huge);
      return huge;
    } finally {
      Fd.close(fd);
    }
  }

  private static String mapped(Vma vma) {
    return "map_files/" + Long.toHexString(vma.start()) + "-" + Long.toHexString(vma.end());
  }

  /** Files of the container's own {@code /dev/shm}: what has a name, and what is mapped or open without one. */
  private void files(int pid, List<Unnamed> unnamed, Set<Long> seen) {
    if (shm.isEmpty()) {
      shm = Optional.of(ContainerShm.of(pid));
    }
    shm.get().ifPresent(place -> {
      var look = ShmTree.look(place);
      look.files().forEach((inode, path) -> file(path, inode, place, seen));
      unnamed.forEach(each -> file(each, place, look, seen));
      tree = Optional.of(look);
    });
  }

  /** Nothing when it has a name after all: then it was found by that. */
  private void file(Unnamed unnamed, ContainerShm place, ShmTree look, Set<Long> seen) {
    String path = "/proc/" + unnamed.pid + "/" + unnamed.link;
    FileStatus.of(path)
        .filter(status -> status.device() == place.device() && status.links() == 0 && !seen.contains(status.inode() | ShmTree.FILE))
        .flatMap(status -> file(path, status.inode(), place, seen))
        .ifPresent(pages -> Link.read(unnamed.pid, unnamed.link).ifPresent(name -> look.addDeleted(pages.descriptor(), withoutRemark(name))));
  }

  private static String withoutRemark(String name) {
    return name.endsWith(AddressSpaceReader.DELETED) ? name.substring(0, name.length() - AddressSpaceReader.DELETED.length()) : name;
  }

  private Optional<SharedPages> file(String path, long inode, ContainerShm place, Set<Long> seen) {
    long object = inode | ShmTree.FILE;
    if (!objects.containsKey(object)) {
      var status = FileStatus.of(path);
      if (status.filter(now -> now.type() == FileStatus.S_IFREG && now.device() == place.device()).isEmpty()) {
        return Optional.empty();
      }
      // A container that runs may put anything else there meanwhile, so that is asked again.
      int fd = Fd.tryOpen(path, Fd.O_RDONLY | Fd.O_NONBLOCK | Fd.O_NOATIME | Fd.O_CLOEXEC, 0);
      if (fd < 0) {
        return Optional.empty();
      }
      var opened = FileStatus.of(fd);
      if (opened.inode() != inode || opened.device() != place.device() || opened.type() != FileStatus.S_IFREG) {
        Fd.close(fd);
        return Optional.empty();
      }
      objects.put(object, new SharedPages(newSpace.getAsInt(), object, fd, Optional.empty(), chunk));
    }
    seen.add(object);
    return Optional.of(objects.get(object));
  }

  /** What the container's own {@code /dev/shm} was like at the last look; empty when like that of a new container. */
  Optional<tmpfs_state> tmpfs() {
    return tree.filter(look -> !look.isAsBorn()).map(ShmTree::toEntry);
  }

  private void find(Segment segment, List<SpaceTracker> trackers, Set<Long> seen) {
    long object = segment.description().id() | Vma.SEGMENT;
    var description = ContainerIpc.entry(segment.description());
    seen.add(object);
    var known = objects.get(object);
    if (known != null) {
      known.describe(description);
      return;
    }
    // What a process has mapped can be opened there; else it has to be attached for a moment, which leaves traces in it.
    int fd = openMapped(segment, trackers);
    if (fd < 0) {
      fd = ipc.openDetached(segment).orElse(-1);
    }
    if (fd < 0) {
      seen.remove(object);
    } else {
      var pages = new SharedPages(newSpace.getAsInt(), object, fd, Optional.empty(), chunk);
      pages.describe(description);
      objects.put(object, pages);
    }
  }

  private static int openMapped(Segment segment, List<SpaceTracker> trackers) {
    long object = segment.description().id() | Vma.SEGMENT;
    if (segment.attached() > 0) {
      for (var tracker : trackers) {
        for (var vma : tracker.layout().vmas()) {
          if (vma.object() == object && vma.is(VmaStatus.SYSV_IPC)) {
            int fd = Fd.tryOpen("/proc/" + tracker.pid() + "/" + mapped(vma), Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
            if (fd >= 0 && FileStatus.of(fd).inode() == segment.description().id()) {
              return fd;
            }
            if (fd >= 0) {
              Fd.close(fd);
            }
          }
        }
      }
    }
    return -1;
  }

  private void find(int pid, String link, long inode, Set<Long> seen) {
    if (!seen.add(inode) || objects.containsKey(inode)) {
      return;
    }
    int fd = Fd.tryOpen("/proc/" + pid + "/" + link, Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    if (fd < 0) {
      // Unmapped or closed since the layout was read.
      seen.remove(inode);
      return;
    }
    if (FileStatus.of(fd).inode() != (inode & ~Vma.HUGE)) {
      // Something else has taken its place since.
      Fd.close(fd);
      seen.remove(inode);
      return;
    }
    Optional<String> name =
        Link.read(pid, link)
            .filter(target -> target.startsWith(AddressSpaceReader.MEMFD))
            .map(target -> withoutRemark(target).substring(AddressSpaceReader.MEMFD.length()));
    objects.put(inode, new SharedPages(newSpace.getAsInt(), inode, fd, name, chunk));
  }

  /** Whether it was there at the last look. */
  boolean has(long inode) {
    return objects.containsKey(inode);
  }

  List<shared_memory> entries() {
    return objects.values().stream().map(SharedPages::toEntry).toList();
  }

  void send(PageBatch batch) {
    for (var object : objects.values()) {
      object.send(batch);
    }
  }

  void digest(PageDigest digest) {
    objects.values().forEach(object -> object.digest(digest));
  }

  @Override
  public void close() {
    objects.values().forEach(SharedPages::close);
    objects.clear();
    arena.close();
  }
}
