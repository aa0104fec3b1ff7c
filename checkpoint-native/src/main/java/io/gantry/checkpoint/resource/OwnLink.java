package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.FileStatus;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where a file is that one of our own descriptors is open on. */
final class OwnLink {
  private OwnLink() {}

  /** The path, with the kernel's remark when it is deleted; a byte that is no UTF-8 comes as U+FFFD. */
  static String of(int fd) {
    try {
      return Files.readSymbolicLink(Path.of("/proc/self/fd/" + fd)).toString();
    } catch (IOException e) {
      throw new UncheckedIOException("reading where descriptor " + fd + " of our own leads", e);
    }
  }

  static boolean isDeleted(String path, FileStatus status) {
    return status.links() == 0 && path.endsWith(SeenDescriptor.DELETED);
  }
}
