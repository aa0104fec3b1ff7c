package io.gantry.checkpoint.oci;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.shm.ContainerShm;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What a container of a runtime has that the runtime of another host would not make from the same bundle. Looks from outside. Any thread. */
public final class OciObstacles {
  private static final Set<String> DEVICES = Set.of("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty");
  /** What a runtime makes in a {@code /dev} of its own (config-linux.md, Default Devices and Dev symbolic links), beside devices and links. */
  private static final Set<String> DIRECTORIES = Set.of("pts", "shm", "mqueue", "console");

  private final OciBundle bundle;
  private final int root;
  private final List<Finding> findings = new ArrayList<>();

  private OciObstacles(OciBundle bundle, int root) {
    this.bundle = bundle;
    this.root = root;
  }

  /**
   * @param root its first process, as the host counts
   */
  public static List<Finding> of(OciOrigin origin, int root) {
    OciBundle bundle;
    try {
      bundle = OciBundle.read(Path.of(origin.bundle()));
    } catch (CheckpointException unreadable) {
      return List.of(new Finding(0, -1, "bundle", unreadable.getMessage()));
    }
    var obstacles = new OciObstacles(bundle, root);
    if (!bundle.digest().equals(origin.digest())) {
      obstacles.add("bundle", bundle.directory() + "/config.json was changed since the container was made from it; put the old one back");
    }
    obstacles.findings.addAll(ofNamespaces(bundle));
    obstacles.mounts();
    obstacles.findings.addAll(OciNetwork.obstacles(bundle, root));
    return List.copyOf(obstacles.findings);
  }

  /** What can be said before the container is made. */
  public static List<Finding> ofNamespaces(OciBundle bundle) {
    var findings = new ArrayList<Finding>();
    for (String needed : List.of("pid", "mount")) {
      if (!bundle.makes(needed)) {
        findings.add(new Finding(0, -1, "namespace", "its config.json asks for no %s namespace of its own, which a move needs; add it".formatted(needed)));
      }
    }
    if (bundle.namespace("user").isPresent() && !bundle.makes("user")) {
      findings.add(
          new Finding(
              0,
              -1,
              "user namespace",
              "it joins a user namespace that somebody else has made, which the destination's would not be; give it uidMappings and"
                  + " gidMappings"));
    }
    if (bundle.namespace("time").isPresent()) {
      findings.add(new Finding(0, -1, "time namespace", "its config.json asks for a time namespace, which a move makes itself; leave \"time\" out"));
    }
    for (String type : List.of("ipc", "uts", "cgroup")) {
      if (bundle.namespace(type).isPresent() && !bundle.makes(type)) {
        findings.add(new Finding(0, -1, "namespace", "it shares the %s namespace of other processes, which would stay behind".formatted(type)));
      }
    }
    if (bundle.terminal()) {
      findings.add(
          new Finding(0, -1, "terminal", "its program has a terminal whose other end is outside; set \"terminal\" to false in its config.json"));
    }
    return findings;
  }

  private void add(String kind, String sentence) {
    findings.add(new Finding(root, -1, kind, sentence));
  }

  private void mounts() {
    MountTable table;
    try {
      table = MountTable.of(root);
    } catch (NoSuchFileException ended) {
      return;
    }
    for (var row : table.rows()) {
      if (!isExplained(row)) {
        add("mount", "%s is mounted at %s, which its config.json does not ask for; unmount it".formatted(row.type(), row.point()));
      }
      boolean asked = bundle.mounts().stream().anyMatch(mount -> mount.type().equals("tmpfs") && mount.destination().equals(row.point()));
      // What is in /dev/shm travels, as it does for every container.
      if (row.type().equals("tmpfs") && asked && !row.point().equals(ContainerShm.PATH)) {
        contents(row.point());
      }
    }
  }

