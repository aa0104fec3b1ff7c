package io.gantry.checkpoint.haul;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.haul_name;
import io.gantry.checkpoint.image.haul_op;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileTree;
import io.gantry.checkpoint.linux.KernelException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * One tree at the source of a haul. Each pass sends what is new since the one before: the first everything, the others what the kernel says was touched.
 * While the container runs a pass may see a mixture of moments, but then what it missed is touched, so the pass in the freeze sees and completes
 * it. One thread.
 */
final class TreeCapture implements AutoCloseable {
  private static final int LOOK = Fd.O_PATH | Fd.O_NOFOLLOW;
  private static final int LIST = Fd.O_RDONLY | Fd.O_DIRECTORY | Fd.O_NOFOLLOW | Fd.O_NOATIME;

  private final Path path;
  private final Set<String> excluded;
  private final TreeIndex index;
  private final HaulWriter out;
  private final FileSender files;
  private final TreeChanges changes;
  private final int root;

  /** Names that a pass has changed, and whose they are on the other side. */
  private final Map<Inode.Place, Optional<Inode>> moved = new LinkedHashMap<>();

  /** Those of them that wait for the next pass. */
  private final Map<Inode.Place, Optional<Inode>> unspoken = new LinkedHashMap<>();

  /** Directories whose own attributes are to be looked at when their names are done. */
  private final Set<Inode> directories = new LinkedHashSet<>();

  private final Deque<Inode> unread = new ArrayDeque<>();
  /** Those that could not be read in this pass. */
  private final Set<Inode> unreached = new LinkedHashSet<>();

  /** What a pass could not find out, because it was being changed. */
  private Map<Inode, Set<String>> again = new LinkedHashMap<>();

  /** Files that have names outside of the tree, under which they may be changed unnoticed. */
  private final Set<Inode> outside = new HashSet<>();

  /** Files that some process had mapped, so that their content may change without a trace. */
  private final Set<Inode> mapped = new LinkedHashSet<>();

  private final Set<Inode> unnamed = new LinkedHashSet<>();
  private static final int ESCAPES_MAX = 5;

  /** In the freeze only trees of so many files are gone through because of a name that came and went. */
  private static final int WALK_MAX = 4096;

  private boolean begun;

  /** Where directories have come to that were not looked at yet. */
  private final Set<Inode.Place> came = new HashSet<>();

  /** A name has come and gone before anybody saw whose it was: what was done by it was told under no other. */
  private boolean missed;

  /** Whether all files may be looked at for such a name, which costs some 5 µs each. */
  private boolean mayWalk;

  /**
   * @param excluded names in the root that do not belong to the tree
   * @param index what the other side has, as far as it is known
   */
  TreeCapture(Path path, Set<String> excluded, TreeIndex index, HaulWriter out) {
    this.path = path;
    this.excluded = excluded;
    this.index = index;
    this.out = out;
    this.files = new FileSender(index, out);
    this.root = Fd.open(path.toString(), Fd.O_PATH | Fd.O_DIRECTORY | Fd.O_CLOEXEC, 0);
    this.changes = new TreeChanges(path.toString());
  }

  /**
   * Sends what has changed since the last pass.
   *
   * @param mapped inode numbers of files that processes have mapped; of these every block is compared
   * @param opened of files they have open for writing, which may have been mapped in between; compared when they have changed at all
   * @param last whether the container stands still
   */
  void pass(Collection<Long> mapped, Collection<Long> opened, boolean last) {
    mayWalk = !last || index.all().size() <= WALK_MAX;
    var taken = changes.take();
    var names = again;
    again = new LinkedHashMap<>();
    taken.names().forEach((directory, some) -> names.computeIfAbsent(directory, d -> new HashSet<>()).addAll(some));
    came.addAll(taken.directories());
    if (!begun) {
      begin();
    }
    boolean walk = taken.all() || !begun;
    if (walk) {
      begun = true;
      unread.add(index.root());
      read(true);
    }
    // What could not be reached may be, once the directory was read into which it was moved.
    boolean progress = true;
    while (progress && !(names.isEmpty() && unread.isEmpty() && unreached.isEmpty())) {
      progress = touched(names);
      unread.addAll(unreached);
      unreached.clear();
      progress |= read(walk);
    }
    names.forEach((directory, some) -> {
      if (!directory.forgotten) {
        again.computeIfAbsent(directory, d -> new HashSet<>()).addAll(some);
        // It may be gone, and what was touched by a name in it may have others elsewhere.
        some.forEach(name -> mayHaveOthers(directory, name));
      }
    });
    came.removeIf(place -> !again.containsKey(place.directory()));
    if (missed) {
      missed = false;
      List.copyOf(index.all()).forEach(inode -> compare(inode, false));
    }
    mapped.forEach(number -> index.findNumber(number).ifPresent(this.mapped::add));
    opened.forEach(number -> index.findNumber(number).ifPresent(inode -> compare(inode, true)));
    this.mapped.removeIf(inode -> inode.forgotten);
    this.mapped.forEach(inode -> compare(inode, true));
    outside.removeIf(inode -> inode.forgotten);
    Set.copyOf(outside).forEach(inode -> compare(inode, false));
    names();
    attributes();
    out.endPass();
    unnamed.stream().filter(inode -> inode.places.isEmpty() && !inode.forgotten).toList()
        .forEach(inode -> index.forget(inode).forEach(changes::remove));
    unnamed.clear();
  }

