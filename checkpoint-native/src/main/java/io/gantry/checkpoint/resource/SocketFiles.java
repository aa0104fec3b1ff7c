package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;

/**
 * Files of Unix sockets that wait, hidden, to be put where they belong when the copy takes over: before that the name may still
 * lead to
 * the original's socket. The list is kept in the host's own directory for the container, so that it outlives the agent. One
 * thread.
 */
public final class SocketFiles {
  /** Name of the list in the host's own directory of a container. */
  public static final String LIST = "socket-files";

  /** @param directory hidden directory; @param file in it; @param destination where it belongs; all below the container's root */
  record Waiting(String directory, String file, String destination) {}

  private SocketFiles() {}

  /** @param list where to note them */
  static void remember(List<Waiting> waiting, Path list) {
    var lines = new ArrayList<String>();
    for (var each : waiting) {
      lines.add(String.join(" ", hex(each.directory), hex(each.file), hex(each.destination)));
    }
    try {
      Files.write(list, lines);
    } catch (IOException e) {
      throw new CheckpointException("noting the socket files of a copy in " + list + ": " + e, e);
    }
  }

  /**
   * Puts every file where it belongs, in place of whatever socket file is there; does nothing when that was done before.
   *
   * @param root the container's root directory as this process reaches it
   * @param list where they were noted; removed
   */
  public static void putInPlace(Path root, Path list) {
    for (var each : read(list)) {
      var file = below(root, each.file);
      try {
        if (Files.exists(file)) {
          Files.move(file, below(root, each.destination), StandardCopyOption.ATOMIC_MOVE);
        }
        removeTree(below(root, each.directory));
      } catch (IOException e) {
        throw new CheckpointException("putting the Unix socket's file " + each.destination + " in its place: " + e, e);
      }
    }
    forget(list);
  }

  /** Removes files that are not needed after all; those that cannot be reached any more went with the container's mounts. */
  public static void discard(Path root, Path list) {
    for (var each : read(list)) {
      try {
        removeTree(below(root, each.directory));
      } catch (IOException e) {
        throw new CheckpointException("removing the hidden directory " + each.directory + " of a copy's Unix socket: " + e, e);
      }
    }
    forget(list);
  }

  private static List<Waiting> read(Path list) {
    if (!Files.exists(list)) {
      return List.of();
    }
    try {
      return Files.readAllLines(list).stream()
          .map(line -> line.split(" "))
          .map(words -> new Waiting(text(words[0]), text(words[1]), text(words[2])))
          .toList();
    } catch (IOException e) {
      throw new CheckpointException("reading " + list + ": " + e, e);
    }
  }

  private static void forget(Path list) {
    try {
      Files.deleteIfExists(list);
    } catch (IOException e) {
      throw new CheckpointException("removing " + list + ": " + e, e);
    }
  }

  private static Path below(Path root, String path) {
    return root.resolve(path.substring(1));
  }

  /** Removes a directory with everything in it, when it is there. */
  static void removeTree(Path directory) throws IOException {
    if (!Files.exists(directory)) {
      return;
    }
    try (var all = Files.walk(directory)) {
      for (var path : all.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(path);
      }
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  private static String hex(String text) {
    return HexFormat.of().formatHex(text.getBytes(StandardCharsets.UTF_8));
  }

  private static String text(String hex) {
    return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
  }
}
