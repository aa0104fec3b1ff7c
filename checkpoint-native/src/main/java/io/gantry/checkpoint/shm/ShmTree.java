package io.gantry.checkpoint.shm;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.tmpfs_node;
import io.gantry.checkpoint.image.tmpfs_state;
import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.OwnFile;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Everything in a container's {@code /dev/shm} at one look. What vanishes meanwhile is left out, so it can be taken of a running container. Looking
 * changes no times. One thread.
 */
public final class ShmTree {
  /** Set in the inode number of a file to tell it from all other shared memory. */
  public static final long FILE = 1L << 61;

  private static final int BORN_MODE = FileStatus.S_IFDIR | 01777;
  /** What stands for a byte that is no UTF-8. */
  private static final char UNREADABLE = '\ufffd';

  private final ContainerShm place;
  /** By inode number, as {@code deleted}. */
  private final Map<Long, tmpfs_node.Builder> nodes = new LinkedHashMap<>();

  private final Map<Long, tmpfs_node.Builder> deleted = new LinkedHashMap<>();
  private final List<String> obstacles = new ArrayList<>();

  private ShmTree(ContainerShm place) {
    this.place = place;
  }

  /** Walks through all directories. */
  public static ShmTree look(ContainerShm place) {
    var tree = new ShmTree(place);
    FileStatus.of(place.directory()).ifPresent(root -> tree.add("", root));
    if (!place.isEmpty()) {
      tree.walk("");
    }
    return tree;
  }

  private void walk(String directory) {
    for (var name : Directory.names(place.directory() + "/" + directory)) {
      String path = directory.isEmpty() ? name : directory + "/" + name;
      if (name.indexOf(UNREADABLE) >= 0) {
        obstacles.add(ContainerShm.PATH + "/" + path + " has a name that is no UTF-8 and cannot be carried; rename it");
      }
      FileStatus.ofLink(place.directory() + "/" + path)
          .filter(status -> status.device() == place.device())
          .ifPresent(
              status -> {
                add(path, status);
                if (status.type() == FileStatus.S_IFDIR) {
                  walk(path);
                }
              });
    }
  }

  private void add(String name, FileStatus status) {
    var known = nodes.get(status.inode());
    if (known != null) {
      known.addName(name);
      return;
    }
    var node = node(name, status);
    if (status.type() == FileStatus.S_IFLNK) {
      var target = OwnFile.readLink(place.directory() + "/" + name);
      if (target.isEmpty()) {
        return;
      }
      if (target.get().indexOf(UNREADABLE) >= 0) {
        obstacles.add(ContainerShm.PATH + "/" + name + " is a symbolic link to a name that is no UTF-8 and cannot be carried; remove it");
      }
      node.setTarget(target.get());
    }
    nodes.put(status.inode(), node);
  }

  private static tmpfs_node.Builder node(String name, FileStatus status) {
    var times = status.times();
    var node =
        tmpfs_node.newBuilder()
            .addName(name)
            .setMode(status.mode())
            .setUid(status.uid())
            .setGid(status.gid())
            .setAccessedS(times.accessedS())
            .setAccessedNs(times.accessedNs())
            .setModifiedS(times.modifiedS())
            .setModifiedNs(times.modifiedNs());
    if (status.type() == FileStatus.S_IFREG) {
      node.setShmid(status.inode() | FILE).setDev(status.device()).setIno(status.inode());
    } else if (status.rawDevice() != 0) {
      node.setRdev(status.rawDevice());
    }
    return node;
  }

  /** Regular files with a name: path through which this process reaches each, by inode number. */
  public Map<Long, String> files() {
    var files = new LinkedHashMap<Long, String>();
    nodes.forEach(
        (inode, node) -> {
          if (node.hasShmid()) {
            files.put(inode, place.directory() + "/" + node.getName(0));
          }
        });
    return files;
  }

  /**
   * Adds a file that has no name any more; one that has is known.
   *
   * @param fd ours, open on it
   * @param name what {@code /proc} shows, without the remark that it was deleted
   */
  public void addDeleted(int fd, String name) {
    var status = FileStatus.of(fd);
    if (status.links() == 0 && ContainerShm.mayHold(name)) {
      String below = name.substring(ContainerShm.PATH.length() + 1);
      deleted.put(status.inode(), node(below, status).setDeleted(true));
    }
  }

  /** Whether nothing distinguishes it from that of a new container. */
  public boolean isAsBorn() {
    if (nodes.size() != 1 || !deleted.isEmpty()) {
      return false;
    }
    var root = nodes.values().iterator().next();
    return root.getMode() == BORN_MODE && root.getUid() == 0 && root.getGid() == 0;
  }

  /** What cannot be carried, a sentence each. */
  public List<String> obstacles() {
    return List.copyOf(obstacles);
  }

  /** Files, directories, links and so on that have a name, without {@code /dev/shm} itself. */
  public int size() {
    return Math.max(0, nodes.size() - 1);
  }

  /**
   * For the destination.
   *
   * @throws CheckpointException when something in it cannot be carried
   */
  public tmpfs_state toEntry() {
    if (!obstacles.isEmpty()) {
      throw new CheckpointException(obstacles.getFirst());
    }
    var state = tmpfs_state.newBuilder();
    nodes.values().forEach(state::addNode);
    deleted.values().forEach(state::addNode);
    return state.build();
  }
}
