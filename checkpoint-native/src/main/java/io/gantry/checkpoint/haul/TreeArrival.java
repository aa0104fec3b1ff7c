package io.gantry.checkpoint.haul;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.haul_attributes;
import io.gantry.checkpoint.image.haul_content;
import io.gantry.checkpoint.image.haul_entry;
import io.gantry.checkpoint.image.haul_make;
import io.gantry.checkpoint.image.haul_op;
import io.gantry.checkpoint.image.haul_time;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileNode.Moment;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.FileTree;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.OwnFile;
import io.gantry.checkpoint.linux.SharedMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/** One tree at the destination of a haul: does in a {@link Stage} what {@link TreeCapture} says. One thread. */
final class TreeArrival implements AutoCloseable {
  private static final int PRIVATE_FILE = 0600;
  private static final int PRIVATE_DIRECTORY = 0700;
  private static final int PAGE_BYTES = 4096;
  /** Longest data of one operation. */
  private static final int DATA_BYTES_MAX = 1 << 20;

  private final Stage stage;
  private final TreeIndex index;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment memory = arena.allocate(DATA_BYTES_MAX);
  /** Files without a name. */
  private final Set<Inode> unnamed = new LinkedHashSet<>();

  /** The file that was written to last, since it will be written to next. */
  private Optional<Inode> open = Optional.empty();

  private int openFd;

  /** Whether the tree is where it belongs, and not in the stage. */
  private boolean placed;

  /** @param index what is in the stage already; empty for an empty one */
  TreeArrival(Stage stage, TreeIndex index) {
    this.stage = stage;
    this.index = index;
    if (index.root() == null) {
      index.root(keyOf(stage.tree()), FileStatus.S_IFDIR | PRIVATE_DIRECTORY);
    }
    index.all().stream().filter(inode -> inode != index.root() && inode.places.isEmpty()).forEach(unnamed::add);
  }

  TreeIndex index() {
    return index;
  }

  Stage stage() {
    return stage;
  }

  void apply(haul_entry entry) {
    try {
      for (var op : entry.getOpsList()) {
        apply(op);
      }
      if (entry.getPassEnd()) {
        endPass();
      }
    } catch (KernelException e) {
      // What matters first: the other side may get no more than the beginning.
      throw new CheckpointException(
          "%s for %s, which travels with the container: %s".formatted(Errno.describe(e.errno()), stage.volume(), e.getMessage()), e);
    }
    index.sequence = entry.getSequence();
  }

  private void apply(haul_op op) {
    if (op.hasMake()) {
      make(op.getId(), op.getMake());
    } else if (op.hasContent()) {
      write(find(op.getId()), op.getContent());
    } else if (op.hasAttributes()) {
      closeFile();
      shape(find(op.getId()), op.getAttributes());
    } else if (op.hasName()) {
      var name = op.getName().getName().toString(FileTree.BYTES);
      var directory = find(op.getId());
      if (op.getName().hasFile()) {
        attach(directory, name, find(op.getName().getFile()));
      } else {
        detach(directory, name);
      }
    } else if (op.getNoNames()) {
      var directory = find(op.getId());
      Set.copyOf(directory.children().keySet()).forEach(name -> detach(directory, name));
    }
  }

  private Inode find(long id) {
    return index.find(id).orElseThrow(() -> new CheckpointException(
        "the source speaks of file %d of %s, which never came; the move can be tried again".formatted(id, stage.volume())));
  }

  /** Where a file is now. */
  private String path(Inode inode) {
    if (inode == index.root()) {
      return placed ? stage.place() : stage.tree();
    }
    return inode.places.isEmpty() ? stage.limbo() + "/" + Long.toHexString(inode.id) : path(inode.places.getFirst());
  }

  private String path(Inode.Place place) {
    return path(place.directory()) + "/" + place.name();
  }

  private void make(long id, haul_make make) {
    int type = make.getMode() & FileStatus.S_IFMT;
    var known = index.find(id);
    if (known.isPresent() && known.get().isDirectory() && type == FileStatus.S_IFDIR) {
      return;
    }
    known.ifPresent(inode -> {
      for (var place : Set.copyOf(inode.places)) {
        detach(place.directory(), place.name());
      }
      remove(inode);
    });
    var path = stage.limbo() + "/" + Long.toHexString(id);
    switch (type) {
      case FileStatus.S_IFDIR -> FileTree.makeDirectory(path, PRIVATE_DIRECTORY);
      case FileStatus.S_IFLNK -> FileTree.makeLink(make.getTarget().toString(FileTree.BYTES), path);
      case FileStatus.S_IFREG, FileStatus.S_IFIFO, FileStatus.S_IFSOCK, FileStatus.S_IFBLK, FileStatus.S_IFCHR ->
          FileTree.makeNode(path, type | PRIVATE_FILE, make.getRdev());
      default -> throw new CheckpointException("the source sends a file of a type unknown here, 0" + Integer.toOctalString(make.getMode()));
    }
    unnamed.add(index.make(id, keyOf(path), make.getMode()));
  }

  private static Inode.Key keyOf(String path) {
    int fd = FileTree.open(path, Fd.O_PATH | Fd.O_NOFOLLOW, 0);
    if (fd < 0) {
      throw new KernelException("open(\"" + path + "\")", -fd);
    }
    try {
      return Inode.Key.of(FileNode.of(fd));
    } finally {
      Fd.close(fd);
    }
  }

