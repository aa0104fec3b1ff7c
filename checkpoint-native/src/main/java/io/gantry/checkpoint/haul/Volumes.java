package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.VolumeFacts;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileNode.Moment;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileSystemRoom;
import io.gantry.checkpoint.linux.FileTree;
import io.gantry.checkpoint.linux.OwnFile;
import io.gantry.checkpoint.procfs.ProcText;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Directories whose files belong to a container: which may be, what they are like here, and whether this host has the same. Any thread. */
public final class Volumes {
  /** Counting what a tree takes ends after so long; it is then at least what was counted. */
  private static final long COUNT_NS_MAX = 3_000_000_000L;

  private static final List<Path> KERNELS = List.of(Path.of("/proc"), Path.of("/sys"), Path.of("/dev"));

  /**
   * File systems that one host has to itself, {@code linux/magic.h}: ext2 to ext4, XFS, Btrfs, tmpfs, overlay, F2FS, ramfs. Any other may be shared with
   * another host.
   */
  private static final Set<Long> LOCAL =
      Set.of(0xef53L, 0x5846_5342L, 0x9123_683eL, 0x0102_1994L, 0x794c_7630L, 0xf2f5_2010L, 0x8584_58f6L);

  /** Kept free beside what a tree brings. */
  private static final long MARGIN_BYTES = 16L << 20;

  private static final int PERMISSIONS = 07777;

  private Volumes() {}

  /**
   * What speaks against these as volumes of a container here.
   *
   * @return a sentence, or nothing
   */
  public static Optional<String> obstacle(List<Path> volumes) {
    return volumes.stream().flatMap(volume -> obstacle(volumes, volume).stream()).findFirst();
  }

  /** What speaks against one of these as a volume here. */
  public static Optional<String> obstacle(List<Path> volumes, Path volume) {
    if (!volume.isAbsolute() || !volume.normalize().equals(volume) || volume.getNameCount() == 0) {
      return Optional.of("a volume is the absolute path of a directory, and " + volume + " is none");
    }
    if (KERNELS.stream().anyMatch(volume::startsWith)) {
      return Optional.of(volume + " is the kernel's and cannot be a volume");
    }
    if (volume.toString().contains("\n")) {
      return Optional.of("the path of a volume must not have a line break");
    }
    if (!Files.isDirectory(volume)) {
      return Optional.of("the volume " + volume + " is no directory of this host");
    }
    try {
      if (!volume.toRealPath().equals(volume)) {
        return Optional.of("the volume " + volume + " is reached through a symbolic link; name it " + volume.toRealPath());
      }
    } catch (IOException e) {
      return Optional.of("the volume " + volume + " cannot be reached: " + e.getMessage());
    }
    var within =
        Stage.mountPoints().stream().map(Path::of).filter(point -> point.startsWith(volume) && !point.equals(volume)).findFirst();
    if (within.isPresent()) {
      return Optional.of(
          "another file system is mounted at %s, inside the volume %s; unmount it, or choose other volumes"
              .formatted(within.get(), volume));
    }
    var other = volumes.stream().filter(another -> another != volume && another.startsWith(volume)).findFirst();
    if (other.isPresent()) {
      return Optional.of("the volume " + other.get() + " lies in the volume " + volume);
    }
    return Optional.empty();
  }

