package io.gantry.checkpoint.shm;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.tmpfs_node;
import io.gantry.checkpoint.image.tmpfs_state;
import io.gantry.checkpoint.linux.AsUser;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileTimes;
import io.gantry.checkpoint.linux.OwnFile;
import io.gantry.checkpoint.user.UserNamespaces;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Fills the {@code /dev/shm} of a container that is being made. Files come to be, under names of our own, when memory first hears of them; they get
 * theirs when nothing changes any more, and mappings that exist by then show them by that ({@code /proc/PID/maps} asks the directory entry). It all
 * goes with the container's mounts. One thread at a time.
 */
public final class ShmArrival {
  private static final String HIDDEN = ".gantry-arrival-";
  private static final int PRIVATE_MODE = 0600;
  private static final int PRIVATE_DIRECTORY_MODE = 0700;
  private static final int PERMISSIONS = 07777;

  private final String directory;
  private final AsUser creator;
  /** By our descriptor. */
  private final Map<Integer, String> hidden = new HashMap<>();

  /** @param pid the container's first stub, as this process counts */
  public ShmArrival(int pid) {
    this.directory =
        ContainerShm.of(pid)
            .orElseThrow(
                () -> new CheckpointException(
                    "the container had files in a /dev/shm of its own, and what is being made has none; does this host have the directory /dev/shm?"))
            .directory();
    this.creator = UserNamespaces.root(pid);
  }

  /** Makes an empty file; our descriptor, open for reading and writing. @param number no other file's */
  public int create(int number) {
    String path = directory + "/" + HIDDEN + number;
    int flags = Fd.O_RDWR | Fd.O_CREAT | Fd.O_EXCL | Fd.O_NOFOLLOW | Fd.O_CLOEXEC;
    int fd = creator.call(() -> Fd.tryOpen(path, flags, PRIVATE_MODE));
    if (fd < 0) {
      throw new CheckpointException("making a file in the container's /dev/shm: " + Errno.describe(-fd));
    }
    hidden.put(fd, path);
    return fd;
  }

  /** Removes a file that the original has not any more, before its descriptor is closed. */
  public void remove(int fd) {
    OwnFile.unlink(hidden.remove(fd));
  }

  /**
   * Gives everything its name, owner, mode and times. Nothing is written afterwards.
   *
   * @param files our descriptor of each file, by {@code tmpfs_node.shmid}
   */
  public void place(tmpfs_state state, Map<Long, Integer> files) {
    creator.run(() -> placeAll(state, files));
  }

  private void placeAll(tmpfs_state state, Map<Long, Integer> files) {
    state.getNodeList().forEach(node -> node.getNameList().forEach(ShmArrival::check));
    var directories = new ArrayList<tmpfs_node>();
    var deleted = new ArrayList<tmpfs_node>();
    var others = new ArrayList<tmpfs_node>();
    for (var node : state.getNodeList()) {
      boolean isDirectory = (node.getMode() & FileStatus.S_IFMT) == FileStatus.S_IFDIR;
      (isDirectory ? directories : node.getDeleted() ? deleted : others).add(node);
    }
    for (var node : directories) {
      if (!node.getName(0).isEmpty()) {
        makeDirectory(path(node));
      }
    }
    // Their names may be others' by now.
    deleted.forEach(node -> placeDeleted(node, file(node, files)));
    others.forEach(node -> placeNamed(node, files));
    for (var node : directories.reversed()) {
      OwnFile.setOwner(path(node), node.getUid(), node.getGid());
      OwnFile.setMode(path(node), node.getMode() & PERMISSIONS);
      times(node).set(path(node));
    }
  }

  private static void check(String name) {
    if (!name.isEmpty() && Arrays.stream(name.split("/", -1)).anyMatch(part -> part.isEmpty() || part.equals(".") || part.equals(".."))) {
      throw new CheckpointException("the image is damaged: it names a file /dev/shm/" + name);
    }
  }

  private String path(tmpfs_node node) {
    return path(node.getName(0));
  }

  private String path(String name) {
    return name.isEmpty() ? directory : directory + "/" + name;
  }

  private static int file(tmpfs_node node, Map<Long, Integer> files) {
    var file = files.get(node.getShmid());
    if (file == null) {
      throw new CheckpointException("the content of /dev/shm/" + node.getName(0) + " did not come with the last round");
    }
    return file;
  }

  private static void makeDirectory(String path) {
    int result = OwnFile.makeDirectory(path, PRIVATE_DIRECTORY_MODE);
    if (result < 0) {
      throw new CheckpointException("making directory " + path + ": " + Errno.describe(-result));
    }
  }

  private void placeDeleted(tmpfs_node node, int fd) {
    var made = new ArrayDeque<String>();
    String path = path(node);
    for (int slash = path.indexOf('/', directory.length() + 1); slash > 0; slash = path.indexOf('/', slash + 1)) {
      String parent = path.substring(0, slash);
      if (FileStatus.ofLink(parent).isEmpty()) {
        makeDirectory(parent);
        made.push(parent);
      }
    }
    OwnFile.rename(hidden.remove(fd), path);
    shape(node, fd);
    OwnFile.unlink(path);
    made.forEach(OwnFile::removeDirectory);
  }

  private void placeNamed(tmpfs_node node, Map<Long, Integer> files) {
    String path = path(node);
    int type = node.getMode() & FileStatus.S_IFMT;
    if (type == FileStatus.S_IFREG) {
      int fd = file(node, files);
      OwnFile.rename(hidden.remove(fd), path);
      linkOthers(node);
      shape(node, fd);
      return;
    }
    if (type == FileStatus.S_IFLNK) {
      OwnFile.symbolicLink(node.getTarget(), path);
    } else {
      OwnFile.makeNode(path, type | PRIVATE_MODE, node.getRdev());
    }
    linkOthers(node);
    OwnFile.setOwner(path, node.getUid(), node.getGid());
    if (type != FileStatus.S_IFLNK) {
      OwnFile.setMode(path, node.getMode() & PERMISSIONS);
    }
    times(node).set(path);
  }

  private void linkOthers(tmpfs_node node) {
    for (int i = 1; i < node.getNameCount(); i++) {
      OwnFile.link(path(node), path(node.getName(i)));
    }
  }

  private static void shape(tmpfs_node node, int fd) {
    OwnFile.setOwner(fd, node.getUid(), node.getGid());
    OwnFile.setMode(fd, node.getMode() & PERMISSIONS);
    times(node).set(fd);
  }

  private static FileTimes times(tmpfs_node node) {
    return new FileTimes(node.getAccessedS(), node.getAccessedNs(), node.getModifiedS(), node.getModifiedNs());
  }
}
