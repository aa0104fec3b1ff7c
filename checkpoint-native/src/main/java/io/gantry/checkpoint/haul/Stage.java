package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileTree;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.ProcText;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/**
 * Where a tree lies on a host whose it is not, or not yet: a directory of its own on the same file system, which nobody but root can enter and whose name
 * says whose it is. Beside the volume, or in it when it is the root of a file system.
 *
 * @param volume where the tree belongs
 * @param home the directory
 * @param mounted whether the volume is the root of a mounted file system
 */
record Stage(Path volume, Path home, boolean mounted) {
  /** What a mounted file system may have in its root without being in use. */
  private static final String LOST_FOUND = "lost+found";

  private static final String HIDDEN = ".gantry-haul";
  private static final String OWNER = "owner";
  private static final String ROOT = "root";
  private static final int PRIVATE_DIRECTORY = 0700;
  private static final int GROUP_SEARCHES = 0010;
  /** Less than a page stream waits for its receiver. */
  private static final Duration REMOVE_MAX = Duration.ofSeconds(3);

  static Stage of(Path volume, String container) {
    boolean mounted = mountPoints().contains(volume.toString());
    var home = mounted ? volume.resolve(HIDDEN).resolve(container) : volume.resolveSibling("." + volume.getFileName() + ".gantry-" + container);
    return new Stage(volume, home, mounted);
  }

  /** Of this process's mount namespace ({@code man 5 proc_pid_mountinfo}). */
  static List<String> mountPoints() {
    try {
      return ProcText.read("/proc/self/mountinfo").lines().map(line -> unescape(line.split(" ")[4])).toList();
    } catch (IOException e) {
      throw new CheckpointException("reading the mounts of this host: " + e.getMessage(), e);
    }
  }

  /** Blanks and the like are three octal digits behind a backslash. */
  private static String unescape(String text) {
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
  }

  /** Names in the volume's root that do not belong to the tree. */
  Set<String> excluded() {
    return mounted ? Set.of(LOST_FOUND, HIDDEN) : Set.of();
  }

  String tree() {
    return bytes(home.resolve("tree"));
  }

  String limbo() {
    return bytes(home.resolve("unnamed"));
  }

  private static String bytes(Path path) {
    return new String(path.toString().getBytes(StandardCharsets.UTF_8), FileTree.BYTES);
  }

  /** Whether what lies here is what a haul of that token has left. */
  boolean holds(String token) {
    try {
      return Files.isDirectory(home.resolve("tree")) && Files.readAllLines(home.resolve(OWNER)).contains(token);
    } catch (IOException none) {
      return false;
    }
  }

  /** Begins with nothing. What was here is removed meanwhile, by a thread of its own. */
  void clear(String words, String token) {
    if (Files.exists(home)) {
      var old = home.resolveSibling(home.getFileName() + "-" + Long.toHexString(System.nanoTime()));
      move(home, old);
      var remover = Thread.ofPlatform().daemon().name("removes " + old).start(() -> remove(old));
      try {
        // Its room is needed; but the stream does not wait for long.
        remover.join(REMOVE_MAX);
      } catch (InterruptedException interrupted) {
        Thread.currentThread().interrupt();
      }
    }
    make(words, token);
    makeDirectory(home.resolve("tree"));
  }

  private void make(String words, String token) {
    try {
      if (mounted) {
        makeDirectory(home.getParent());
      }
      makeDirectory(home);
      makeDirectory(home.resolve("unnamed"));
      Files.write(home.resolve(OWNER), List.of(words, token));
    } catch (IOException e) {
      throw new CheckpointException("making " + home + " for files that travel with a container: " + e, e);
    }
  }

