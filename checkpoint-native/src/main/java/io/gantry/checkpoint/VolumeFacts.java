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
    int changedNs) {}
