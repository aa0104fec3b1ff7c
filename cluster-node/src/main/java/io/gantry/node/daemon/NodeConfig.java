package io.gantry.node.daemon;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigException;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigParseOptions;
import io.gantry.actors.Fencing;
import io.gantry.actors.Names;
import io.gantry.actors.NodeSettings;
import io.gantry.checkpoint.HostPolicy;
import io.gantry.checkpoint.HostTrait;
import io.gantry.checkpoint.haul.StoragePolicy;
import io.gantry.checkpoint.host.HostTraits;
import io.gantry.checkpoint.network.NetworkPolicy;
import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.control.ControlSocket;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * What a node was told. Options win over the environment, and that over the file.
 *
 * <p>Keys of the file (HOCON, under {@code gantry}): {@code name}, {@code bind}, {@code port}, {@code pages-port}, {@code join} (a list),
 * {@code state-dir}, {@code runtime-root}, {@code moves-out-max}, {@code moves-in-max}, {@code rehearse},
 * {@code cpu-policy} ({@code superset} or {@code exact}), {@code refuse-differences} and {@code ignore-differences} (lists of names that
 * {@code gantry check --against} shows), {@code network.bridges} (which bridge here stands for one of another host) and
 * {@code network.hook} (see
 * {@link NetworkPolicy}), {@code storage.shared} (directories that are the same on every host), {@code storage.keep} (for how long files of containers that
 * are elsewhere are kept), {@code path-map} (where directories of other hosts are on this one), {@code fencing-command} (a list),
 * {@code fencing-after}, {@code fencing-deadline} (times); {@code akka} beside it is handed to the actor system.
 * Environment: {@code GANTRY_NAME}, {@code GANTRY_BIND}, {@code GANTRY_PORT}, {@code GANTRY_PAGES_PORT}, {@code GANTRY_JOIN}
 * (commas between), {@code GANTRY_STATE_DIR}, {@code GANTRY_CONFIG}.
 *
 * @param name unique in the cluster
 * @param bind IP address of this host that other nodes reach
 * @param port TCP port of the actor system
 * @param pagesPort UDP port for pages
 * @param join nodes to join; empty to begin a cluster
 * @param stateDirectory ledger, containers' directories, log, control socket
 * @param runtimeRoot where OCI runtimes keep their state; empty for each one's own choice
 * @param movesOutMax most moves out of this node at a time
 * @param movesInMax most moves into it
 * @param rehearse whether to move a throwaway process before the node is ready
 * @param hostPolicy how strictly hosts that containers come from are compared with this one
 * @param networkPolicy how containers that have a network of their own are connected
 * @param storagePolicy what this host shares with others, and for how long it keeps files of containers that are elsewhere
 * @param fencing what to do about a host that cannot be reached and that a container waits for
 * @param overrides the file's {@code akka} section
 */