  private static void makeDirectory(Path path) {
    if (!Files.isDirectory(path)) {
      try {
        Files.createDirectory(path, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      } catch (IOException e) {
        throw new CheckpointException("making " + path + " for files that travel with a container: " + e, e);
      }
      // A directory may hand its access control list down.
      int fd = Fd.open(path.toString(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC, 0);
      try {
        FileTree.attributes(fd).keySet().stream()
            .filter(name -> name.startsWith("system.posix_acl"))
            .forEach(name -> FileTree.removeAttribute(bytes(path), name));
      } finally {
        Fd.close(fd);
      }
    }
  }

  /** Where the tree belongs, byte for character. */
  String place() {
    return bytes(volume);
  }

  /**
   * Puts the tree in its place, which is missing or empty. Nobody but root can enter it there before it has got its own mode and
   * owner: who could would exchange directories for symbolic links while the agent writes to them.
   *
   * @param group may go through it all the same, without changing it; that of root of a user namespace, who is nobody here
   */
  void placeTree(int group) {
    try {
      if (mounted) {
        noteRoot();
      }
      var root = mounted ? place() : tree();
      FileTree.setOwner(root, 0, group);
      FileTree.setMode(root, group == 0 ? PRIVATE_DIRECTORY : PRIVATE_DIRECTORY | GROUP_SEARCHES);
      if (mounted) {
        names(home.resolve("tree")).forEach(name -> FileTree.rename(tree() + "/" + name, bytes(volume) + "/" + name));
      } else {
        FileTree.rename(tree(), bytes(volume));
      }
    } catch (KernelException e) {
      throw new CheckpointException("putting " + volume + ", which came with the container, in its place: " + e.getMessage(), e);
    }
  }

  /** What the root of the file system was like, for {@link #restoreRoot}. */
  private void noteRoot() {
    try {
      int fd = Fd.open(volume.toString(), Fd.O_PATH | Fd.O_CLOEXEC, 0);
      try {
        var node = FileNode.of(fd);
        Files.writeString(home.resolve(ROOT), "%d %d %d".formatted(node.mode(), node.uid(), node.gid()));
      } finally {
        Fd.close(fd);
      }
    } catch (IOException e) {
      throw new CheckpointException("noting the mode of " + volume + " in " + home + ": " + e, e);
    }
  }

  private void restoreRoot() {
    var note = home.resolve(ROOT);
    if (!Files.exists(note)) {
      return;
    }
    try {
      int[] noted = Arrays.stream(Files.readString(note).split(" ")).mapToInt(Integer::parseInt).toArray();
      FileTree.setOwner(place(), noted[1], noted[2]);
      FileTree.setMode(place(), noted[0]);
      Files.delete(note);
    } catch (IOException | NumberFormatException e) {
      throw new CheckpointException("giving " + volume + " the mode back that it had: " + e, e);
    }
  }

  /** Takes the tree from its place, if it is there and not here. */
  void putAway(String words, String token) {
    if (Files.isDirectory(home.resolve("tree")) && !mounted || !Files.isDirectory(volume)) {
      return;
    }
    make(words, token);
    putAway();
  }

  void putAway() {
    try {
      if (mounted) {
        makeDirectory(home.resolve("tree"));
        names(volume).stream()
            .filter(name -> !excluded().contains(name))
            .forEach(name -> FileTree.rename(bytes(volume) + "/" + name, tree() + "/" + name));
        restoreRoot();
      } else if (!Files.exists(home.resolve("tree"))) {
        FileTree.rename(bytes(volume), tree());
      }
    } catch (KernelException e) {
      throw new CheckpointException("taking " + volume + " away, whose container is not here: " + e.getMessage(), e);
    }
  }

  /** Whether nobody's files are where the tree belongs. */
  boolean isFree() {
    return !Files.exists(volume) || Files.isDirectory(volume) && names(volume).stream().allMatch(excluded()::contains);
  }

  private static List<String> names(Path directory) {
    int fd = Fd.open(directory.toString(), Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_CLOEXEC, 0);
    try {
      return FileTree.names(fd);
    } finally {
      Fd.close(fd);
    }
  }

  /** Removes it with whatever is in it. What is above it in a volume stays, since without it the volume's root would have another time. */
  void remove() {
    remove(home);
  }

  private static void move(Path from, Path to) {
    FileTree.rename(bytes(from), bytes(to));
  }

  static void remove(Path directory) {
    try {
      remove(bytes(directory));
    } catch (KernelException e) {
      throw new CheckpointException("removing " + directory + ": " + e.getMessage(), e);
    }
  }

  /** Removes a file or a directory with everything in it; nothing happens when there is none. @param path byte for character */
  static void remove(String path) {
    int fd = FileTree.open(path, Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOFOLLOW, 0);
    if (fd < 0) {
      FileTree.remove(path, false);
      return;
    }
    try {
      FileTree.names(fd).forEach(name -> remove(path + "/" + name));
    } finally {
      Fd.close(fd);
    }
    FileTree.remove(path, true);
  }
}
