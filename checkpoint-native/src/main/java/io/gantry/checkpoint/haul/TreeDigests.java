package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileNode.Moment;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileTree;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Digests of trees of which nothing changes, so that two hosts find out that they have the same. What counts is what a program
 * finds there: names, types, content, owners, modes, extended attributes, where links lead and which devices are meant; not
 * times, not which names are one file. Each file is read once and again only when its status change time says that something of
 * it was changed. Any thread.
 */
public final class TreeDigests {
  /** Less than preflight may take. What was read in that time is remembered, so that a second try gets further. */
  private static final Duration READ_MAX = Duration.ofSeconds(5);

  /** Files of which the digest is remembered; some 150 bytes each. */
  private static final int FILES_MAX = 1 << 19;

  /** A later change may have the same time when that is as young as this; kernels' clocks tick every 10 ms at most. */
  private static final long FRESH_MS = 20;

  private static final int PIECE_BYTES = 1 << 20;

  /** Which content it is: any change of it makes the status change time another. */
  private record Content(long device, Inode.Key file, long size, Moment changed) {}

  private final Map<Content, byte[]> contents = new ConcurrentHashMap<>();
  private final AtomicLong bytesRead = new AtomicLong();
  private final Duration readMax;

  /** Nothing is remembered yet. */
  public TreeDigests() {
    this(READ_MAX);
  }

  /** @param readMax for reading what is not remembered */
  TreeDigests(Duration readMax) {
    this.readMax = readMax;
  }

  /**
   * That of a tree as it is now.
   *
   * @param tree absolute path of its root
   * @param uncounted paths below it, without a slash in front, that are left out with everything below them
   * @return SHA-256, lower-case hexadecimal
   * @throws CheckpointException when it cannot be read, or not in the time that a move has for it
   */
  public String of(Path tree, Set<String> uncounted) {
    int fd = Fd.tryOpen(tree.toString(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOATIME | Fd.O_CLOEXEC, 0);
    if (fd < 0) {
      throw new CheckpointException("opening " + tree + " to compare it with that of another host: " + Errno.describe(-fd));
    }
    try (var arena = Arena.ofConfined()) {
      var walk = new Walk(tree, uncounted, arena.allocate(PIECE_BYTES));
      walk.attributes(fd, FileNode.of(fd));
      walk.directory(fd, "");
      return HexFormat.of().formatHex(walk.digest.digest());
    } finally {
      Fd.close(fd);
    }
  }

  /** Of files, in all. */
  long bytesRead() {
    return bytesRead.get();
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }

  private final class Walk {
    private final Path tree;
    private final Set<String> uncounted;
    private final MemorySegment memory;
    private final byte[] piece = new byte[PIECE_BYTES];
    private final long end = System.nanoTime() + readMax.toNanos();
    private final MessageDigest digest = sha256();

    Walk(Path tree, Set<String> uncounted, MemorySegment memory) {
      this.tree = tree;
      this.uncounted = uncounted;
      this.memory = memory;
    }

    private void directory(int fd, String path) {
      var names = FileTree.names(fd);
      names.sort(null);
      for (var name : names) {
        var inside = path.isEmpty() ? name : path + "/" + name;
        if (!uncounted.contains(new String(inside.getBytes(FileTree.BYTES), StandardCharsets.UTF_8))) {
          text(name);
          file(fd, name, inside);
        }
      }
      // No name is empty.
      text("");
    }

    private void file(int directory, String name, String path) {
      int fd = open(directory, name, path, Fd.O_PATH | Fd.O_NOFOLLOW);
      try {
        var node = FileNode.of(fd);
        attributes(fd, node);
        switch (node.type()) {
          case FileStatus.S_IFDIR -> {
            int readable = open(directory, name, path, Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOFOLLOW | Fd.O_NOATIME);
            try {
              directory(readable, path);
            } finally {
              Fd.close(readable);
            }
          }
          case FileStatus.S_IFREG -> digest.update(content(directory, name, path, node));
          case FileStatus.S_IFLNK -> text(FileTree.linkTarget(fd));
          default -> number(node.rawDevice());
        }
      } finally {
        Fd.close(fd);
      }
    }

    private int open(int directory, String name, String path, int flags) {
      int fd = FileTree.open(directory, name, flags);
      if (fd < 0) {
        throw new CheckpointException(
            fd == -Errno.EXDEV
                ? "another file system is mounted at %s/%s; unmount it".formatted(tree, path)
                : "opening %s/%s to compare it with that of another host: %s".formatted(tree, path, Errno.describe(-fd)));
      }
      return fd;
    }

    private byte[] content(int directory, String name, String path, FileNode node) {
      var key = new Content(node.device(), Inode.Key.of(node), node.size(), node.changed());
      var known = contents.get(key);
      if (known != null) {
        return known;
      }
      int fd = open(directory, name, path, Fd.O_RDONLY | Fd.O_NOFOLLOW | Fd.O_NOATIME);
      try {
        var own = sha256();
        for (long at = 0; ; ) {
          if (System.nanoTime() > end) {
            throw new CheckpointException(
                "reading %s for the first time takes longer than %d s; what was read is remembered, so try again"
                    .formatted(tree, readMax.toSeconds()));
          }
          long count = Fd.pread(fd, memory, at);
          if (count < 0) {
            throw new CheckpointException("reading %s/%s: %s".formatted(tree, path, Errno.describe((int) -count)));
          }
          if (count == 0) {
            break;
          }
          bytesRead.addAndGet(count);
          MemorySegment.copy(memory, ValueLayout.JAVA_BYTE, 0, piece, 0, (int) count);
          own.update(piece, 0, (int) count);
          at += count;
        }
        var found = own.digest();
        if (System.currentTimeMillis() - node.changed().seconds() * 1000 - node.changed().nanoseconds() / 1_000_000 > FRESH_MS) {
          if (contents.size() >= FILES_MAX) {
            contents.clear();
          }
          contents.put(key, found);
        }
        return found;
      } finally {
        Fd.close(fd);
      }
    }

    private void attributes(int fd, FileNode node) {
      number(node.mode());
      number((long) node.uid() << 32 | node.gid() & 0xffff_ffffL);
      number(node.type() == FileStatus.S_IFREG ? node.size() : 0);
      FileTree.attributes(fd).forEach((name, value) -> {
        text(name);
        number(value.length);
        digest.update(value);
      });
      text("");
    }

    private void number(long number) {
      digest.update(ByteBuffer.allocate(Long.BYTES).putLong(0, number));
    }

    /** Of bytes, none of which is zero. */
    private void text(String text) {
      digest.update(text.getBytes(FileTree.BYTES));
      digest.update((byte) 0);
    }
  }
}