  private boolean isExplained(MountTable.Row row) {
    String point = row.point();
    return point.equals("/")
        || bundle.covered().contains(point)
        || DEVICES.contains(point)
        || bundle.mounts().stream()
            .anyMatch(
                mount ->
                    point.equals(mount.destination())
                        || point.startsWith(mount.destination() + "/") && (mount.options().contains("rbind") || row.isCgroup()));
  }

  /** A file system in memory is empty at the destination. */
  private void contents(String point) {
    var start = Path.of("/proc/" + root + "/root" + point);
    var found = new ArrayList<Path>();
    try {
      var device = Files.getAttribute(start, "unix:dev");
      Files.walkFileTree(start, new SimpleFileVisitor<>() {
        @Override
        public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) throws IOException {
          if (directory.equals(start)) {
            return FileVisitResult.CONTINUE;
          }
          boolean mounted = !Files.getAttribute(directory, "unix:dev").equals(device);
          if (!mounted && !isRuntimes(directory)) {
            found.add(directory);
          }
          return FileVisitResult.SKIP_SUBTREE;
        }

        @Override
        public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
          if (!(isRuntimes(file) || point.equals("/dev") && (attributes.isOther() && isDevice(file) || attributes.isSymbolicLink()))) {
            found.add(file);
          }
          return FileVisitResult.CONTINUE;
        }

        private boolean isRuntimes(Path path) {
          return point.equals("/dev") && DIRECTORIES.contains(path.getFileName().toString());
        }

        @Override
        public FileVisitResult visitFileFailed(Path file, IOException gone) {
          return FileVisitResult.CONTINUE;
        }
      });
    } catch (NoSuchFileException gone) {
      return;
    } catch (IOException e) {
      throw new UncheckedIOException("looking at the files in " + start, e);
    }
    if (!found.isEmpty()) {
      add(
          "file in memory",
          "the tmpfs at %s has %d files, which cannot be carried (%s); let it keep them in a directory, or remove them"
              .formatted(point, found.size(), found.getFirst().getFileName()));
    }
  }

  private static boolean isDevice(Path file) {
    try {
      // S_IFCHR of stat(2)
      return ((int) Files.getAttribute(file, "unix:mode") & 0170000) == 0020000;
    } catch (IOException gone) {
      return false;
    }
  }

  /**
   * Who was put into the container from outside, as by {@code runc exec}: their parents stay behind. Those whom the runtime has put into other control
   * groups than those that are frozen are among them.
   *
   * @param pids the processes of the container's control group, as the host counts
   * @param root the first of them
   * @return these and their descendants, each with what is to be said
   */
  public static Map<Integer, Finding> outsiders(Collection<Integer> pids, int root) {
    Map<Integer, Integer> parents = new HashMap<>();
    var all = new LinkedHashSet<>(pids);
    all.addAll(sharers(root));
    for (int pid : all) {
      try {
        parents.put(pid, TaskStatus.ofProcess(pid).parent());
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    Map<Integer, Finding> found = new LinkedHashMap<>();
    for (int pid : parents.keySet()) {
      int top = pid;
      while (top != root && parents.containsKey(parents.get(top))) {
        top = parents.get(top);
      }
      if (top != root) {
        found.put(
            pid,
            new Finding(
                pid, -1, "process from outside", "it was put into the container from outside (as by runc exec), and its parent would stay behind; end it first"));
      }
    }
    return found;
  }

  /** Everybody in the pid namespace of a process. */
  private static List<Integer> sharers(int root) {
    var found = new ArrayList<Integer>();
    try {
      var namespace = Files.readSymbolicLink(Path.of("/proc/" + root + "/ns/pid"));
      for (int pid : ProcText.numbers("/proc")) {
        try {
          if (Files.readSymbolicLink(Path.of("/proc/" + pid + "/ns/pid")).equals(namespace)) {
            found.add(pid);
          }
        } catch (IOException ended) {
          continue;
        }
      }
    } catch (IOException ended) {
      return List.of();
    }
    return found;
  }
}
