package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.testing.Workload;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.ServedTask;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.awaitility.Awaitility;

/**
 * Moves the descriptors of test workload {@code descriptors} from the processes that opened them to processes of the same
 * numbers in
 * another pid namespace.
 */
final class Move implements AutoCloseable {
  private static final Duration LIMIT = Duration.ofSeconds(10);

  private final String kind;
  private final Path directory;
  private final Workload source;
  private final List<ProcessRef> sourceProcesses;
  private Workload target;
  private final Map<Integer, ServedTask> stubs = new LinkedHashMap<>();

  private Move(String kind, Path directory, Workload source) {
    this.kind = kind;
    this.directory = directory;
    this.source = source;
    this.sourceProcesses = tree(source.pid());
  }

  /** Starts a workload that opens {@code kind} and waits until it has. */
  static Move begin(String kind, Path directory) {
    assertThat(System.getProperty("user.name")).as("these tests run as root").isEqualTo("root");
    var source = Workload.run(kind, namespaced("open", kind, directory.toString()));
    try {
      source.awaitLine("ready", LIMIT);
      var move = new Move(kind, directory, source);
      if (!kind.equals("deleted")) {
        move.awaitQuiet();
      }
      return move;
    } catch (RuntimeException | Error e) {
      source.close();
      throw e;
    }
  }

  /** Starts any program with its console in a file and waits until {@code ready} says that it has opened what it opens. */
  static Move beginProgram(Path directory, Predicate<String> ready, String... command) {
    var quoted = new ArrayList<>(List.of("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"));
    quoted.add("exec \"$@\" </dev/null >" + directory.resolve("console.log") + " 2>&1");
    quoted.add("sh");
    quoted.addAll(List.of(command));
    var source = Workload.run(command[0], quoted);
    try {
      Awaitility.await()
          .atMost(Duration.ofSeconds(20))
          .pollInterval(Duration.ofMillis(20))
          .until(
              () ->
                  Files.exists(directory.resolve("console.log"))
                      && ready.test(Files.readString(directory.resolve("console.log"))));
      return new Move("nothing", directory, source);
    } catch (RuntimeException | Error e) {
      source.close();
      throw e;
    }
  }

  private static List<String> namespaced(String... arguments) {
    var command = new ArrayList<>(List.of("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"));
    command.add(Workload.compile("descriptors").toString());
    command.addAll(List.of(arguments));
    return command;
  }

  /** The workload lets go of its console right after it has said "ready". */
  void awaitQuiet() {
    Awaitility.await()
        .atMost(LIMIT)
        .pollInterval(Duration.ofMillis(2))
        .until(
            () ->
                sourceProcesses.stream()
                    .allMatch(process -> linkOf(process.pid(), 0).equals("/dev/null") && linkOf(process.pid(),
                        2).equals("/dev/null")));
    // One more descriptor is open for a moment.
    Awaitility.await()
        .atMost(LIMIT)
        .pollInterval(Duration.ofMillis(2))
        .until(() -> sourceProcesses.stream().allMatch(process -> state(process.pid()) == 'S'));
  }

  private static char state(int pid) {
    try {
      var stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
      return stat.charAt(stat.lastIndexOf(')') + 2);
    } catch (IOException gone) {
      return 'Z';
    }
  }

  /** A first thread that has ended is no proof: the others may still hold the descriptors. */
  private static boolean isGone(int pid) {
    var threads = Path.of("/proc/" + pid + "/task").toFile().list();
    return threads == null || (threads.length <= 1 && state(pid) == 'Z');
  }

  static String linkOf(int pid, int fd) {
    try {
      return Files.readSymbolicLink(Path.of("/proc/" + pid + "/fd/" + fd)).toString();
    } catch (IOException e) {
      return "";
    }
  }

  /** The processes below {@code unshare}, by their numbers in the new namespace. */
  private static List<ProcessRef> tree(int launcher) {
    var found = new ArrayList<ProcessRef>();
    var open = new ArrayList<>(List.of(launcher));
    while (!open.isEmpty()) {
      int pid = open.removeFirst();
      try {
        for (var child : Files.readString(Path.of("/proc/" + pid + "/task/" + pid + "/children")).split(" ")) {
          if (!child.isBlank()) {
            int host = Integer.parseInt(child.strip());
            var line = Files.readAllLines(Path.of("/proc/" + host + "/status")).stream().filter(l ->
                l.startsWith("NSpid")).findFirst();
            found.add(new ProcessRef(host, Integer.parseInt(line.orElseThrow().replaceFirst(".*\t", ""))));
            open.add(host);
          }
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return found;
  }

  Workload source() {
    return source;
  }

  List<ProcessRef> processes() {
    return sourceProcesses;
  }

  Path directory() {
    return directory;
  }

  DescriptorCapture.Captured capture() {
    return DescriptorCapture.capture(sourceProcesses);
  }

  /** Ends the processes that had the descriptors first. */
  void endSource() {
    source.close();
    // The launcher is gone at once; its tree dies a moment later.
    Awaitility.await()
        .atMost(LIMIT)
        .pollInterval(Duration.ofMillis(2))
        .until(() -> sourceProcesses.stream().allMatch(process -> isGone(process.pid())));
  }

  Map<Integer, RemoteTask> startStubs() {
    int count = sourceProcesses.size();
    var area = directory.resolve("area");
    try {
      Files.write(area, new byte[count * ServedTask.AREA_BYTES]);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    target = Workload.run("stubs", namespaced("serve", area.toString(), Integer.toString(count)));
    target.awaitLine("ready", LIMIT);
    var pids = tree(target.pid());
    assertThat(pids).hasSize(count);
    for (var process : pids) {
      stubs.put(process.nsPid(), new ServedTask(area, process.nsPid() - 1, process.pid()));
    }
    return new HashMap<>(stubs);
  }

  int stubPid() {
    return stubs.get(1).pid();
  }

  /** Recreates, arms timers, and compares what the stubs have now with what was captured. */
  DescriptorArrival recreate(descriptors_entry image, FileContentReceiver received, Map<FileIdentity, Integer> objects) {
    var tasks = new HashMap<Integer, RemoteTask>(stubs);
    var arrival = DescriptorArrival.recreate(image, tasks, received, objects);
    arrival.armTimers(tasks);
    var again = DescriptorCapture.capture(stubs.entrySet().stream().map(e -> new ProcessRef(e.getValue().pid(),
        e.getKey())).toList());
    assertThat(Canonical.of(again.state())).isEqualTo(Canonical.of(image));
    return arrival;
  }

  /** Everything in one: the source ends before the stubs get its descriptors. */
  void all() {
    var captured = capture();
    endSource();
    startStubs();
    try (var received = new FileContentReceiver(directory.resolve("console.log"), this::stubPid)) {
      recreate(captured.state(), received, Map.of());
    }
    verify();
  }

  /** Asks each stub from inside. */
  void verify() {
    stubs.forEach(
        (nsPid, stub) ->
            assertThat(stub.verify(kind, directory.toString())).as("line of descriptors.c that process %d objects to", nsPid)
                .isZero());
  }

  @Override
  public void close() {
    source.close();
    if (target != null) {
      target.close();
    }
  }
}
