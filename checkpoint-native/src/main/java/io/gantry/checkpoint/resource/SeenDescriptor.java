package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.FileStatus;

/**
 * One descriptor of one process as it was found.
 *
 * @param process whose it is
 * @param fd its number
 * @param link what {@code /proc/PID/fd/N} points to; empty when that is no UTF-8
 * @param status {@code fstat}
 * @param info {@code /proc/PID/fdinfo/N}
 */
record SeenDescriptor(ProcessRef process, int fd, String link, FileStatus status, DescriptorInfo info) {
  static final String DELETED = " (deleted)";

  boolean isPath() {
    return link.startsWith("/");
  }

  boolean isAnonymous(String name) {
    return link.startsWith("anon_inode:") && link.substring("anon_inode:".length()).equals(name);
  }

  boolean isSocket() {
    return link.startsWith("socket:[");
  }

  /** The path without the kernel's remark that it is gone. */
  String pathWithoutRemark() {
    return link.endsWith(DELETED) ? link.substring(0, link.length() - DELETED.length()) : link;
  }

  /** For sentences. */
  String where() {
    return "descriptor " + fd + " of process " + process.pid();
  }
}
