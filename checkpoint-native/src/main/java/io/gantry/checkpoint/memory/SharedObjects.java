package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.shared_memory;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.procfs.Link;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntSupplier;

/**
 * The shared-memory objects of a container: those that some process has mapped, and memfds that are only open. One that nobody has any
 * more is forgotten. One thread.
 */
final class SharedObjects implements AutoCloseable {
  private static final int CHUNK_BYTES = 1 << 20;

  private final IntSupplier newSpace;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment chunk = arena.allocate(CHUNK_BYTES, 4096);
  private final Map<Long, SharedPages> objects = new LinkedHashMap<>();

  SharedObjects(IntSupplier newSpace) {
    this.newSpace = newSpace;
  }

  /** Looks what there is now. All of them live in the kernel's own instance of tmpfs, so the inode number names one. */
  void discover(List<SpaceTracker> trackers) {
    Set<Long> seen = new HashSet<>();
    for (var tracker : trackers) {
      for (var vma : tracker.layout().vmas()) {
        if (vma.fromSharedObject()) {
          String link = "map_files/" + Long.toHexString(vma.start()) + "-" + Long.toHexString(vma.end());
          find(tracker.pid(), link, vma.object(), seen);
        }
      }
      for (int descriptor : Link.descriptors(tracker.pid())) {
        String link = "fd/" + descriptor;
        if (Link.read(tracker.pid(), link).filter(target -> target.startsWith(AddressSpaceReader.MEMFD)).isPresent()) {
          Link.inode(tracker.pid(), link).ifPresent(inode -> find(tracker.pid(), link, inode, seen));
        }
      }
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
    if (FileStatus.of(fd).inode() != inode) {
      // Something else has taken its place since.
      Fd.close(fd);
      seen.remove(inode);
      return;
    }
    Optional<String> name =
        Link.read(pid, link)
            .filter(target -> target.startsWith(AddressSpaceReader.MEMFD))
            .map(target -> target.substring(AddressSpaceReader.MEMFD.length(), target.length() - AddressSpaceReader.DELETED.length()));
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
