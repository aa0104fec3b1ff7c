package io.gantry.actors;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;

/** This host's own directory for each container, in which the engine keeps its console. Calls block. A simulation replaces it. */
public interface ContainerDirectories {
  /** Makes the directory if it is not there. */
  Path create(String container);

  /** Removes the directory with everything in it. Idempotent. */
  void remove(String container);

  /** Up to {@code bytesMax} bytes of the console from {@code offset} on; none when it is not there. */
  Console read(String container, long offset, int bytesMax);

  /** A piece of a console. @param sizeBytes how long it is in all */
  record Console(byte[] bytes, long sizeBytes) {}

  /** Under {@code containers} in a state directory. */
  static ContainerDirectories in(Path stateDirectory) {
    return new OnDisk(stateDirectory.resolve("containers"));
  }

  /** The directory that a container has, or would have, in a state directory. */
  static Path of(Path stateDirectory, String container) {
    return new OnDisk(stateDirectory.resolve("containers")).directory(container);
  }

  /** The real ones. */
  record OnDisk(Path root) implements ContainerDirectories {
    @Override
    public Path create(String container) {
      var directory = directory(container);
      try {
        return Files.createDirectories(directory);
      } catch (IOException e) {
        throw new UncheckedIOException("The directory " + directory + " cannot be made: " + e.getMessage(), e);
      }
    }

    @Override
    public void remove(String container) {
      var directory = directory(container);
      try {
        Files.walkFileTree(
            directory,
            new SimpleFileVisitor<>() {
              @Override
              public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.deleteIfExists(file);
                return FileVisitResult.CONTINUE;
              }

              @Override
              public FileVisitResult postVisitDirectory(Path visited, IOException failure) throws IOException {
                if (failure != null) {
                  throw failure;
                }
                Files.deleteIfExists(visited);
                return FileVisitResult.CONTINUE;
              }
            });
      } catch (NoSuchFileException _) {
        // gone already
      } catch (IOException e) {
        throw new UncheckedIOException("The directory " + directory + " cannot be removed: " + e.getMessage(), e);
      }
    }

    @Override
    public Console read(String container, long offset, int bytesMax) {
      try (var channel = FileChannel.open(directory(container).resolve("console.log"), StandardOpenOption.READ)) {
        var size = channel.size();
        var buffer = ByteBuffer.allocate(Math.clamp(size - offset, 0, bytesMax));
        var at = offset;
        while (buffer.hasRemaining()) {
          var count = channel.read(buffer, at);
          if (count < 0) {
            break;
          }
          at += count;
        }
        var bytes = new byte[buffer.position()];
        buffer.flip().get(bytes);
        return new Console(bytes, size);
      } catch (NoSuchFileException _) {
        return new Console(new byte[0], 0);
      } catch (IOException e) {
        throw new UncheckedIOException("The console of container " + container + " cannot be read: " + e.getMessage(), e);
      }
    }

    private Path directory(String container) {
      if (!Names.isValid(container)) {
        throw new IllegalArgumentException("The container name '" + container + "' " + Names.RULE);
      }
      return root.resolve(container);
    }
  }
}
