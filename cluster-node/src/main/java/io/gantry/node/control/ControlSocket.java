package io.gantry.node.control;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Where the control socket is. */
public final class ControlSocket {
  /** Name of the socket in the state directory. */
  public static final String FILE_NAME = "gantry.sock";

  /** State directory when nothing else is said. */
  public static final Path DEFAULT_STATE_DIRECTORY = Path.of("/var/lib/gantry");

  /** Environment variable that names the state directory. */
  public static final String STATE_DIRECTORY_VARIABLE = "GANTRY_STATE_DIR";

  /** {@code sun_path} has 108 bytes and the last must be zero (man 7 unix). */
  static final int PATH_BYTES_MAX = 107;

  private ControlSocket() {}

  /**
   * The socket of a state directory.
   *
   * @throws CommandException when the path is longer than a socket's name may be
   */
  public static Path in(Path stateDirectory) {
    Path socket = stateDirectory.toAbsolutePath().normalize().resolve(FILE_NAME);
    if (socket.toString().getBytes(StandardCharsets.UTF_8).length > PATH_BYTES_MAX) {
      throw new CommandException(
          ExitCode.USAGE,
          "The state directory's path is too long: the control socket " + socket + " would have a name of more than " + PATH_BYTES_MAX
              + " bytes, which Linux does not allow. Choose a shorter --state-dir.");
    }
    return socket;
  }

  /**
   * Finds the node a command is meant for: the option, else the environment, else the only node that runs on this host, else the
   * default state directory.
   */
  public static Path find(Optional<Path> option) {
    if (option.isPresent()) {
      return in(option.get());
    }
    String variable = System.getenv(STATE_DIRECTORY_VARIABLE);
    if (variable != null && !variable.isBlank()) {
      return in(Path.of(variable));
    }
    Path usual = in(DEFAULT_STATE_DIRECTORY);
    List<Path> listening = listening();
    if (listening.isEmpty() || listening.contains(usual)) {
      return usual;
    }
    if (listening.size() == 1) {
      return listening.getFirst();
    }
    var directories = new StringBuilder();
    for (Path socket : listening) {
      directories.append(directories.isEmpty() ? "" : ", ").append(socket.getParent());
    }
    throw new CommandException(
        ExitCode.USAGE,
        listening.size() + " nodes run on this host: say which one is meant with --state-dir or " + STATE_DIRECTORY_VARIABLE
            + ", which may be one of " + directories + ".");
  }

  /** Control sockets that somebody listens on, in this network namespace (man 5 proc_pid_net, {@code /proc/net/unix}). */
  static List<Path> listening() {
    var found = new ArrayList<Path>();
    try (var lines = Files.lines(Path.of("/proc/net/unix"))) {
      lines.forEach(
          line -> {
            // Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 (__SO_ACCEPTCON) marks a listening socket.
            String[] fields = line.trim().split("\\s+", 8);
            if (fields.length == 8
                && "00010000".equals(fields[3])
                && fields[7].startsWith("/")
                && fields[7].endsWith("/" + FILE_NAME)
                && !found.contains(Path.of(fields[7]))) {
              found.add(Path.of(fields[7]));
            }
          });
    } catch (IOException unreadable) {
      return List.of();
    }
    return found;
  }
}
