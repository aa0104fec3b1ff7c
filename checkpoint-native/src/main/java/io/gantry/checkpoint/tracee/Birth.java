package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.ContainerSpec;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.Wait;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.IntConsumer;

/** How a container comes into being: a stub tree of one process that is told to {@code exec} the command. Any thread. */
public final class Birth {
  /** The console's file in {@link ContainerSpec#directory()}. */
  public static final String CONSOLE = "console.log";

  private static final Duration LIMIT = Duration.ofSeconds(30);
  private static final Duration REMOVE_MAX = Duration.ofSeconds(10);
  private static final Duration REAP_MAX = Duration.ofSeconds(10);
  private static final int CONSOLE_MODE = 0640;
  private static final int UMASK = 022;
  private static final String DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  /** Field of {@code /proc/PID/stat} behind the program's name; {@code starttime} is the 22nd of all. */
  private static final int START_TIME = 19;

  private Birth() {}

  /** As below, in the agent's network. */
  public static ContainerHandle create(ContainerSpec spec, String group) {
    return create(spec, group, pid -> {});
  }

  /**
   * Creates cgroup, namespaces, console and process. When this returns the command runs and depends on nothing of the agent's.
   *
   * @param group directory below Gantry's own in the cgroup v2 hierarchy, created when it is missing
   * @param network makes and connects the network of the process with this id, when the specification wants one
   * @throws CheckpointException when the program cannot be found or started, or the name is in use; nothing is left behind
   */
  public static ContainerHandle create(ContainerSpec spec, String group, IntConsumer network) {
    if (!Files.isDirectory(spec.workingDirectory())) {
      throw new CheckpointException("working directory " + spec.workingDirectory() + " does not exist");
    }
    var program = findProgram(spec);
    var console = spec.directory().resolve(CONSOLE);
    boolean consoleIsNew = !Files.exists(console);
    var cgroup = Cgroup.create(group + "/" + spec.name());
    try (var tracer = new TracerThread("birth of " + spec.name())) {
      return tracer.call(() -> create(spec, program, cgroup, network), LIMIT);
    } catch (RuntimeException failed) {
      undo(cgroup, consoleIsNew, console, failed);
      throw failed;
    }
  }

  private static void undo(Cgroup cgroup, boolean consoleIsNew, Path console, RuntimeException failed) {
    try {
      cgroup.kill();
      cgroup.awaitEmpty(REMOVE_MAX);
      cgroup.remove();
      if (consoleIsNew) {
        Files.deleteIfExists(console);
      }
    } catch (CheckpointException | IOException second) {
      failed.addSuppressed(second);
    }
  }

  private static ContainerHandle create(ContainerSpec spec, Path program, Cgroup cgroup, IntConsumer network) {
    try (var tree = StubTree.begin(spec.name(), cgroup.path(), spec.directory(), Optional.empty(), spec.network().isPresent())) {
      var init = tree.root();
      // The agent may have precedence; a container has none.
      Scheduling.setNice(init.pid(), 0);
      if (spec.network().isPresent()) {
        network.accept(init.pid());
      }
      openConsole(init, spec.workingDirectory());
      execute(init, spec, program);
      long startTicks = startTicks(init.pid());
      tree.release();
      return new ContainerHandle(spec.name(), init.pid(), startTicks, cgroup.path(), spec.directory());
    }
  }

  private static void openConsole(Stub init, Path workingDirectory) {
    var batch = init.newBatch();
    batch.call("setsid", SyscallNumber.SETSID);
    batch.call("opening /dev/null", SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string("/dev/null"), Fd.O_RDWR, 0);
    var console =
        batch.call(
            "opening the console",
            SyscallNumber.OPENAT,
            Fd.AT_FDCWD,
            batch.string(StubTree.HOST_DIRECTORY_INSIDE.resolve(CONSOLE).toString()),
            Fd.O_WRONLY | Fd.O_APPEND | Fd.O_CREAT | Fd.O_NOCTTY,
            CONSOLE_MODE);
    batch.call("dup of the console", SyscallNumber.DUP, 0).link(0, console);
    batch.call("umask", SyscallNumber.UMASK, UMASK);
    batch.call("changing to directory " + workingDirectory, SyscallNumber.CHDIR, batch.string(workingDirectory.toString()));
    init.run(batch);
  }

