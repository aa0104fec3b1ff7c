package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.ProcessVm;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.Scheduling;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TimeNamespace;
import io.gantry.checkpoint.linux.Wait;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.IntConsumer;

/**
 * An OCI runtime that creates a container while this looks on, so that the container's first process keeps the rights it was born with: those calls by
 * which it would give them up (ids, capabilities, {@code no_new_privs}, seccomp filters) are left out and reported as done. They are the last that a
 * runtime does before the program, and belong to what a copy is given at its very end; without rights it could not be made. Everything
 * else, namespaces, mounts, control groups, devices, is the runtime's own work. Then that process, which waits for the runtime's {@code start}, is
 * turned into a stub. Dies with the agent as long as it runs. Tracer thread only.
 */
final class WatchedRuntime {
  private static final int OPTIONS = Ptrace.OPTION_EXITKILL | Ptrace.OPTION_TRACEEXEC | Ptrace.OPTIONS_FOLLOW;
  private static final int OUTPUT_MODE = 0640;
  private static final Duration TAKEOVER_MAX = Duration.ofSeconds(10);

  /** {@code linux/prctl.h}: what gives up rights for good. */
  private static final Set<Long> PRCTL =
      Set.of(22L, 24L, 28L, 38L, 47L); // SET_SECCOMP, CAPBSET_DROP, SET_SECUREBITS, SET_NO_NEW_PRIVS, CAP_AMBIENT

  /** {@code SECCOMP_SET_MODE_FILTER}, {@code linux/seccomp.h}. */
  private static final long SECCOMP_FILTER = 1;

  private static final int LOOKS = 200;

  private static final int ROOM_BYTES = 4096;
  private static final int READ_WRITE = 3;
  private static final int PRIVATE_ANONYMOUS = 0x22;

  private final int runtime;
  private final List<String> command;
  private final long endNs;
  private final IntConsumer born;
  /** Tasks that are watched, by whether their call is being left out. Others are only followed. */
  private final Map<Integer, Boolean> watched = new HashMap<>();

  private final Set<Integer> followed = new HashSet<>();

  private WatchedRuntime(int runtime, List<String> command, IntConsumer born, Duration limit) {
    this.runtime = runtime;
    this.command = command;
    this.born = born;
    this.endNs = System.nanoTime() + limit.toNanos();
    followed.add(runtime);
  }

  /**
   * Runs {@code create} of a runtime to its end. The container's first process is then traced by this thread.
   *
   * @return the runtime's exit status, or 128 plus the signal that ended it
   */
  static int create(RuntimeCreation creation, Duration limit) {
    int pid = launch(creation.command(), creation.environment(), creation.output().toString());
    var watch = new WatchedRuntime(pid, creation.command(), creation::born, limit);
    try {
      Ptrace.setOptions(pid, OPTIONS);
      return watch.toItsEnd();
    } catch (RuntimeException failed) {
      watch.endAll();
      throw failed;
    }
  }

  /** The same without looking on: for a container that is to run its own program. */
  static int run(List<String> command, Map<String, String> environment, String output, Duration limit) {
    int pid = launch(command, environment, output);
    Ptrace.detach(pid, 0);
    int status = StopWait.await(pid, System.nanoTime() + limit.toNanos());
    if (!Wait.ended(status)) {
      Launcher.end(pid);
      throw new CheckpointException(String.join(" ", command) + " did not end within " + limit.toMillis() + " ms");
    }
    return exitStatus(status);
  }

  private static int exitStatus(int status) {
    int signal = status & 0x7f;
    return signal == 0 ? status >> 8 & 0xff : 128 + signal;
  }

  /** A child of this thread that stands still before the runtime's first instruction. */
  private static int launch(List<String> command, Map<String, String> environment, String output) {
    int pid = Launcher.start();
    try {
      var launcher = new Stub(null, pid, pid, Bench.OF_THE_PROGRAM);
      launcher.putCode();
      StubTree.prepareLauncher(launcher);
      launcher.moveBench(Bench.STANDARD, StubElf.ADDRESS, StubElf.SEGMENT_BYTES);
      // The agent may have precedence; a container has none.
      Scheduling.setNice(pid, 0);
      openStandardFiles(launcher, output);
      execute(launcher, command, environment);
      return pid;
    } catch (RuntimeException failed) {
      Launcher.end(pid);
      throw failed;
    }
  }

