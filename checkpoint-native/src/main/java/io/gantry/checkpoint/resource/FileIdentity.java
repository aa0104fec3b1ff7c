package io.gantry.checkpoint.resource;

/**
 * Names one file or shared memory object on the source.
 *
 * @param device {@code st_dev}
 * @param inode {@code st_ino}
 */
public record FileIdentity(long device, long inode) {}
