package io.gantry.checkpoint.haul;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.image.haul_attributes;
import io.gantry.checkpoint.image.haul_make;
import io.gantry.checkpoint.image.haul_op;
import io.gantry.checkpoint.image.haul_time;
import io.gantry.checkpoint.image.haul_xattr;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileNode.Moment;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileTree;
import io.gantry.checkpoint.linux.KernelException;
import java.util.Arrays;
import java.util.Optional;
import java.util.TreeMap;

/**
 * Sends single files of a tree, as far as the other side does not have them: that they are, their content, and everything else
 * but their names. One thread.
 */
final class FileSender implements AutoCloseable {
  /** A time stamp may be as coarse as a tick of the kernel's clock, 10 ms at most. */
  private static final long FRESH_MS = 20;

  private final TreeIndex index;
  private final HaulWriter out;
  private final ContentSender contents = new ContentSender();
  private volatile long filesMade;

  FileSender(TreeIndex index, HaulWriter out) {
    this.index = index;
    this.out = out;
  }

  /**
   * Sends what differs.
   *
   * @param fd opened with {@code O_PATH}
   * @param node what it is like
   * @param touched whether its content may have changed whatever its times say
   */
  void send(Inode inode, int fd, FileNode node, boolean touched) {
    boolean made = inode.madeIn != Inode.NEVER;
    boolean settled = made && !touched && inode.changed.isEmpty() && inode.sentIn != Inode.NEVER && isSettled(inode, node);
    inode.changed = Optional.of(node.changed());
    inode.fresh = System.currentTimeMillis() - (node.changed().seconds() * 1000 + node.changed().nanoseconds() / 1_000_000) < FRESH_MS;
    if (settled) {
      return;
    }
    boolean pending = inode.sentIn == Inode.NEVER;
    inode.sentIn = Inode.NEVER;
    if (!made) {
      make(inode, fd, node);
    }
    boolean sent = false;
    if (inode.isRegular()) {
      int readable = FileTree.open("/proc/self/fd/" + fd, Fd.O_RDONLY | Fd.O_NOATIME, 0);
      if (readable < 0) {
        throw new KernelException("open(a file that travels)", -readable);
      }
      try {
        sent = contents.send(inode, readable, node.size(), pending || !made, out);
      } finally {
        Fd.close(readable);
      }
    }
    attributes(inode, fd, node, !made || sent || pending);
  }

  /** Unchanged since it came from where it goes to. */
  private boolean isSettled(Inode inode, FileNode node) {
    return index.settled.filter(since -> node.changed().compareTo(since) < 0).isPresent()
        && node.mode() == inode.mode
        && node.uid() == inode.uid
        && node.gid() == inode.gid
        && node.modified().equals(inode.modified)
        && (!inode.isRegular() || node.size() == inode.size);
  }

  /** Says that there is a new file, which has no name yet. */
  void make(Inode inode, int fd, FileNode node) {
    var make = haul_make.newBuilder().setMode(node.mode()).setRdev(node.rawDevice());
    if (inode.type == FileStatus.S_IFLNK) {
      make.setTarget(ByteString.copyFrom(FileTree.linkTarget(fd), FileTree.BYTES));
    }
    inode.size = 0;
    inode.blocks(0);
    inode.madeIn = out.sequence();
    inode.sentIn = Inode.NEVER;
    filesMade++;
    out.op(haul_op.newBuilder().setId(inode.id).setMake(make), 0);
  }

  /** Sends owner, mode, times and attributes when they differ. @param always even when they do not */
  void attributes(Inode inode, int fd, FileNode node, boolean always) {
    var now = FileTree.attributes(fd);
    if (always
        || node.mode() != inode.mode
        || node.uid() != inode.uid
        || node.gid() != inode.gid
        || !node.modified().equals(inode.modified)
        || !same(now, inode.attributes)) {
      inode.mode = node.mode();
      inode.uid = node.uid();
      inode.gid = node.gid();
      inode.modified = node.modified();
      inode.attributes = now;
      var entry =
          haul_attributes.newBuilder().setMode(node.mode()).setUid(node.uid()).setGid(node.gid()).setAccessed(time(node.accessed()))
              .setModified(time(node.modified()));
      now.forEach(
          (name, value) ->
              entry.addXattrs(
                  haul_xattr.newBuilder().setName(ByteString.copyFrom(name, FileTree.BYTES)).setValue(ByteString.copyFrom(value))));
      out.op(haul_op.newBuilder().setId(inode.id).setAttributes(entry), now.values().stream().mapToInt(value -> value.length).sum());
    }
    inode.sentIn = out.sequence();
  }

  private static haul_time time(Moment moment) {
    return haul_time.newBuilder().setSeconds(moment.seconds()).setNanoseconds(moment.nanoseconds()).build();
  }

  private static boolean same(TreeMap<String, byte[]> some, TreeMap<String, byte[]> others) {
    return some.keySet().equals(others.keySet())
        && some.entrySet().stream().allMatch(entry -> Arrays.equals(entry.getValue(), others.get(entry.getKey())));
  }

  /** How many were made on the other side so far. Any thread. */
  long made() {
    return filesMade;
  }

  @Override
  public void close() {
    contents.close();
  }
}