  /** Where the root is, which may be known from an earlier haul. */
  private void begin() {
    var node = FileNode.of(root);
    var key = Inode.Key.of(node);
    var known = index.root();
    if (known == null || !known.key.equals(key)) {
      known = index.root(key, node.mode());
    }
    if (known.namesSentIn == Inode.NEVER) {
      again(known);
    }
    directories.add(known);
    for (var inode : index.all()) {
      inode.watch = -1;
    }
    index.all().stream().filter(inode -> inode != index.root() && inode.namesSentIn == Inode.NEVER).forEach(this::again);
  }

  /** Whether the other side has it, so that it can be spoken of. */
  private boolean isThere(Inode inode) {
    return inode == index.root() || inode.madeIn != Inode.NEVER;
  }

  private void noNames(Inode directory) {
    out.op(haul_op.newBuilder().setId(directory.id).setNoNames(true), 0);
  }

  /** Which of a directory's names have come over is not known. */
  private void again(Inode directory) {
    if (isThere(directory)) {
      noNames(directory);
    }
    directory.children().keySet().forEach(name -> moved.put(new Inode.Place(directory, name), Optional.empty()));
    directories.add(directory);
  }

  /** Reads directories, and those that come to light by it. @param all also those that are known; @return whether any could be read */
  private boolean read(boolean all) {
    boolean progress = false;
    while (!unread.isEmpty()) {
      var directory = unread.poll();
      int fd = directory.forgotten ? -Errno.ENOENT : open(directory, LIST);
      if (fd < 0) {
        // It, or one above it, has been moved meanwhile, of which only the one that was moved is told.
        if (!directory.forgotten) {
          unreached.add(directory);
        }
        continue;
      }
      try {
        progress = true;
        // Before it is read, so that whatever comes later is told.
        changes.add(directory, fd);
        directories.add(directory);
        var names = FileTree.names(fd);
        for (var name : names) {
          look(directory, fd, name, false, all);
        }
        var present = new HashSet<>(names);
        for (var name : Set.copyOf(directory.children().keySet())) {
          if (!present.contains(name)) {
            place(directory, name, Optional.empty());
          }
        }
      } finally {
        Fd.close(fd);
      }
    }
    return progress;
  }

  /** A descriptor of a directory where it is now, or minus the error number. */
  private int open(Inode directory, int flags) {
    var where = index.path(directory);
    if (where.isEmpty()) {
      return -Errno.ENOENT;
    }
    int fd = FileTree.open(root, where.get(), flags);
    if (fd >= 0 && !Inode.Key.of(FileNode.of(fd)).equals(directory.key)) {
      Fd.close(fd);
      return -Errno.ENOENT;
    }
    return fd;
  }

  /**
   * Looks at names that were touched. A directory may have been moved, which is known once the name that it has now was looked at.
   *
   * @param names from which those are taken that could be looked at
   * @return whether there were any
   */
  private boolean touched(Map<Inode, Set<String>> names) {
    boolean any = false;
    for (boolean progress = true; progress; ) {
      progress = false;
      for (var directory : Set.copyOf(names.keySet())) {
        int fd = directory.forgotten ? -Errno.ENOENT : open(directory, LOOK);
        if (fd < 0) {
          continue;
        }
        try {
          // Its time has changed even when a name has come and gone.
          directories.add(directory);
          for (var name : names.remove(directory)) {
            if (!name.isEmpty()) {
              look(directory, fd, name, true, false);
            }
          }
          progress = true;
          any = true;
        } finally {
          Fd.close(fd);
        }
      }
    }
    return any;
  }

