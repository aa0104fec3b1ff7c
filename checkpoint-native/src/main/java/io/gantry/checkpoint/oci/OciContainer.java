package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.io.StringReader;
import java.nio.channels.FileChannel;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.Properties;

/**
 * What a host remembers of a container that a runtime has made, in the container's own directory, where a restarted agent finds it.
 *
 * @param origin how it was made
 * @param stateRoot where the runtime keeps its state; empty for the runtime's own choice
 * @param adopted whether somebody else has made it, on this host
 */
public record OciContainer(OciOrigin origin, Optional<Path> stateRoot, boolean adopted) {
  private static final String FILE = "runtime.properties";

  /** The one whose directory this is; empty when it is no runtime's. */
  public static Optional<OciContainer> of(Path directory) {
    try {
      var said = new Properties();
      said.load(new StringReader(Files.readString(directory.resolve(FILE))));
      var origin = new OciOrigin(said.getProperty("runtime"), said.getProperty("id"), said.getProperty("bundle"), said.getProperty("digest"));
      return Optional.of(
          new OciContainer(origin, Optional.ofNullable(said.getProperty("state-root")).map(Path::of), Boolean.parseBoolean(said.getProperty("adopted"))));
    } catch (NoSuchFileException none) {
      return Optional.empty();
    } catch (IOException e) {
      throw new CheckpointException("reading " + directory.resolve(FILE) + ": " + e.getMessage(), e);
    }
  }

  /**
   * Another container of this host that is made from the same files.
   *
   * @param directory the container's own, beside which those of the others are
   * @param trees directories with its files
   * @return what its runtime calls it
   */
  static Optional<String> sharing(Path directory, List<Path> trees) {
    try (var beside = Files.list(directory.toAbsolutePath().getParent())) {
      return beside
          .filter(other -> Files.isDirectory(other) && !other.getFileName().equals(directory.getFileName()))
          .flatMap(other -> of(other).stream())
          .filter(other -> trees.stream().anyMatch(tree -> overlap(tree, Path.of(other.origin().bundle()))))
          .map(other -> other.origin().id())
          .findFirst();
    } catch (IOException e) {
      throw new CheckpointException("looking for other containers beside " + directory + ": " + e, e);
    }
  }

  private static boolean overlap(Path one, Path other) {
    return one.startsWith(other) || other.startsWith(one);
  }

  /** Durable when this returns. */
  public void remember(Path directory) {
    var text = new StringBuilder();
    text.append("# How this container was made, for the agent.\n");
    line(text, "runtime", origin.runtime());
    line(text, "id", origin.id());
    line(text, "bundle", origin.bundle());
    line(text, "digest", origin.digest());
    stateRoot.ifPresent(root -> line(text, "state-root", root.toString()));
    line(text, "adopted", Boolean.toString(adopted));
    try (var file =
        FileChannel.open(directory.resolve(FILE), StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
      file.write(ByteBuffer.wrap(text.toString().getBytes(StandardCharsets.UTF_8)));
      file.force(true);
    } catch (IOException e) {
      throw new CheckpointException("writing " + directory.resolve(FILE) + ": " + e.getMessage(), e);
    }
  }

  private static void line(StringBuilder text, String key, String value) {
    text.append(key).append('=').append(value.replace("\\", "\\\\").replace("\n", "\\n")).append('\n');
  }

  /** Idempotent. */
  public static void forget(Path directory) {
    try {
      Files.deleteIfExists(directory.resolve(FILE));
    } catch (IOException e) {
      throw new CheckpointException("removing " + directory.resolve(FILE) + ": " + e.getMessage(), e);
    }
  }

  public OciRuntime runtime() {
    return OciRuntime.find(origin.runtime(), stateRoot);
  }
}