  private void write(Inode inode, haul_content content) {
    if (open.filter(file -> file == inode).isEmpty()) {
      closeFile();
      var path = path(inode);
      openFd = FileTree.open(path, Fd.O_RDWR | Fd.O_NOFOLLOW, 0);
      if (openFd < 0) {
        throw new KernelException("open(\"" + path + "\")", -openFd);
      }
      open = Optional.of(inode);
    }
    if (content.getSize() != inode.size) {
      OwnFile.resize(openFd, content.getSize());
      inode.size = content.getSize();
    }
    if (content.getHole() > 0) {
      // A part of a block would be written with zeros, also the last one's, behind which nothing is.
      long end = content.getOffset() + content.getHole();
      SharedMemory.punch(openFd, content.getOffset(), (end == content.getSize() ? end + PAGE_BYTES - 1 & -PAGE_BYTES : end) - content.getOffset());
    }
    write(content.getData(), content.getOffset());
  }

  private void write(ByteString data, long offset) {
    for (int done = 0; done < data.size(); ) {
      int length = Math.min(DATA_BYTES_MAX, data.size() - done);
      var piece = memory.asSlice(0, length);
      piece.copyFrom(MemorySegment.ofBuffer(data.substring(done, done + length).asReadOnlyByteBuffer()));
      for (long written = 0; written < length; ) {
        long count = Fd.pwrite(openFd, piece.asSlice(written), offset + done + written);
        if (count < 0) {
          throw new KernelException("pwrite(\"" + path(open.orElseThrow()) + "\")", (int) -count);
        }
        written += count;
      }
      done += length;
    }
  }

  private void closeFile() {
    open.ifPresent(file -> Fd.close(openFd));
    open = Optional.empty();
  }

  /** A change of owner takes bits and capabilities from a file, and a change of mode bits from its access control list: hence the order. */
  private void shape(Inode inode, haul_attributes wanted) {
    inode.mode = wanted.getMode();
    inode.uid = wanted.getUid();
    inode.gid = wanted.getGid();
    inode.modified = moment(wanted.getModified());
    var attributes = new TreeMap<String, byte[]>();
    wanted.getXattrsList().forEach(entry -> attributes.put(entry.getName().toString(FileTree.BYTES), entry.getValue().toByteArray()));
    var before = inode.attributes;
    inode.attributes = attributes;
    before.keySet().stream().filter(name -> !attributes.containsKey(name)).forEach(name -> FileTree.removeAttribute(path(inode), name));
    // That of the root comes last, and opens the tree to others.
    if (inode != index.root() || !placed) {
      shape(inode, path(inode), moment(wanted.getAccessed()));
    }
  }

  private static void shape(Inode inode, String path, Moment accessed) {
    FileTree.setOwner(path, inode.uid, inode.gid);
    if (inode.type != FileStatus.S_IFLNK) {
      FileTree.setMode(path, inode.mode);
    }
    inode.attributes.forEach((name, value) -> FileTree.setAttribute(path, name, value));
    FileTree.setTimes(path, accessed, inode.modified);
  }

  private static Moment moment(haul_time time) {
    return new Moment(time.getSeconds(), time.getNanoseconds());
  }

  private void attach(Inode directory, String name, Inode inode) {
    var there = directory.children().get(name);
    if (there == inode) {
      return;
    }
    if (there != null) {
      detach(directory, name);
    }
    var to = path(directory) + "/" + name;
    if (inode.places.isEmpty()) {
      FileTree.rename(path(inode), to);
      unnamed.remove(inode);
    } else if (inode.isDirectory()) {
      var before = inode.places.getFirst();
      FileTree.rename(path(before), to);
      inode.unplace(before.directory(), before.name());
    } else {
      FileTree.link(path(inode), to);
    }
    inode.place(directory, name);
  }

  private void detach(Inode directory, String name) {
    var inode = directory.children().get(name);
    if (inode == null) {
      return;
    }
    var from = path(directory) + "/" + name;
    inode.unplace(directory, name);
    if (inode.places.isEmpty()) {
      FileTree.rename(from, path(inode));
      unnamed.add(inode);
    } else {
      FileTree.remove(from, false);
    }
  }

  private void endPass() {
    closeFile();
    Set.copyOf(unnamed).forEach(this::remove);
  }

  /** With everything that has no name but below it. */
  private void remove(Inode inode) {
    if (open.filter(file -> file == inode).isPresent()) {
      closeFile();
    }
    removeFile(inode, path(inode));
    index.forget(inode);
    unnamed.remove(inode);
  }

  private void removeFile(Inode inode, String path) {
    Map.copyOf(inode.children()).forEach((name, child) -> {
      if (child.places.size() > 1) {
        child.unplace(inode, name);
        FileTree.remove(path + "/" + name, false);
      } else {
        removeFile(child, path + "/" + name);
      }
    });
    FileTree.remove(path, inode.isDirectory());
  }

  /** Puts the tree where it belongs. @param group see {@link Stage#placeTree} */
  void place(int group) {
    closeFile();
    stage.placeTree(group);
    placed = true;
  }

  /** Everything is there. */
  void settle() {
    closeFile();
    var root = index.root();
    // Names have come and gone in it, or it is another directory.
    shape(root, stage.place(), root.modified);
    int fd = Fd.open(stage.volume().toString(), Fd.O_PATH | Fd.O_CLOEXEC, 0);
    try {
      index.settled = Optional.of(FileNode.of(fd).changed());
    } finally {
      Fd.close(fd);
    }
    index.all().forEach(Inode::settle);
  }

  /** Undoes {@link #place}. */
  void unplace() {
    closeFile();
    stage.putAway();
    placed = false;
  }

  @Override
  public void close() {
    closeFile();
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
