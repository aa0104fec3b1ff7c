package io.gantry.node.daemon;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.Main;
import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** How to start this program once more, as a node: the same Java, the same classes, the node's own options. */
public final class JavaProcess {
  private JavaProcess() {}

  /** The {@code java} of this process. */
  public static Path java() {
    return Path.of(System.getProperty("java.home"), "bin", "java");
  }

  /**
   * The command line of a node in the foreground.
   *
   * @param arguments of {@code gantry node}
   */
  public static List<String> node(List<String> arguments) {
    var words = new ArrayList<String>();
    words.add("node");
    words.addAll(arguments);
    return of(Main.class, words);
  }

  /** The command line of a program of this jar, with the options of a node. */
  public static List<String> of(Class<?> program, List<String> arguments) {
    var command = new ArrayList<String>();
    command.add(java().toString());
    Path home = home();
    command.add("@" + home.resolve("bin").resolve("node.jvm"));
    command.add("-Dgantry.home=" + home);
    // The jar's manifest says the same, but only to -jar; and classes in directories have no manifest.
    command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED"));
    command.addAll(List.of("-cp", classPath(), program.getName()));
    command.addAll(arguments);
    return List.copyOf(command);
  }

  /** The class path with absolute entries, since a node runs in the root directory. */
  public static String classPath() {
    return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
        .map(entry -> Path.of(entry).toAbsolutePath().toString())
        .collect(Collectors.joining(File.pathSeparator));
  }

  /** Where this program is installed: what the launcher said, else the directory above this code that has {@code bin/node.jvm}. */
  public static Path home() {
    String property = System.getProperty("gantry.home");
    if (property != null) {
      return Path.of(property);
    }
    return fromCode()
        .orElseThrow(
            () ->
                new CommandException(
                    ExitCode.FAILED, "Gantry's own directory was not found (bin/node.jvm is missing); start it through bin/gantry."));
  }

  private static Optional<Path> fromCode() {
    try {
      Path place = Path.of(JavaProcess.class.getProtectionDomain().getCodeSource().getLocation().toURI());
      while (place != null && !Files.isRegularFile(place.resolve("bin/node.jvm"))) {
        place = place.getParent();
      }
      return Optional.ofNullable(place);
    } catch (URISyntaxException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /** Name of the command that starts a new session (util-linux, essential in Debian), so that the node outlives the terminal. */
  static final String SETSID = "setsid";

  /**
   * Starts a node in a session of its own; its standard output is a pipe, on which it says that it is ready.
   *
   * @param before stands before its command, and becomes it
   */
  static Process startDetached(List<String> before, List<String> nodeCommand, Path errors) throws IOException {
    var command = new ArrayList<>(before);
    command.add(SETSID);
    command.addAll(nodeCommand);
    return new ProcessBuilder(command)
        .directory(Path.of("/").toFile())
        .redirectInput(Path.of("/dev/null").toFile())
        .redirectOutput(ProcessBuilder.Redirect.PIPE)
        .redirectError(ProcessBuilder.Redirect.appendTo(errors.toFile()))
        .start();
  }
}
