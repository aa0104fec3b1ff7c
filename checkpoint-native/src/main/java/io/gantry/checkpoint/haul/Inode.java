package io.gantry.checkpoint.haul;

import io.gantry.checkpoint.linux.FileNode;
import io.gantry.checkpoint.linux.FileNode.Moment;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** A file of a tree as one side of a haul remembers it: what the other side has of it. Used by one thread at a time. */
final class Inode {
  /** A name in a directory. */
  record Place(Inode directory, String name) {}

  /** Which file it is on this host: inode numbers are used again, birthdays are not. */
  record Key(long number, Moment born) {
    static Key of(FileNode node) {
      return new Key(node.inode(), node.born());
    }
  }

  /** {@link #digests} of a block that the other side has as a hole. */
  static final long HOLE = 0;

  /** That of a block of which nothing is known; others are odd. */
  static final long UNKNOWN = 2;

  /** In place of a sequence number: not sent yet, or not completely. */
  static final long NEVER = Long.MAX_VALUE;

  final long id;
  final Key key;
  final int type;
  final List<Place> places = new ArrayList<>(1);

  /** Of a directory. */
  private Optional<Map<String, Inode>> children = Optional.empty();

  int mode;
  int uid;
  int gid;
  long size;
  Moment modified = new Moment(0, 0);
  TreeMap<String, byte[]> attributes = new TreeMap<>();

  /** Status change time when it was looked at for the last time; empty when that does not count. */
  Optional<Moment> changed = Optional.empty();

  /** It was changed so shortly before it was looked at that a later change may have the same time. */
  boolean fresh;

  /** Of each block of a regular file, and in which entry it was sent. */
  long[] digests = new long[0];

  long[] digestsSentIn = new long[0];

  long madeIn = NEVER;
  long sentIn = NEVER;

  /** The entry with the last change of a name in this directory. */
  long namesSentIn;

  /** Of a directory: number of its watch, or -1. */
  int watch = -1;

  boolean forgotten;

  Inode(long id, Key key, int mode) {
    this.id = id;
    this.key = key;
    this.mode = mode;
    this.type = mode & FileStatus.S_IFMT;
  }

  boolean isDirectory() {
    return type == FileStatus.S_IFDIR;
  }

  boolean isRegular() {
    return type == FileStatus.S_IFREG;
  }

  /** By name; empty for what is no directory. */
  Map<String, Inode> children() {
    return children.orElse(Map.of());
  }

  /** Gives it a name, which nobody has. */
  void place(Inode directory, String name) {
    if (directory.children.isEmpty()) {
      directory.children = Optional.of(new HashMap<>());
    }
    directory.children.get().put(name, this);
    places.add(new Place(directory, name));
  }

  /** Takes a name from it. */
  void unplace(Inode directory, String name) {
    directory.children.ifPresent(names -> names.remove(name));
    places.removeIf(place -> place.directory == directory && place.name.equals(name));
  }

  /** As many blocks as a file of that size has; new ones are holes on the other side, as its file grows by being made longer. */
  void blocks(int count) {
    digests = Arrays.copyOf(digests, count);
    digestsSentIn = Arrays.copyOf(digestsSentIn, count);
  }

  /** It came from the other side, which so has it; of its blocks nothing is known here. */
  void settle() {
    madeIn = 0;
    sentIn = 0;
    namesSentIn = 0;
    changed = Optional.empty();
    fresh = false;
    watch = -1;
    digests = new long[isRegular() ? Math.toIntExact((size + ContentSender.BLOCK_BYTES - 1) / ContentSender.BLOCK_BYTES) : 0];
    digestsSentIn = new long[digests.length];
    Arrays.fill(digests, UNKNOWN);
  }

  /** The other side does not have it any more. */
  void lose() {
    madeIn = NEVER;
    sentIn = NEVER;
    changed = Optional.empty();
    blocks(0);
  }

  /** Whatever was sent behind an entry that the other side has got may or may not be there. */
  void distrust(long after) {
    if (madeIn > after) {
      madeIn = NEVER;
      blocks(0);
    }
    if (sentIn > after) {
      sentIn = NEVER;
      changed = Optional.empty();
      for (int i = 0; i < digests.length; i++) {
        if (digestsSentIn[i] > after) {
          digests[i] = UNKNOWN;
        }
      }
    }
    if (namesSentIn > after) {
      namesSentIn = NEVER;
    }
  }

  @Override
  public String toString() {
    return "file " + id;
  }
}