  /** @param touched whether its content may have changed whatever its times say; @param all whether directories that are known are read, too */
  private void look(Inode directory, int at, String name, boolean touched, boolean all) {
    if (directory == index.root() && excluded.contains(name)) {
      return;
    }
    int fd = FileTree.open(at, name, LOOK);
    for (int attempt = 1; fd == -Errno.EXDEV && attempt < ESCAPES_MAX; attempt++) {
      // Moved out of this directory while it was being opened (fs/namei.c, complete_walk), which cannot be told from a mount but passes.
      fd = FileTree.open(at, name, LOOK);
    }
    if (fd < 0) {
      if (fd != -Errno.ENOENT) {
        throw failure(index.path(directory).orElse("?") + "/" + name, -fd);
      }
      if (directory.children().containsKey(name) || came.contains(new Inode.Place(directory, name)) || mayWalk) {
        mayHaveOthers(directory, name);
      }
      place(directory, name, Optional.empty());
      return;
    }
    try {
      var node = FileNode.of(fd);
      var inode = known(node);
      place(directory, name, Optional.of(inode));
      if (inode.isDirectory()) {
        make(inode, fd, node);
        directories.add(inode);
        if (all || inode.watch < 0) {
          unread.add(inode);
        }
      } else {
        examine(inode, fd, node, touched);
      }
    } finally {
      Fd.close(fd);
    }
  }

  /** Says that there is a directory, if that has not been said. */
  private void make(Inode directory, int fd, FileNode node) {
    if (directory.madeIn == Inode.NEVER) {
      files.make(directory, fd, node);
      // Of one that was made when the other side did not get everything, it may have got something.
      if (directory.namesSentIn == Inode.NEVER) {
        noNames(directory);
      }
    }
  }

  /** What was touched by a name that is gone may have others, by which nobody was told; what it was is not known when the name came and went unseen. */
  private void mayHaveOthers(Inode directory, String name) {
    var inode = directory.children().get(name);
    if (inode == null) {
      missed |= !name.isEmpty();
    } else if (inode.places.size() > 1) {
      outside.add(inode);
    }
  }

  private CheckpointException failure(String name, int errno) {
    return new CheckpointException(
        errno == Errno.EXDEV
            ? "another file system was mounted at %s/%s meanwhile; unmount it".formatted(path, name)
            : "looking at %s/%s, which travels with the container: %s".formatted(path, name, Errno.describe(errno)));
  }

  private Inode known(FileNode node) {
    var key = Inode.Key.of(node);
    return index.find(key).filter(inode -> inode.type == node.type()).orElseGet(() -> index.make(key, node.mode()));
  }

  /** A name has another file now, or none. */
  private void place(Inode directory, String name, Optional<Inode> now) {
    var old = Optional.ofNullable(directory.children().get(name));
    if (old.equals(now)) {
      return;
    }
    moved.putIfAbsent(new Inode.Place(directory, name), old);
    old.ifPresent(inode -> {
      inode.unplace(directory, name);
      unnamed.add(inode);
    });
    now.ifPresent(inode -> {
      if (inode.isDirectory() && !inode.places.isEmpty()) {
        var before = inode.places.getFirst();
        moved.putIfAbsent(before, Optional.of(inode));
        inode.unplace(before.directory(), before.name());
        directories.add(before.directory());
        before.directory().namesSentIn = Inode.NEVER;
      }
      if (inode.isDirectory() && TreeIndex.isWithin(directory, inode)) {
        // Seen at two moments: the one above was moved into what was below it.
        unnamed.add(inode);
        again.computeIfAbsent(directory, d -> new HashSet<>()).add(name);
      } else {
        inode.place(directory, name);
      }
    });
    directory.namesSentIn = Inode.NEVER;
    directories.add(directory);
  }

  /** Looks at a file again under a name that it has. */
  private void compare(Inode inode, boolean content) {
    var where = index.path(inode);
    if (!inode.isRegular() || where.isEmpty()) {
      return;
    }
    int fd = FileTree.open(root, where.get(), LOOK);
    if (fd >= 0) {
      try {
        var node = FileNode.of(fd);
        if (Inode.Key.of(node).equals(inode.key)) {
          examine(inode, fd, node, content);
        }
      } finally {
        Fd.close(fd);
      }
    }
  }

