package io.gantry.checkpoint.oci;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.checkpoint.CheckpointException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.stream.Collectors;

/**
 * A bundle: a directory with {@code config.json} (the OCI's runtime specification, {@code config.md} and {@code config-linux.md}).
 *
 * @param directory absolute
 * @param digest SHA-256 of {@code config.json}, lower-case hexadecimal
 * @param root the root file system, absolute
 * @param readOnly whether the program cannot write to it
 * @param terminal whether the program is to get a terminal
 * @param namespaces those that are made for it
 * @param mounts in their order
 * @param covered masked and read-only paths, which the runtime mounts something over
 * @param earlyHooks whether it has hooks that run while the runtime creates the container (config.md, POSIX-platform Hooks)
 */
public record OciBundle(
    Path directory,
    String digest,
    Path root,
    boolean readOnly,
    boolean terminal,
    List<Namespace> namespaces,
    List<Mount> mounts,
    List<String> covered,
    boolean earlyHooks) {
  private static final String CONFIG = "config.json";
  private static final List<String> EARLY_HOOKS = List.of("prestart", "createRuntime", "createContainer");
  private static final ObjectMapper JSON = new ObjectMapper();

  /** @param path of one to be joined; empty when it is made */
  record Namespace(String type, String path) {}

  /** @param source absolute for bind mounts */
  record Mount(String destination, String type, String source, List<String> options) {
    boolean isBind() {
      return type.equals("bind") || options.contains("bind") || options.contains("rbind");
    }

    boolean isWritable() {
      return !options.contains("ro");
    }
  }

  /** @throws CheckpointException when there is none, or it cannot be understood */
  public static OciBundle read(Path directory) {
    var file = directory.resolve(CONFIG);
    byte[] bytes;
    JsonNode config;
    try {
      bytes = Files.readAllBytes(file);
      config = JSON.readTree(bytes);
    } catch (IOException e) {
      throw new CheckpointException("the bundle's " + file + " cannot be read: " + e.getMessage(), e);
    }
    var namespaces = new ArrayList<Namespace>();
    config.path("linux").path("namespaces").forEach(one -> namespaces.add(new Namespace(one.path("type").asText(), one.path("path").asText(""))));
    var mounts = new ArrayList<Mount>();
    config.path("mounts").forEach(one -> mounts.add(mount(one, directory)));
    var covered = new ArrayList<String>();
    config.path("linux").path("maskedPaths").forEach(path -> covered.add(path.asText()));
    config.path("linux").path("readonlyPaths").forEach(path -> covered.add(path.asText()));
    var root = directory.resolve(config.path("root").path("path").asText("rootfs")).normalize();
    boolean readOnly = config.path("root").path("readonly").asBoolean(false);
    boolean terminal = config.path("process").path("terminal").asBoolean(false);
    var hooks = config.path("hooks");
    boolean early = EARLY_HOOKS.stream().anyMatch(name -> !hooks.path(name).isEmpty());
    return new OciBundle(
        directory,
        sha256(bytes),
        root,
        readOnly,
        terminal,
        List.copyOf(namespaces),
        List.copyOf(mounts),
        List.copyOf(covered),
        early);
  }

  /**
   * What the runtime is to be given when sources of bind mounts are elsewhere on this host: a bundle with this one's root file
   * system, whose {@code config.json} differs in nothing else.
   *
   * @param scratch directory for it, which is made when it is needed
   * @param here where a source is on this host
   * @return its directory; this one's own when every source is where the bundle says
   */
  Path forRuntime(Path scratch, UnaryOperator<Path> here) {
    if (sources().stream().allMatch(source -> here.apply(source).equals(source))) {
      return directory;
    }
    try {
      var config = (ObjectNode) JSON.readTree(Files.readAllBytes(directory.resolve(CONFIG)));
      ((ObjectNode) config.path("root")).put("path", root.toString());
      for (int i = 0; i < mounts.size(); i++) {
        if (mounts.get(i).isBind()) {
          ((ObjectNode) config.path("mounts").get(i)).put("source", here.apply(Path.of(mounts.get(i).source)).toString());
        }
      }
      Files.createDirectories(scratch);
      Files.write(scratch.resolve(CONFIG), JSON.writeValueAsBytes(config));
      return scratch;
    } catch (IOException e) {
      throw new CheckpointException("writing %s with the paths of this host: %s".formatted(scratch.resolve(CONFIG), e), e);
    }
  }

  private static Mount mount(JsonNode one, Path directory) {
    var options = new ArrayList<String>();
    one.path("options").forEach(option -> options.add(option.asText()));
    var mount = new Mount(one.path("destination").asText(), one.path("type").asText(""), one.path("source").asText(""), List.copyOf(options));
    return mount.isBind()
        ? new Mount(mount.destination, mount.type, directory.resolve(mount.source).normalize().toString(), mount.options)
        : mount;
  }

  private static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }

  /** Whether a namespace is made for it, and not shared with the host or joined. */
  public boolean makes(String type) {
    return namespaces.stream().anyMatch(one -> one.type.equals(type) && one.path.isEmpty());
  }

  /** Where the network namespace is that the container joins; empty when it shares the host's or has one made for it. */
  public Optional<Path> networkPath() {
    return namespace("network").map(Namespace::path).filter(path -> !path.isEmpty()).map(Path::of);
  }

  /** The directories that have all of the bundle: its own, and the root file system's when that lies elsewhere. */
  public List<Path> trees() {
    return root.startsWith(directory) ? List.of(directory) : List.of(directory, root);
  }

  /** What of the host the container sees beside its root file system: the sources of bind mounts, in their order. */
  public List<Path> sources() {
    return mounts.stream().filter(Mount::isBind).map(mount -> Path.of(mount.source)).toList();
  }

  /** Whether the program can change nothing in the {@link #trees}. */
  public boolean isConstant() {
    return readOnly
        && mounts.stream()
            .filter(mount -> mount.isBind() && mount.isWritable())
            .noneMatch(mount -> trees().stream().anyMatch(Path.of(mount.source)::startsWith));
  }

  /**
   * What is below these paths of the root file system the container does not see, because something is mounted there; without a
   * slash in front.
   */
  public Set<String> hidden() {
    var top = Path.of("/");
    return mounts.stream()
        .map(mount -> top.relativize(top.resolve(mount.destination).normalize()).toString())
        .collect(Collectors.toSet());
  }

  Optional<Namespace> namespace(String type) {
    return namespaces.stream().filter(one -> one.type.equals(type)).findFirst();
  }

  /** Where a file of the container lies on the host; empty when it is on a file system that is made for the container alone. */
  public Optional<Path> onHost(String path) {
    var best = mounts.stream()
        .filter(mount -> path.equals(mount.destination) || path.startsWith(withSlash(mount.destination)))
        .max(java.util.Comparator.comparingInt(mount -> mount.destination.length()));
    if (best.isEmpty()) {
      return Optional.of(Path.of(root + path));
    }
    return best.filter(Mount::isBind).map(mount -> Path.of(mount.source + path.substring(mount.destination.length())));
  }

  private static String withSlash(String directory) {
    return directory.endsWith("/") ? directory : directory + "/";
  }
}