  private static void execute(Stub init, ContainerSpec spec, Path program) {
    var batch = init.newBatch();
    int bytes = 0;
    var environment = spec.environment().entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).sorted().toList();
    for (var strings : List.of(spec.command(), environment)) {
      bytes += strings.stream().mapToInt(s -> s.getBytes(StandardCharsets.UTF_8).length + 1 + 16 + 8).sum() + 24;
    }
    if (!batch.fits(1, bytes + program.toString().length() + 32)) {
      throw new CheckpointException("the command and its environment take " + bytes + " bytes, which is too much for a new container");
    }
    batch.attempt(
        "execve", SyscallNumber.EXECVE, batch.string(program.toString()), pointers(batch, spec.command()), pointers(batch, environment));
    int error = init.execute(batch);
    if (error != 0) {
      throw new CheckpointException(
          "cannot start "
              + program
              + ": "
              + Errno.describe(error)
              + switch (error) {
                case Errno.ENOENT -> "; the interpreter that it names is missing";
                case Errno.ENOEXEC -> "; it is neither an ELF program for this machine nor does it begin with #!";
                default -> "";
              });
    }
  }

  static long pointers(CallBatch batch, List<String> strings) {
    var array = ByteBuffer.allocate(8 * (strings.size() + 1)).order(ByteOrder.LITTLE_ENDIAN);
    strings.forEach(string -> array.putLong(batch.string(string)));
    return batch.bytes(array.array());
  }

  /** As a shell would: along PATH unless the name has a slash. */
  private static Path findProgram(ContainerSpec spec) {
    if (spec.command().isEmpty()) {
      throw new CheckpointException("container " + spec.name() + " has no command to run");
    }
    String name = spec.command().getFirst();
    if (name.contains("/")) {
      var program = spec.workingDirectory().resolve(name);
      if (!Files.isRegularFile(program)) {
        throw new CheckpointException("program " + program + " does not exist");
      }
      if (!Files.isExecutable(program)) {
        throw new CheckpointException("file " + program + " is not executable; chmod +x would help");
      }
      return program;
    }
    String path = spec.environment().getOrDefault("PATH", DEFAULT_PATH);
    for (String directory : path.split(":")) {
      var program = spec.workingDirectory().resolve(directory).resolve(name);
      if (!name.isEmpty() && Files.isRegularFile(program) && Files.isExecutable(program)) {
        return program;
      }
    }
    throw new CheckpointException("program \"" + name + "\" was not found in PATH (" + path + ")");
  }

  /** Start time of a process in clock ticks since the host started, which tells it from a later one with the same id. */
  public static long startTicks(int pid) {
    return startTicks(Fd.readAll("/proc/" + pid + "/stat"));
  }

  private static long startTicks(byte[] bytes) {
    String stat = new String(bytes, StandardCharsets.US_ASCII);
    return Long.parseLong(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[START_TIME]);
  }

  /**
   * Exit status of a container's first process when it has ended: 0 to 255, or 128 plus the signal. Empty while it lives, and when this
   * agent is not its parent because it was restarted. Asks for that one process only, so Java's own children are not touched.
   */
  public static OptionalInt exitStatus(ContainerHandle container) {
    int status = Wait.exitStatus(container.initPid(), false);
    return status < 0 ? OptionalInt.empty() : OptionalInt.of(status);
  }

  /**
   * Lets the kernel forget the container's first process, which has been killed. A cgroup is empty a moment before the last process in it can be
   * reaped (kernel/exit.c: {@code cgroup_exit} comes before {@code exit_notify}), so this waits. Idempotent; does nothing when this agent is not its
   * parent because it was restarted, since then the host's own init reaps it.
   *
   * @throws CheckpointException when it does not end
   */
  public static void reap(ContainerHandle container) {
    int pid = container.initPid();
    long end = System.nanoTime() + REAP_MAX.toNanos();
    for (int turn = 0; isStill(container) && Wait.exitStatus(pid, true) == Wait.NOTHING; turn++) {
      if (System.nanoTime() > end) {
        throw new CheckpointException(
            "process " + pid + " of container " + container.name() + " was killed and has not ended within " + REAP_MAX.toMillis() + " ms");
      }
      StopWait.pause(turn);
    }
  }

  /** Whether the process id still means the container's first process, dead or alive. */
  private static boolean isStill(ContainerHandle container) {
    return Fd.readIfThere("/proc/" + container.initPid() + "/stat").filter(stat -> startTicks(stat) == container.initStartTicks()).isPresent();
  }
}
