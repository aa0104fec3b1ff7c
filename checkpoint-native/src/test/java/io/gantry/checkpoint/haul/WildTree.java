package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileNode.Moment;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileTree;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.OwnFile;
import io.gantry.checkpoint.linux.SharedMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Makes a tree of files of every kind and changes it in every way, by a seed. One thread. */
final class WildTree {
  /** An access control list for user 7: {@code struct posix_acl_xattr_header} and entries ({@code linux/posix_acl_xattr.h}). */
  private static final byte[] ACCESS_LIST = {
    2, 0, 0, 0, 1, 0, 6, 0, -1, -1, -1, -1, 2, 0, 4, 0, 7, 0, 0, 0, 4, 0, 4, 0, -1, -1, -1, -1, 16, 0, 4, 0, -1, -1, -1, -1, 32, 0, 4, 0, -1, -1, -1, -1
  };

  /** {@code CAP_NET_RAW} permitted and effective: {@code struct vfs_cap_data} ({@code linux/capability.h}). */
  private static final byte[] CAPABILITY = {1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

  private final String root;
  private final Random dice;
  private final List<String> directories = new ArrayList<>();
  private final List<String> files = new ArrayList<>();

  WildTree(Path root, long seed) {
    this.root = root.toString();
    this.dice = new Random(seed);
    directories.add("");
  }

  void grow(int entries) {
    for (int i = 0; i < entries; i++) {
      attempt(this::make);
    }
  }

  /** Some of these fail because of what others did before, which is as well. */
  void change(int times) {
    for (int i = 0; i < times; i++) {
      attempt(this::changeOne);
    }
  }

  private void attempt(Runnable change) {
    try {
      change.run();
    } catch (KernelException gone) {
      // It has been moved or removed together with its directory.
    }
  }

  private String name() {
    if (dice.nextInt(6) > 0) {
      return "n" + dice.nextInt(5000);
    }
    var bytes = new StringBuilder();
    for (int i = 0; i <= dice.nextInt(20); i++) {
      char each = (char) (1 + dice.nextInt(255));
      bytes.append(each == '/' ? '\n' : each);
    }
    return bytes.toString().equals(".") || bytes.toString().equals("..") ? "dots" : bytes.toString();
  }

  private String path(String relative) {
    return root + relative;
  }

  private String directory() {
    return directories.get(dice.nextInt(directories.size()));
  }

  private String file() {
    return files.isEmpty() ? "/none" : files.get(dice.nextInt(files.size()));
  }

  private void make() {
    var at = directory() + "/" + name();
    switch (dice.nextInt(12)) {
      case 0, 1 -> {
        FileTree.makeDirectory(path(at), 0755);
        directories.add(at);
      }
      case 2 -> FileTree.makeLink(dice.nextBoolean() ? "../" + name() : "/nowhere", path(at));
      case 3 -> FileTree.link(path(file()), path(at));
      case 4 -> FileTree.makeNode(path(at), FileStatus.S_IFIFO | 0640, 0);
      case 5 -> FileTree.makeNode(path(at), FileStatus.S_IFSOCK | 0750, 0);
      case 6 -> FileTree.makeNode(path(at), FileStatus.S_IFCHR | 0600, dice.nextBoolean() ? 0 : 0x103);
      default -> {
        write(at, dice.nextInt(4) == 0 ? 400_000L : 5000, true);
        files.add(at);
      }
    }
    if (dice.nextInt(3) == 0) {
      shape(at);
    }
  }

  private void write(String at, long sizeMax, boolean create) {
    int fd = FileTree.open(path(at), Fd.O_RDWR | Fd.O_NOFOLLOW | (create ? Fd.O_CREAT | Fd.O_EXCL : 0), 0644);
    if (fd < 0) {
      throw new KernelException("open", -fd);
    }
    try (var arena = Arena.ofConfined()) {
      for (int i = 0; i <= dice.nextInt(4); i++) {
        var bytes = new byte[dice.nextInt(9000)];
        dice.nextBytes(bytes);
        if (dice.nextInt(4) == 0) {
          bytes = new byte[bytes.length];
        }
        if (bytes.length > 0) {
          Fd.pwrite(fd, arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes), dice.nextLong(sizeMax));
        }
      }
      if (dice.nextInt(5) == 0) {
        OwnFile.resize(fd, dice.nextLong(sizeMax));
      }
      if (dice.nextInt(5) == 0) {
        SharedMemory.punch(fd, dice.nextLong(sizeMax) & -4096, 4096L << dice.nextInt(6));
      }
    } finally {
      Fd.close(fd);
    }
  }

