package io.gantry.node.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/** A directory that is gone when it is closed. */
public final class Temporary implements AutoCloseable {
  private final Path path;

  private Temporary(Path path) {
    this.path = path;
  }

  /** Others may look into it, since a container's program may run as somebody else. */
  public static Temporary directory(String prefix) throws IOException {
    return new Temporary(
        Files.createTempDirectory(prefix, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x"))));
  }

  public Path path() {
    return path;
  }

  @Override
  public void close() throws IOException {
    LeftOvers.deleteTree(path);
  }
}