  /** What a volume is like here, for the destination to look at. Where others may share it, the change time of its root is made new. */
  public static VolumeFacts facts(Path volume) {
    int fd = Fd.open(volume.toString(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOATIME | Fd.O_CLOEXEC, 0);
    try {
      var room = FileSystemRoom.of(fd);
      // On one that is read-only nobody can, and its times are as good as they are.
      if (!LOCAL.contains(room.type()) && !room.readOnly()) {
        OwnFile.setMode(fd, FileNode.of(fd).mode() & PERMISSIONS);
      }
      var node = FileNode.of(fd);
      long[] counted = Stage.of(volume, "").mounted() ? new long[] {room.usedBytes(), room.usedInodes()} : count(fd, node.device());
      return new VolumeFacts(
          volume.toString(),
          counted[0],
          counted[1],
          boot(),
          node.device(),
          node.inode(),
          room.type(),
          room.id(),
          node.changed().seconds(),
          node.changed().nanoseconds());
    } finally {
      Fd.close(fd);
    }
  }

  private static String boot() {
    try {
      return ProcText.read("/proc/sys/kernel/random/boot_id").strip();
    } catch (IOException e) {
      throw new CheckpointException("reading which kernel this is: " + e.getMessage(), e);
    }
  }

  /** Whether other hosts may have the same tree on the same file system. */
  public static boolean mayBeShared(VolumeFacts facts) {
    return !LOCAL.contains(facts.fileSystemType());
  }

  /** Bytes and files of a tree. */
  private static long[] count(int root, long device) {
    var counted = new long[2];
    count(root, "", new HashSet<>(), System.nanoTime() + COUNT_NS_MAX, counted);
    return counted;
  }

  private static void count(int at, String name, Set<Long> linked, long end, long[] counted) {
    int fd = FileTree.open(at, name, Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOFOLLOW | Fd.O_NOATIME);
    if (fd < 0) {
      return;
    }
    try {
      var names = FileTree.names(fd);
      for (var each : names) {
        int file = System.nanoTime() < end ? FileTree.open(fd, each, Fd.O_PATH | Fd.O_NOFOLLOW) : -1;
        if (file >= 0) {
          FileNode node;
          try {
            node = FileNode.of(file);
          } finally {
            Fd.close(file);
          }
          if (node.links() == 1 || node.type() == FileStatus.S_IFDIR || linked.add(node.inode())) {
            counted[0] += node.roomBytes();
            counted[1]++;
          }
          if (node.type() == FileStatus.S_IFDIR) {
            count(fd, each, linked, end, counted);
          }
        }
      }
    } finally {
      Fd.close(fd);
    }
  }

  private enum Sameness {
    SAME,
    OTHER,
    UNCLEAR
  }

  /**
   * Those of a container's trees that this host does not share with the one they are on, and so have to travel.
   *
   * @param digests of those here of which nothing changes
   */
  public static List<VolumeFacts> toHaul(List<VolumeFacts> volumes, StoragePolicy policy, Digests digests) {
    return volumes.stream()
        .filter(facts -> !policy.declares(Path.of(facts.path())) && sameness(facts) == Sameness.OTHER && !isHere(facts, digests))
        .toList();
  }

  /** What tells a tree of this host from others, when nothing of it changes. */
  public interface Digests {
    /**
     * @param facts the one like which it should be
     * @throws CheckpointException when it cannot be read
     */
    String here(VolumeFacts facts);
  }

  private static boolean isHere(VolumeFacts facts, Digests digests) {
    try {
      return facts.neverChanges()
          && !facts.digest().equals(VolumeFacts.UNREAD)
          && Files.isDirectory(Path.of(facts.path()))
          && digests.here(facts).equals(facts.digest());
    } catch (CheckpointException unreadable) {
      // Which preflight says, and refuses.
      return false;
    }
  }

  private static Sameness sameness(VolumeFacts facts) {
    int fd = Fd.tryOpen(facts.path(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOATIME | Fd.O_CLOEXEC, 0);
    if (fd < 0) {
      return Sameness.OTHER;
    }
    try {
      var node = FileNode.of(fd);
      if (facts.boot().equals(boot())) {
        return node.device() == facts.device() && node.inode() == facts.inode() ? Sameness.SAME : Sameness.OTHER;
      }
      var room = FileSystemRoom.of(fd);
      if (LOCAL.contains(facts.fileSystemType())
          || room.type() != facts.fileSystemType()
          || room.id() != facts.fileSystemId()
          || node.inode() != facts.inode()) {
        return Sameness.OTHER;
      }
      return node.changed().equals(new Moment(facts.changedS(), facts.changedNs())) ? Sameness.SAME : Sameness.UNCLEAR;
    } finally {
      Fd.close(fd);
    }
  }

  /**
   * Everything that speaks against taking in a container with these trees, one sentence each.
   *
   * @param digests as for {@link #toHaul}
   */
  public static List<String> preflight(String container, List<VolumeFacts> volumes, StoragePolicy policy, Digests digests) {
    var sentences = new ArrayList<String>();
    for (var facts : volumes) {
      try {
        preflight(container, facts, policy, digests).ifPresent(sentences::add);
      } catch (CheckpointException e) {
        sentences.add("the %s %s cannot be looked at here: %s".formatted(facts.kind(), facts.path(), e.getMessage()));
      }
    }
    return sentences;
  }

  private static Optional<String> preflight(String container, VolumeFacts facts, StoragePolicy policy, Digests digests) {
    var volume = Path.of(facts.path());
    if (policy.declares(volume)) {
      return Files.isDirectory(volume) ? Optional.empty()
          : Optional.of(
              "the %s %s is declared as shared on this host (gantry.storage.shared), and is not there; mount it"
                  .formatted(facts.kind(), volume));
    }
    var sameness = sameness(facts);
    if (sameness == Sameness.UNCLEAR) {
      return Optional.of(
          ("whether the %s %s of this host is the source's cannot be told, because it is being changed; if it is, declare it in"
                  + " gantry.storage.shared")
              .formatted(facts.kind(), volume));
    }
    if (sameness == Sameness.SAME) {
      return Optional.empty();
    }
    // What is missing is not read.
    if (facts.neverChanges() && !Stage.of(volume, container).isFree()) {
      if (facts.digest().equals(VolumeFacts.UNREAD)) {
        return Optional.of(
            ("whether the %s %s of this host is the source's is not known before the source has read its own; try again, or"
                    + " declare it as shared in gantry.storage.shared")
                .formatted(facts.kind(), volume));
      }
      if (digests.here(facts).equals(facts.digest())) {
        return Optional.empty();
      }
    }
    if (!facts.obstacle().isEmpty()) {
      return Optional.of(
          "this host does not share the %s %s with the source, and it cannot travel: %s"
              .formatted(facts.kind(), volume, facts.obstacle()));
    }
    return obstacleToHaul(container, facts, volume);
  }

  private static Optional<String> obstacleToHaul(String container, VolumeFacts facts, Path volume) {
    if (!Files.isDirectory(volume.getParent())) {
      return Optional.of(
          "the %s %s cannot come here, because %s is no directory of this host; make it"
              .formatted(facts.kind(), volume, volume.getParent()));
    }
    var stage = Stage.of(volume, container);
    if (!stage.isFree()) {
      return Optional.of(
          ("the %s %s of the container is not the one that this host has there; empty or remove it, or declare it as shared in"
                  + " gantry.storage.shared")
              .formatted(facts.kind(), volume));
    }
    int fd = Fd.open((stage.mounted() ? volume : volume.getParent()).toString(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC, 0);
    try {
      var room = FileSystemRoom.of(fd);
      if (room.readOnly()) {
        return Optional.of("the %s %s cannot come here, because its file system is read-only".formatted(facts.kind(), volume));
      }
      // What an earlier haul has left need not come again.
      var there = new long[2];
      var home = (stage.mounted() ? volume : volume.getParent()).relativize(stage.home()).toString();
      count(fd, home, new HashSet<>(), System.nanoTime() + COUNT_NS_MAX, there);
      if (facts.bytes() + MARGIN_BYTES > room.freeBytes() + there[0]) {
        return Optional.of(
            "the %s %s takes %d MiB, and its file system has %d MiB free on this host"
                .formatted(facts.kind(), volume, (facts.bytes() + MARGIN_BYTES) >> 20, (room.freeBytes() + there[0]) >> 20));
      }
      if (room.freeInodes() != Long.MAX_VALUE && facts.inodes() > room.freeInodes() + there[1]) {
        return Optional.of(
            "the %s %s has %d files, and its file system has room for %d on this host"
                .formatted(facts.kind(), volume, facts.inodes(), room.freeInodes() + there[1]));
      }
      return Optional.empty();
    } finally {
      Fd.close(fd);
    }
  }
}