  private void shape(String at) {
    var path = path(at);
    int fd = FileTree.open(path, Fd.O_PATH | Fd.O_NOFOLLOW, 0);
    if (fd < 0) {
      throw new KernelException("open", -fd);
    }
    int type;
    try {
      type = FileNode.of(fd).type();
    } finally {
      Fd.close(fd);
    }
    if (dice.nextBoolean()) {
      FileTree.setOwner(path, dice.nextInt(70_000), dice.nextInt(70_000));
    }
    if (type != FileStatus.S_IFLNK) {
      FileTree.setMode(path, dice.nextInt(010000));
    }
    if (type == FileStatus.S_IFREG || type == FileStatus.S_IFDIR) {
      switch (dice.nextInt(5)) {
        case 0 -> FileTree.setAttribute(path, "user.note", new byte[dice.nextInt(100)]);
        case 1 -> FileTree.removeAttribute(path, "user.note");
        case 2 -> FileTree.setAttribute(path, "trusted.overlay.opaque", new byte[] {'y'});
        case 3 -> FileTree.setAttribute(path, type == FileStatus.S_IFDIR ? "system.posix_acl_default" : "system.posix_acl_access", ACCESS_LIST);
        default -> {
          if (type == FileStatus.S_IFREG) {
            FileTree.setAttribute(path, "security.capability", CAPABILITY);
          }
        }
      }
    }
    if (dice.nextBoolean()) {
      FileTree.setTimes(path, new Moment(dice.nextInt(Integer.MAX_VALUE), dice.nextInt(1_000_000_000)), new Moment(dice.nextInt(), dice.nextInt(1_000_000_000)));
    }
  }

  private void changeOne() {
    switch (dice.nextInt(12)) {
      case 0, 1 -> make();
      case 2, 3, 4 -> write(file(), dice.nextInt(4) == 0 ? 400_000L : 5000, false);
      case 5 -> {
        var from = file();
        var to = dice.nextBoolean() ? file() : directory() + "/" + name();
        FileTree.rename(path(from), path(to));
        files.remove(from);
        files.add(to);
      }
      case 6 -> {
        var from = directory();
        var to = directory() + "/" + name();
        if (!from.isEmpty()) {
          FileTree.rename(path(from), path(to));
          directories.replaceAll(each -> moved(each, from, to));
          files.replaceAll(each -> moved(each, from, to));
        }
      }
      case 7 -> {
        var file = file();
        FileTree.remove(path(file), false);
        files.remove(file);
      }
      case 8 -> {
        var victim = directory();
        if (!victim.isEmpty() && dice.nextInt(3) == 0) {
          Stage.remove(path(victim));
          directories.removeIf(each -> each.equals(victim) || each.startsWith(victim + "/"));
          files.removeIf(each -> each.startsWith(victim + "/"));
        }
      }
      case 9 -> swap();
      default -> shape(dice.nextInt(3) == 0 ? directory() : file());
    }
  }

  private static String moved(String each, String from, String to) {
    return each.equals(from) || each.startsWith(from + "/") ? to + each.substring(from.length()) : each;
  }

  /** Two directories change places. */
  private void swap() {
    var one = directory();
    var other = directory();
    if (one.isEmpty() || other.isEmpty() || one.startsWith(other) || other.startsWith(one)) {
      return;
    }
    FileTree.rename(path(one), root + "/between");
    FileTree.rename(path(other), path(one));
    FileTree.rename(root + "/between", path(other));
    directories.replaceAll(each -> each.equals(one) || each.startsWith(one + "/") ? moved(each, one, other) : moved(each, other, one));
    files.replaceAll(each -> each.startsWith(one + "/") ? moved(each, one, other) : moved(each, other, one));
  }
}