  private void examine(Inode inode, int fd, FileNode node, boolean touched) {
    if (node.links() > inode.places.size() && inode.isRegular()) {
      outside.add(inode);
    }
    if (inode.madeIn != Inode.NEVER && !touched && !inode.fresh && inode.changed.equals(Optional.of(node.changed()))) {
      return;
    }
    try {
      files.send(inode, fd, node, touched);
    } catch (KernelException e) {
      throw failure(index.path(inode).orElse("?"), e.errno());
    }
  }

  /** All that are taken away before any is given, so that directories can change places. */
  private void names() {
    // What was found when the other side did not get everything, and cannot be reached just now, can have no name yet.
    var later = new LinkedHashSet<Inode.Place>();
    moved.keySet().forEach(place -> {
      var now = place.directory().children().get(place.name());
      if (now != null && !(isThere(place.directory()) && isThere(now))) {
        later.add(place);
      }
    });
    moved.forEach((place, there) -> {
      var now = place.directory().children().get(place.name());
      if (there.isPresent() && there.get() != now && isThere(place.directory())) {
        out.op(haul_op.newBuilder().setId(place.directory().id).setName(name(place)), 0);
        place.directory().namesSentIn = out.sequence();
      }
    });
    moved.forEach((place, there) -> {
      var now = place.directory().children().get(place.name());
      if (now != null && (there.isEmpty() || there.get() != now) && !later.contains(place)) {
        out.op(haul_op.newBuilder().setId(place.directory().id).setName(name(place).setFile(now.id)), 0);
      }
      place.directory().namesSentIn = out.sequence();
    });
    directories.forEach(directory -> {
      if (directory.namesSentIn == Inode.NEVER) {
        directory.namesSentIn = out.sequence();
      }
    });
    if (!later.isEmpty()) {
      later.forEach(this::sayLater);
      loseWhatHasNoName(later);
    }
  }

  private void sayLater(Inode.Place place) {
    place.directory().namesSentIn = Inode.NEVER;
    unspoken.put(place, Optional.empty());
    again.computeIfAbsent(place.directory(), d -> new HashSet<>()).add(place.name());
  }

  /** What has got no name by the end of the pass is removed on the other side, with everything that is only below it. */
  private void loseWhatHasNoName(Set<Inode.Place> later) {
    var named = new HashSet<Inode>();
    var open = new ArrayDeque<>(List.of(index.root()));
    while (!open.isEmpty()) {
      var inode = open.poll();
      if (named.add(inode)) {
        inode.children().forEach((name, child) -> {
          if (!later.contains(new Inode.Place(inode, name))) {
            open.add(child);
          }
        });
      }
    }
    for (var inode : List.copyOf(index.all())) {
      if (!named.contains(inode)) {
        inode.lose();
        inode.children().keySet().forEach(name -> sayLater(new Inode.Place(inode, name)));
      }
    }
  }

  private static haul_name.Builder name(Inode.Place place) {
    return haul_name.newBuilder().setName(ByteString.copyFrom(place.name(), FileTree.BYTES));
  }

  /** Of directories, whose times the other side's own work has changed. */
  private void attributes() {
    var renamed = new HashSet<Inode>();
    moved.forEach((place, there) -> {
      renamed.add(place.directory());
      Optional.ofNullable(place.directory().children().get(place.name())).filter(Inode::isDirectory).ifPresent(renamed::add);
    });
    directories.addAll(renamed);
    for (var directory : directories) {
      int fd = directory.forgotten ? -Errno.ENOENT : open(directory, LOOK);
      if (fd >= 0) {
        try {
          var node = FileNode.of(fd);
          boolean pending = directory.madeIn == Inode.NEVER || directory.sentIn == Inode.NEVER;
          make(directory, fd, node);
          files.attributes(directory, fd, node, pending || renamed.contains(directory));
        } finally {
          Fd.close(fd);
        }
      } else if (!directory.forgotten) {
        again.computeIfAbsent(directory, d -> new HashSet<>()).add("");
        directory.sentIn = Inode.NEVER;
      }
    }
    moved.clear();
    moved.putAll(unspoken);
    unspoken.clear();
    directories.clear();
  }

  /** Files that were made on the other side so far. */
  long files() {
    return files.made();
  }

  @Override
  public void close() {
    changes.close();
    files.close();
    Fd.close(root);
  }
}
