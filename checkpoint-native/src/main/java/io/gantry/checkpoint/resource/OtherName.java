package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.linux.FileStatus;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Looks for another name (hard link) of a file: among what else is open, and in the directory of the name it has lost. The kernel does not tell names
 * by inode, and a search of the whole file system has no bound. Any one thread.
 */
final class OtherName {
  /** Most entries of the directory that are looked at. */
  private static final int ENTRIES_MAX = 10_000;

  private final Inventory inventory;
  private final SeenDescriptor seen;

  OtherName(Inventory inventory, SeenDescriptor seen) {
    this.inventory = inventory;
    this.seen = seen;
  }

  /** An absolute path as the container sees it. */
  Optional<String> find() {
    // The file itself may be called "something (deleted)".
    if (leadsToIt(seen.link())) {
      return Optional.of(seen.link());
    }
    for (var other : inventory.withInode(seen.status().inode())) {
      if (other.isPath() && leadsToIt(other.link())) {
        return Optional.of(other.link());
      }
    }
    return inDirectory();
  }

  private boolean leadsToIt(String path) {
    return FileStatus.ofLink(inventory.root() + path).filter(there -> there.sameInode(seen.status())).isPresent();
  }

  private Optional<String> inDirectory() {
    String lost = seen.pathWithoutRemark();
    String directory = lost.substring(0, lost.lastIndexOf('/') + 1);
    int looked = 0;
    try (var entries = Files.newDirectoryStream(Path.of(inventory.root() + directory))) {
      for (var entry : entries) {
        String path = directory + entry.getFileName();
        if (leadsToIt(path)) {
          return Optional.of(path);
        }
        if (++looked == ENTRIES_MAX) {
          break;
        }
      }
    } catch (IOException | DirectoryIteratorException unreadable) {
      // Then it has no name that we could find.
    }
    return Optional.empty();
  }
}