public record NodeConfig(
    String name,
    String bind,
    int port,
    int pagesPort,
    List<String> join,
    Path stateDirectory,
    Optional<Path> runtimeRoot,
    int movesOutMax,
    int movesInMax,
    boolean rehearse,
    HostPolicy hostPolicy,
    NetworkPolicy networkPolicy,
    StoragePolicy storagePolicy,
    Fencing fencing,
    Config overrides) {
  /** UDP port for pages unless told otherwise. */
  public static final int PAGES_PORT_DEFAULT = 7751;

  private static final int MOVES_MAX_DEFAULT = 4;
  private static final Duration FENCING_DEADLINE_MAX = Duration.ofHours(1);

  /**
   * What was typed; empty where nothing was.
   *
   * @param file {@code --config}
   */
  public record Options(
      Optional<String> name,
      Optional<String> bind,
      Optional<Integer> port,
      Optional<Integer> pagesPort,
      List<String> join,
      Optional<Path> stateDirectory,
      Optional<Path> file,
      Optional<Boolean> rehearse) {}

  /**
   * Merges the three sources.
   *
   * @throws CommandException {@link ExitCode#USAGE} with a sentence that names the option, variable or key and what is wrong with it
   */
  public static NodeConfig resolve(Options options, Map<String, String> environment) {
    var variables = new Variables(environment);
    Config file = options.file().or(() -> variables.text("GANTRY_CONFIG").map(Path::of)).map(NodeConfig::read).orElse(ConfigFactory.empty());
    try {
      String name =
          options.name()
              .or(() -> variables.text("GANTRY_NAME"))
              .or(() -> text(file, "name"))
              .orElseThrow(() -> mistake("The node needs a name: --name NAME (or GANTRY_NAME, or gantry.name in the --config file)."));
      if (!Names.isValid(name)) {
        throw mistake("The node name '" + name + "' " + Names.RULE);
      }
      String bind =
          options.bind()
              .or(() -> variables.text("GANTRY_BIND"))
              .or(() -> text(file, "bind"))
              .orElseThrow(() -> mistake("The node needs the address at which others reach it: --bind ADDRESS (or GANTRY_BIND, or gantry.bind)."));
      int port = options.port().or(() -> variables.number("GANTRY_PORT")).or(() -> number(file, "port")).orElse(NodeSettings.PORT_DEFAULT);
      int pagesPort =
          options.pagesPort().or(() -> variables.number("GANTRY_PAGES_PORT")).or(() -> number(file, "pages-port")).orElse(PAGES_PORT_DEFAULT);
      List<String> join = options.join().isEmpty() ? variables.list("GANTRY_JOIN") : options.join();
      if (join.isEmpty() && file.hasPath("gantry.join")) {
        join = file.getStringList("gantry.join");
      }
      Path stateDirectory =
          options.stateDirectory()
              .or(() -> variables.text(ControlSocket.STATE_DIRECTORY_VARIABLE).map(Path::of))
              .or(() -> text(file, "state-dir").map(Path::of))
              .orElse(ControlSocket.DEFAULT_STATE_DIRECTORY);
      return new NodeConfig(
          name,
          address(bind),
          inRange("port", port, 0, 65535),
          inRange("pages port", pagesPort, 0, 65535),
          List.copyOf(join),
          stateDirectory.toAbsolutePath().normalize(),
          text(file, "runtime-root").map(stateDirectory.toAbsolutePath().normalize()::resolve),
          inRange("moves-out-max", number(file, "moves-out-max").orElse(MOVES_MAX_DEFAULT), 1, 64),
          inRange("moves-in-max", number(file, "moves-in-max").orElse(MOVES_MAX_DEFAULT), 1, 64),
          options.rehearse().orElse(!file.hasPath("gantry.rehearse") || file.getBoolean("gantry.rehearse")),
          hostPolicy(file),
          networkPolicy(file),
          storagePolicy(file, stateDirectory.toAbsolutePath().normalize()),
          fencing(file),
          file.hasPath("akka") ? file.getConfig("akka").atPath("akka") : ConfigFactory.empty());
    } catch (ConfigException wrong) {
      throw mistake("The configuration is wrong: " + wrong.getMessage() + ".");
    }
  }

  private static HostPolicy hostPolicy(Config file) {
    var cpu =
        switch (text(file, "cpu-policy").orElse("superset")) {
          case "superset" -> HostPolicy.Cpu.SUPERSET;
          case "exact" -> HostPolicy.Cpu.EXACT;
          default -> throw mistake("gantry.cpu-policy is superset or exact, not '" + file.getString("gantry.cpu-policy") + "'.");
        };
    return new HostPolicy(cpu, traits(file, "refuse-differences"), traits(file, "ignore-differences"));
  }

  private static NetworkPolicy networkPolicy(Config file) {
    var bridges = new HashMap<String, String>();
    if (file.hasPath("gantry.network.bridges")) {
      var wanted = file.getConfig("gantry.network.bridges");
      wanted.root().keySet().forEach(bridge -> bridges.put(bridge, String.valueOf(wanted.root().get(bridge).unwrapped())));
    }
    var hook = text(file, "network.hook").map(Path::of);
    hook.filter(path -> !path.isAbsolute() || !Files.isExecutable(path))
        .ifPresent(
            path -> {
              throw mistake("gantry.network.hook is the absolute path of a program, and " + path + " is none.");
            });
    return new NetworkPolicy(bridges, hook);
  }

  private static StoragePolicy storagePolicy(Config file, Path stateDirectory) {
    var shared = file.hasPath("gantry.storage.shared") ? file.getStringList("gantry.storage.shared") : List.<String>of();
    for (var path : shared) {
      if (!isAbsolute(path)) {
        throw mistake("gantry.storage.shared has absolute paths of directories, and '" + path + "' is none.");
      }
    }
    Duration keep = file.hasPath("gantry.storage.keep") ? file.getDuration("gantry.storage.keep") : StoragePolicy.KEEP_DEFAULT;
    var left = Optional.of(stateDirectory.resolve("left"));
    return new StoragePolicy(shared.stream().map(Path::of).toList(), keep, left, pathMap(file));
  }

  private static Map<Path, Path> pathMap(Config file) {
    var paths = new HashMap<Path, Path>();
    if (file.hasPath("gantry.path-map")) {
      file.getObject("gantry.path-map").unwrapped().forEach((from, to) -> {
        // A dot in a name that is not quoted would have made two keys of it.
        if (!isAbsolute(from) || !(to instanceof String here) || !isAbsolute(here)) {
          throw mistake(
              "gantry.path-map has absolute paths of other hosts and of this one, in quotation marks, and '" + from + " = " + to
                  + "' is none.");
        }
        paths.put(Path.of(from), Path.of(here));
      });
    }
    return paths;
  }

  private static boolean isAbsolute(String path) {
    return Path.of(path).isAbsolute() && Path.of(path).normalize().toString().equals(path);
  }

  private static Set<String> traits(Config file, String key) {
    var names = file.hasPath("gantry." + key) ? file.getStringList("gantry." + key) : List.<String>of();
    if (names.isEmpty()) {
      return Set.of();
    }
    var known = new HostTraits().read().stream().map(HostTrait::name).toList();
    for (String name : names) {
      if (!known.contains(name)) {
        throw mistake("gantry.%s names '%s', which is not compared. What is: %s.".formatted(key, name, String.join(", ", known)));
      }
    }
    return Set.copyOf(names);
  }

  private static Fencing fencing(Config file) {
    List<String> command = file.hasPath("gantry.fencing-command") ? file.getStringList("gantry.fencing-command") : List.of();
    if (command.isEmpty() != !file.hasPath("gantry.fencing-after")) {
      throw mistake(
          "gantry.fencing-command and gantry.fencing-after belong together: the command that makes sure that a host is off, and"
              + " for how long a container must have waited for that host before it is run, such as 60s.");
    }
    if (command.isEmpty()) {
      return Fencing.OFF;
    }
    Duration deadline =
        file.hasPath("gantry.fencing-deadline") ? file.getDuration("gantry.fencing-deadline") : Fencing.OFF.deadline();
    if (deadline.isZero() || deadline.compareTo(FENCING_DEADLINE_MAX) > 0) {
      throw mistake("gantry.fencing-deadline must be more than nothing and at most " + FENCING_DEADLINE_MAX.toSeconds() + "s.");
    }
    return new Fencing(command, file.getDuration("gantry.fencing-after"), deadline);
  }

  private static Config read(Path file) {
    if (!Files.isReadable(file) || Files.isDirectory(file)) {
      throw mistake(
          "The configuration file " + file + (Files.exists(file) ? " cannot be read by this user." : " does not exist.")
              + " Check --config and GANTRY_CONFIG.");
    }
    try {
      Config config = ConfigFactory.parseFile(file.toFile(), ConfigParseOptions.defaults().setAllowMissing(false)).resolve();
      var known = List.of("name", "bind", "port", "pages-port", "join", "state-dir", "runtime-root", "moves-out-max", "moves-in-max", "rehearse",
          "cpu-policy", "refuse-differences", "ignore-differences", "fencing-command", "fencing-after", "fencing-deadline",
          "network", "storage", "path-map");
      var unknown = new ArrayList<String>();
      if (config.hasPath("gantry")) {
        config.getObject("gantry").keySet().stream().filter(key -> !known.contains(key)).sorted().forEach(unknown::add);
      }
      if (!unknown.isEmpty()) {
        throw mistake(
            "The configuration file " + file + " has keys under gantry that are not known: " + String.join(", ", unknown) + ". Known are: "
                + String.join(", ", known) + ".");
      }
      return config;
    } catch (ConfigException wrong) {
      throw mistake("The configuration file " + file + " cannot be read: " + wrong.getMessage() + ".");
    }
  }

  private static String address(String bind) {
    try {
      InetAddress address = InetAddress.getByName(bind);
      if (address.isAnyLocalAddress()) {
        throw mistake("--bind " + bind + " means every address; give the one at which the other nodes reach this host.");
      }
      return address.getHostAddress();
    } catch (UnknownHostException unknown) {
      throw mistake("--bind " + bind + " is neither an IP address nor a name that can be resolved.");
    }
  }

  private static int inRange(String what, int value, int min, int max) {
    if (value < min || value > max) {
      throw mistake("The " + what + " must be " + min + " to " + max + ", not " + value + ".");
    }
    return value;
  }

  private static Optional<String> text(Config file, String key) {
    return file.hasPath("gantry." + key) ? Optional.of(file.getString("gantry." + key)) : Optional.empty();
  }

  private static Optional<Integer> number(Config file, String key) {
    return file.hasPath("gantry." + key) ? Optional.of(file.getInt("gantry." + key)) : Optional.empty();
  }

  private static CommandException mistake(String sentence) {
    return new CommandException(ExitCode.USAGE, sentence);
  }

  /** Environment variables; an empty one counts as not set. */
  private record Variables(Map<String, String> environment) {
    Optional<String> text(String name) {
      return Optional.ofNullable(environment.get(name)).filter(value -> !value.isBlank());
    }

    Optional<Integer> number(String name) {
      return text(name)
          .map(
              value -> {
                try {
                  return Integer.valueOf(value.strip());
                } catch (NumberFormatException wrong) {
                  throw mistake("The environment variable " + name + " must be a whole number, not '" + value + "'.");
                }
              });
    }

    List<String> list(String name) {
      return text(name).map(value -> Arrays.stream(value.split(",")).map(String::strip).filter(part -> !part.isEmpty()).toList()).orElse(List.of());
    }
  }
}
