package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.AsUser;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.OwnFile;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Makes files, directories and FIFOs that are to have no name: under the one they had, so that {@code /proc/PID/fd} shows it as before, unless another
 * file has that name by now. Any one thread.
 */
final class UnnamedFile {
  private static final int PRIVATE_MODE = 0600;
  private static final int PRIVATE_DIRECTORY_MODE = 0700;

  private final String root;
  private final String name;
  private final FileIdentity identity;
  private final AsUser creator;
  private final Deque<String> made = new ArrayDeque<>();
  private boolean parentsToo;

  /**
   * @param root prefix of every path: the container's root
   * @param name absolute path that the file had
   * @param identity which it was on the source
   * @param creator who may make files there
   */
  UnnamedFile(String root, String name, FileIdentity identity, AsUser creator) {
    this.creator = creator;
    this.root = root;
    this.name = name;
    this.identity = identity;
  }

  /** Directories on the way were removed as well: they are made, and removed again. */
  UnnamedFile makeParents() {
    parentsToo = true;
    return this;
  }

  /** Opened for reading and writing. */
  int regular() {
    return make(
        path -> Fd.tryOpen(path, Fd.O_RDWR | Fd.O_CREAT | Fd.O_EXCL | Fd.O_NOFOLLOW | Fd.O_CLOEXEC, PRIVATE_MODE), OwnFile::unlink);
  }

  /** As {@code O_TMPFILE} makes it: it never had a name and may get one by {@code linkat(2)}. */
  int temporary() {
    return make(path -> Fd.tryOpen(path.substring(0, path.lastIndexOf('/')), Fd.O_TMPFILE | Fd.O_RDWR | Fd.O_CLOEXEC, PRIVATE_MODE), path -> {});
  }

  /** Opened both ways, so that nobody waits. */
  int fifo() {
    return make(
        path -> {
          int result = OwnFile.makeFifo(path, PRIVATE_MODE);
          return result < 0 ? result : Fd.tryOpen(path, Fd.O_RDWR | Fd.O_NOFOLLOW | Fd.O_CLOEXEC, 0);
        },
        OwnFile::unlink);
  }

  int directory() {
    return make(
        path -> {
          int result = OwnFile.makeDirectory(path, PRIVATE_DIRECTORY_MODE);
          return result < 0 ? result : Fd.tryOpen(path, Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOFOLLOW | Fd.O_CLOEXEC, 0);
        },
        OwnFile::removeDirectory);
  }

  private interface Maker {
    /** A descriptor or minus the error number. */
    int make(String path);
  }

  private interface Remover {
    void remove(String path);
  }

  private int make(Maker maker, Remover remover) {
    return creator.call(() -> makeAsCreator(maker, remover));
  }

  private int makeAsCreator(Maker maker, Remover remover) {
    String path = root + name;
    int fd = maker.make(path);
    if (fd == -Errno.ENOENT && parentsToo) {
      makeParent(path);
      fd = maker.make(path);
    }
    if (fd == -Errno.EEXIST) {
      path += ".gantry-" + Long.toHexString(identity.device()) + "-" + Long.toHexString(identity.inode());
      fd = maker.make(path);
    }
    try {
      if (fd < 0) {
        throw new CheckpointException(
            "making %s again, which the container has open and which has no name any more: %s; its directory must exist here and be writable"
                .formatted(name, Errno.describe(-fd)));
      }
      remover.remove(path);
      return fd;
    } finally {
      made.forEach(OwnFile::removeDirectory);
    }
  }

  private void makeParent(String path) {
    String parent = path.substring(0, path.lastIndexOf('/'));
    if (parent.length() > root.length() && FileStatus.of(parent).isEmpty()) {
      makeParent(parent);
      int result = OwnFile.makeDirectory(parent, PRIVATE_DIRECTORY_MODE);
      if (result == 0) {
        made.push(parent);
      }
    }
  }
}