  private static void openStandardFiles(Stub launcher, String output) {
    var batch = launcher.newBatch();
    batch.call("opening /dev/null", SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string("/dev/null"), Fd.O_RDWR, 0);
    int flags = Fd.O_WRONLY | Fd.O_APPEND | Fd.O_CREAT | Fd.O_NOCTTY;
    var file = batch.call("opening " + output, SyscallNumber.OPENAT, Fd.AT_FDCWD, batch.string(output), flags, OUTPUT_MODE);
    batch.call("dup of the output", SyscallNumber.DUP, 0).link(0, file);
    batch.call("chdir(\"/\")", SyscallNumber.CHDIR, batch.string("/"));
    launcher.run(batch);
  }

  private static void execute(Stub launcher, List<String> command, Map<String, String> environment) {
    var batch = launcher.newBatch();
    var variables = environment.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).sorted().toList();
    batch.attempt(
        "execve", SyscallNumber.EXECVE, batch.string(command.getFirst()), Birth.pointers(batch, command), Birth.pointers(batch, variables));
    int error = launcher.execute(batch);
    if (error != 0) {
      throw new CheckpointException("cannot start " + command.getFirst() + ": " + Errno.describe(error));
    }
  }

  private int toItsEnd() {
    proceed(runtime, 0);
    for (int turn = 0; ; turn++) {
      var change = Wait.pollOfThisThread();
      if (change.tid() == 0) {
        if (System.nanoTime() > endNs) {
          throw new CheckpointException(String.join(" ", command) + " did not end in time");
        }
        // Another stop comes within microseconds, mostly.
        if (turn < LOOKS) {
          Thread.onSpinWait();
        } else {
          StopWait.pause(turn - LOOKS);
        }
        continue;
      }
      turn = -1;
      if (!Wait.stopped(change.status())) {
        followed.remove(change.tid());
        watched.remove(change.tid());
        if (change.tid() == runtime) {
          return exitStatus(change.status());
        }
      } else {
        stopped(change.tid(), change.status());
      }
    }
  }

  private void stopped(int tid, int status) {
    boolean isNew = followed.add(tid);
    if (isNew && isFirstOfContainer(tid)) {
      if (watched.isEmpty()) {
        born.accept(tid);
      }
      watched.put(tid, false);
    }
    int signal = Wait.stopSignal(status);
    int event = Wait.event(status);
    if (event == 0 && signal == Ptrace.SYSTEM_CALL_STOP) {
      systemCall(tid);
      proceed(tid, 0);
    } else if (event == Ptrace.EVENT_STOP && signal != Signals.SIGTRAP) {
      Ptrace.listen(tid);
    } else {
      proceed(tid, event == 0 ? signal : 0);
    }
  }

  private void proceed(int tid, int signal) {
    // Who was killed meanwhile says so by its end.
    if (watched.containsKey(tid)) {
      Ptrace.continueToSystemCall(tid, signal);
    } else {
      Ptrace.tryCont(tid, signal);
    }
  }

  /** Whether a task belongs to process 1 of a pid namespace other than this one. */
  private static boolean isFirstOfContainer(int tid) {
    try {
      var ids = TaskStatus.ofProcess(tid).ids("NStgid");
      return ids.size() > 1 && ids.getLast() == 1;
    } catch (NoSuchFileException ended) {
      return false;
    }
  }

  private void systemCall(int tid) {
    var entered = Ptrace.systemCallEntered(tid);
    if (entered.isPresent() && givesUpRights(entered.get())) {
      Registers.read(tid).with(Registers.ORIG_RAX, -1).write(tid);
      watched.put(tid, true);
    } else if (entered.isEmpty() && watched.put(tid, false) == Boolean.TRUE) {
      Registers.read(tid).with(Registers.RAX, 0).write(tid);
    }
  }

  /** Becoming root is no loss, and inside a new user namespace even the way to rights; asking for a filter without giving one is how libseccomp probes. */
  static boolean givesUpRights(long[] call) {
    return switch ((int) call[0]) {
      case SyscallNumber.CAPSET -> true;
      case SyscallNumber.PRCTL -> PRCTL.contains(call[1] & 0xffff_ffffL);
      case SyscallNumber.SECCOMP -> call[1] == SECCOMP_FILTER && call[3] != 0;
      case SyscallNumber.SETUID, SyscallNumber.SETGID, SyscallNumber.SETGROUPS -> (int) call[1] != 0;
      case SyscallNumber.SETREUID, SyscallNumber.SETREGID -> (int) call[1] != 0 || (int) call[2] != 0;
      case SyscallNumber.SETRESUID, SyscallNumber.SETRESGID -> (int) call[1] != 0 || (int) call[2] != 0 || (int) call[3] != 0;
      default -> false;
    };
  }

  private void endAll() {
    var all = new HashSet<>(followed);
    all.forEach(tid -> Signals.kill(tid, Signals.SIGKILL));
    long end = System.nanoTime() + TAKEOVER_MAX.toNanos();
    for (int turn = 0; System.nanoTime() < end; turn++) {
      var change = Wait.pollOfThisThread();
      if (change.status() == Wait.GONE) {
        return;
      }
      StopWait.pause(turn);
    }
  }

  /**
   * Makes a stub of a container's first process, which {@link #create} has left traced and which waits for the runtime's {@code start}: it stands still
   * before the program's first instruction.
   *
   * @param clocks offsets of a time namespace that it is to enter; without, it keeps the one it is in
   */
  static void takeOver(int pid, Optional<TimeNamespace.Offsets> clocks) {
    long end = System.nanoTime() + TAKEOVER_MAX.toNanos();
    // The other threads end with the exec.
    for (int tid : threads(pid)) {
      if (tid != pid) {
        Ptrace.interrupt(tid);
        awaitStop(tid, end);
        Ptrace.detach(tid, 0);
      }
    }
    Ptrace.interrupt(pid);
    awaitStop(pid, end);
    if (Ptrace.systemCallEntered(pid).isPresent()) {
      Registers.read(pid).with(Registers.ORIG_RAX, -1).write(pid);
      awaitSystemCallStop(pid, end);
    }
    var vdso = Mapping.of(pid).stream().filter(mapping -> mapping.name().equals(Mapping.VDSO)).findFirst().orElseThrow();
    long at = Vdso.systemCallAddress(pid, vdso.start(), (int) (vdso.end() - vdso.start()));
    long room = call(pid, at, end, "mmap", SyscallNumber.MMAP, 0, ROOM_BYTES, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0);
    // Empty string; name; list of arguments: the name and nothing; empty environment.
    byte[] name = Launcher.NAME.getBytes(StandardCharsets.US_ASCII);
    var bytes = ByteBuffer.allocate(128).order(ByteOrder.LITTLE_ENDIAN);
    bytes.put(16, name).putLong(64, room + 16);
    ProcessVm.write(pid, room, bytes.array(), bytes.capacity());
    long file = call(pid, at, end, "memfd_create", SyscallNumber.MEMFD_CREATE, room + 16, 1, 0, 0, 0, 0);
    int ours = Fd.open("/proc/" + pid + "/fd/" + file, Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    try {
      Fd.write(ours, StubElf.bytes());
    } finally {
      Fd.close(ours);
    }
    if (clocks.isPresent()) {
      // Entered by the exec (kernel/nsproxy.c: exec_task_namespaces).
      call(pid, at, end, "unshare(CLONE_NEWTIME)", SyscallNumber.UNSHARE, TimeNamespace.CLONE_NEWTIME, 0, 0, 0, 0, 0);
      TimeNamespace.setOfChildren(pid, clocks.get());
    }
    call(pid, at, end, "execveat", SyscallNumber.EXECVEAT, file, room, room + 64, room + 72, Fd.AT_EMPTY_PATH, 0);
    Ptrace.setOptions(pid, Ptrace.OPTION_EXITKILL | SeccompSuspension.OPTION);
  }

  private static List<Integer> threads(int pid) {
    try {
      return ProcText.numbers("/proc/" + pid + "/task");
    } catch (NoSuchFileException ended) {
      throw new CheckpointException("the container's first process " + pid + " has ended before it could become a stub", ended);
    }
  }

  private static int awaitStop(int tid, long end) {
    int status = StopWait.await(tid, end);
    if (!Wait.stopped(status)) {
      throw new CheckpointException("thread " + tid + " of the container's first process did not stop as it should (wait status " + status + ")");
    }
    return status;
  }

  private static void awaitSystemCallStop(int tid, long end) {
    while (true) {
      Ptrace.continueToSystemCall(tid);
      int status = awaitStop(tid, end);
      if (Wait.event(status) == 0 && Wait.stopSignal(status) == Ptrace.SYSTEM_CALL_STOP) {
        return;
      }
    }
  }

  private static long call(int tid, long instruction, long end, String what, long... call) {
    Registers.read(tid)
        .with(Registers.RIP, instruction)
        .with(Registers.ORIG_RAX, -1)
        .with(Registers.RAX, call[0])
        .with(Registers.RDI, call[1])
        .with(Registers.RSI, call[2])
        .with(Registers.RDX, call[3])
        .with(Registers.R10, call[4])
        .with(Registers.R8, call[5])
        .with(Registers.R9, call[6])
        .write(tid);
    awaitSystemCallStop(tid, end);
    awaitSystemCallStop(tid, end);
    long result = Ptrace.registers(tid)[Registers.RAX];
    if (result < 0 && result > -4096) {
      throw new CheckpointException(what + " in the container's first process " + tid + " failed: " + Errno.describe((int) -result));
    }
    return result;
  }
}
