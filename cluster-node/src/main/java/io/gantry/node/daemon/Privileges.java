package io.gantry.node.daemon;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Whether this process may do what the engine needs. */
public final class Privileges {
  private Privileges() {}

  /** True when the effective user is root (line {@code Uid:} of {@code /proc/self/status}, man 5 proc_pid_status). */
  public static boolean isRoot() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("Uid:")) {
          return "0".equals(line.split("\\s+")[2]);
        }
      }
      return false;
    } catch (IOException unreadable) {
      return false;
    }
  }

  /**
   * Fails unless root.
   *
   * @param what begins the sentence, such as {@code "gantry node"}
   * @param why what root is needed for
   */
  public static void requireRoot(String what, String why) {
    if (!isRoot()) {
      throw new CommandException(
          ExitCode.NOT_ROOT, what + " needs root: " + why + ". Run it again with sudo, or as root.");
    }
  }
}
