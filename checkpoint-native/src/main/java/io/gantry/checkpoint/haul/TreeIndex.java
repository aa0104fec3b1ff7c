package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.linux.FileNode.Moment;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** All files of a tree as both sides of a haul know them by number. Used by one thread at a time. */
final class TreeIndex {
  /** Number of the directory at the root. */
  static final long ROOT = 1;

  /** Which haul it describes; a later one can go on from there when both sides remember the same. */
  final String token;

  private final Map<Long, Inode> byId = new HashMap<>();
  private final Map<Inode.Key, Inode> byKey = new HashMap<>();
  private final Map<Long, Inode> byNumber = new HashMap<>();
  private Inode root;
  private long lastId = ROOT;

  /** The last entry that was sent, or that was carried out. */
  long sequence;

  /** Files that were not changed since then are what the other side has; only of a tree that came from there. */
  Optional<Moment> settled = Optional.empty();

  TreeIndex(String token) {
    this.token = token;
  }

  Inode root() {
    return root;
  }

  /** A new root in place of an earlier one, whose names it gets. */
  Inode root(Inode.Key key, int mode) {
    var next = new Inode(ROOT, key, mode);
    if (root != null) {
      Map.copyOf(root.children()).forEach((name, child) -> {
        child.unplace(root, name);
        child.place(next, name);
      });
      next.uid = root.uid;
      next.gid = root.gid;
      next.modified = root.modified;
      next.attributes = root.attributes;
      next.madeIn = root.madeIn;
      next.sentIn = root.sentIn;
      next.namesSentIn = root.namesSentIn;
      byKey.remove(root.key, root);
      byNumber.remove(root.key.number(), root);
    }
    root = next;
    add(next);
    return next;
  }

  /** A file that was not known. */
  Inode make(Inode.Key key, int mode) {
    var inode = new Inode(++lastId, key, mode);
    add(inode);
    return inode;
  }

  /** A file under the number that the other side has given it. */
  Inode make(long id, Inode.Key key, int mode) {
    var inode = new Inode(id, key, mode);
    lastId = Math.max(lastId, id);
    add(inode);
    return inode;
  }

  private void add(Inode inode) {
    byId.put(inode.id, inode);
    byKey.put(inode.key, inode);
    byNumber.put(inode.key.number(), inode);
  }

  Optional<Inode> find(long id) {
    return Optional.ofNullable(byId.get(id));
  }

  Optional<Inode> find(Inode.Key key) {
    return Optional.ofNullable(byKey.get(key));
  }

  /** By its inode number. */
  Optional<Inode> findNumber(long number) {
    return Optional.ofNullable(byNumber.get(number));
  }

  Collection<Inode> all() {
    return byId.values();
  }

  /** Path below the root, empty for the root itself; nothing for what has no name at the moment. */
  Optional<String> path(Inode inode) {
    if (inode == root) {
      return Optional.of("");
    }
    var names = new ArrayList<String>();
    for (var at = inode; at != root; at = at.places.getFirst().directory()) {
      if (at.places.isEmpty()) {
        return Optional.empty();
      }
      names.add(at.places.getFirst().name());
    }
    return Optional.of(String.join("/", names.reversed()));
  }

  /** Whether a directory is this one or lies below it. */
  static boolean isWithin(Inode directory, Inode above) {
    for (var at = directory; ; at = at.places.getFirst().directory()) {
      if (at == above) {
        return true;
      }
      if (at.places.isEmpty()) {
        return false;
      }
    }
  }

  /** Forgets a file without a name, and what had names only below it. Returns all of them. */
  List<Inode> forget(Inode inode) {
    var gone = new ArrayList<Inode>();
    forget(inode, gone);
    return gone;
  }

  private void forget(Inode inode, List<Inode> gone) {
    inode.forgotten = true;
    byId.remove(inode.id);
    byKey.remove(inode.key, inode);
    byNumber.remove(inode.key.number(), inode);
    gone.add(inode);
    Map.copyOf(inode.children()).forEach((name, child) -> {
      child.unplace(inode, name);
      if (child.places.isEmpty()) {
        forget(child, gone);
      }
    });
  }

  /** The other side has got so far and no further. */
  void resume(long after) {
    sequence = after;
    List.copyOf(byId.values()).stream().filter(inode -> inode != root && inode.places.isEmpty() && !inode.forgotten).forEach(this::forget);
    byId.values().forEach(inode -> inode.distrust(after));
  }

  /** How many bytes regular files have. */
  long bytes() {
    return byId.values().stream().filter(inode -> inode.type == FileStatus.S_IFREG).mapToLong(inode -> inode.size).sum();
  }
}
