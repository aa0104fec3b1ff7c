package io.gantry.checkpoint;

/**
 * A tree of files that belongs to a container, as its host sees it, so that another can tell whether it has the same and whether it has room.
 *
 * @param path absolute
 * @param bytes that it takes; of a very large tree at least so many
 * @param inodes as {@code bytes}
 * @param boot {@code /proc/sys/kernel/random/boot_id}: hosts with the same are one kernel
 * @param device {@code st_dev} of its root
 * @param inode {@code st_ino} of its root
 * @param fileSystemType {@code f_type}
 * @param fileSystemId {@code f_fsid}
 * @param changedS {@code st_ctime} of its root, just now made to be new where others may share it
 * @param changedNs its nanoseconds
 * @param kind what it is to people: {@code volume} or {@code bundle}
 * @param obstacle why it cannot travel, as a sentence without a full stop; empty when it can. A destination that shares it does
 *     not mind
 * @param digest what tells it from others when nothing of it changes, so that it may be on several hosts at once and stays in its
 *     place when the container leaves; empty for a tree that belongs to the container alone, {@link #UNREAD} when it is not known
 */
public record VolumeFacts(
    String path,
    long bytes,
    long inodes,
    String boot,
    long device,
    long inode,
    long fileSystemType,
    long fileSystemId,
    long changedS,
    int changedNs,
    String kind,
    String obstacle,
    String digest) {
  /** {@link #kind} of what {@code gantry run --volume} has named. */
  public static final String VOLUME = "volume";

  /** {@link #kind} of the bundle that a runtime makes the container from. */
  public static final String BUNDLE = "bundle";

  /** {@link #digest} of what does not change and was not read: it may be shared, or there was no time. */
  public static final String UNREAD = "unread";

  public VolumeFacts {
    // Hosts of older versions do not send any.
    kind = kind == null ? VOLUME : kind;
    obstacle = obstacle == null ? "" : obstacle;
    digest = digest == null ? "" : digest;
  }

  /** A volume that can travel. */
  public VolumeFacts(
      String path,
      long bytes,
      long inodes,
      String boot,
      long device,
      long inode,
      long fileSystemType,
      long fileSystemId,
      long changedS,
      int changedNs) {
    this(path, bytes, inodes, boot, device, inode, fileSystemType, fileSystemId, changedS, changedNs, VOLUME, "", "");
  }

  /** The same of a bundle. @param sentence as {@link #obstacle}; @param digest as {@link #digest} */
  public VolumeFacts ofBundle(String sentence, String digest) {
    return new VolumeFacts(
        path, bytes, inodes, boot, device, inode, fileSystemType, fileSystemId, changedS, changedNs, BUNDLE, sentence, digest);
  }

  /** Whether nothing of it changes; not named as a property is. */
  public boolean neverChanges() {
    return !digest.isEmpty();
  }
}
