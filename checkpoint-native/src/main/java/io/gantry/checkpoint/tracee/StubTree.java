package io.gantry.checkpoint.tracee;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.linux.Clone3;
import io.gantry.checkpoint.linux.Errno;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Mount;
import io.gantry.checkpoint.linux.PidNamespace;
import io.gantry.checkpoint.linux.Ptrace;
import io.gantry.checkpoint.linux.ResourceLimit;
import io.gantry.checkpoint.linux.Signals;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TimeNamespace;
import io.gantry.checkpoint.linux.TimerSlack;
import io.gantry.checkpoint.linux.Wait;
import io.gantry.checkpoint.procfs.IdMaps;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/**
 * Stub processes with chosen ids, stopped, that die with the agent until {@link #holdAll} or {@link #release} lets go of them. Everything,
 * the factory methods included, belongs to one {@link TracerThread}.
 */
public final class StubTree implements AutoCloseable {
  /** Where a container sees its host directory. */
  public static final Path HOST_DIRECTORY_INSIDE = Path.of("/run/gantry");

  private static final Path SHARED_MEMORY = Path.of("/dev/shm");
  private static final Duration DISCARD_MAX = Duration.ofSeconds(10);
  /** Last descriptor of a range that {@code close_range} closes. */
  private static final long ALL_DESCRIPTORS = 0xffff_ffffL;

  /** {@code struct sigaction} of the kernel; all zero means the default action. */
  private static final int SIGACTION_BYTES = 32;

  private final List<Stub> stubs = new ArrayList<>();
  private Optional<PidNamespace> namespace = Optional.empty();
  private boolean leadsSession;
  private boolean released;

  private StubTree() {}

  /**
   * Makes process 1 of a new container: new pid, mount, ipc and uts namespaces, in the cgroup from birth; mounts private, a fresh {@code
   * /proc}, pseudo-terminals and shared memory of its own in {@code /dev/pts} and {@code /dev/shm}, the host directory on {@link
   * #HOST_DIRECTORY_INSIDE}; no open descriptors, root as working directory.
   *
   * @param name host name in the new uts namespace
   * @param cgroup an existing directory of the cgroup v2 hierarchy
   * @param hostDirectory this host's own directory for the container
   */
  public static StubTree begin(String name, Path cgroup, Path hostDirectory) {
    return begin(name, cgroup, hostDirectory, Optional.empty(), false);
  }

  /**
   * The same with clocks or a network of its own.
   *
   * @param clocks offsets of its time namespace; without, it has the clocks of this process
   * @param network whether it has a network namespace of its own, in which only the loopback device is, and that is down
   */
  public static StubTree begin(String name, Path cgroup, Path hostDirectory, Optional<TimeNamespace.Offsets> clocks, boolean network) {
    try {
      Files.createDirectories(HOST_DIRECTORY_INSIDE);
    } catch (IOException e) {
      throw new CheckpointException("cannot create " + HOST_DIRECTORY_INSIDE + ", on which each container sees its own directory: " + e, e);
    }
    var tree = new StubTree();
    try {
      var root = tree.launch(Clone3.NEWPID | Clone3.NEWNS | Clone3.NEWIPC | Clone3.NEWUTS | (network ? Clone3.NEWNET : 0), 1, cgroup, clocks);
      setUpContainer(root, name, hostDirectory);
      return tree;
    } catch (RuntimeException failed) {
      tree.discardAfter(failed);
      throw failed;
    }
  }

  /**
   * Makes the first process of a tree that lives in the host's own namespaces.
   *
   * @param pid its id, as are all ids of this tree, as this process counts
   * @param cgroup an existing directory of the cgroup v2 hierarchy
   * @throws CheckpointException when the id is taken
   */
  public static StubTree beginInHostNamespaces(int pid, Path cgroup) {
    var tree = new StubTree();
    try {
      tree.launch(0, pid, cgroup, Optional.empty());
      return tree;
    } catch (RuntimeException failed) {
      tree.discardAfter(failed);
      throw failed;
    }
  }

  /**
   * Lets an OCI runtime create a container and makes its first process the first stub. Its rights are the agent's until the copy gets those of the
   * original: see {@link WatchedRuntime}. It leads a session already.
   *
   * @param clocks offsets of a time namespace of its own; without, it has the clocks of this process
   * @param limit for the runtime
   * @throws CheckpointException when the runtime says no; nothing is left then but what the runtime's {@code delete} removes
   */
  public static StubTree beginInRuntime(RuntimeCreation creation, Optional<TimeNamespace.Offsets> clocks, Duration limit) {
    int status = WatchedRuntime.create(creation, limit);
    if (status != 0) {
      throw new CheckpointException(creation.failure(status));
    }
    int pid = creation.initPid();
    var tree = new StubTree();
    try {
      WatchedRuntime.takeOver(pid, clocks);
      var root = new Stub(tree, pid, 1, Bench.OF_THE_PROGRAM);
      root.putCode();
      root.moveBench(Bench.STANDARD, StubElf.ADDRESS, StubElf.SEGMENT_BYTES);
      tree.namespace = Optional.of(PidNamespace.of(pid));
      tree.stubs.add(root);
      tree.leadsSession = true;
      if (!IdMaps.of(pid).equals(IdMaps.IDENTITY)) {
        unlimit(pid);
      }
      var batch = root.newBatch();
      batch.call("close_range", SyscallNumber.CLOSE_RANGE, 0, ALL_DESCRIPTORS, 0);
      batch.call("chdir(\"/\")", SyscallNumber.CHDIR, batch.string("/"));
      root.run(batch);
      return tree;
    } catch (NoSuchFileException ended) {
      tree.discard();
      throw new CheckpointException("the container's first process " + pid + " has ended while it became a stub", ended);
    } catch (RuntimeException failed) {
      Signals.kill(pid, Signals.SIGKILL);
      tree.discardAfter(failed);
      throw failed;
    }
  }

  /**
   * Rights in another user namespace are none against limits, so these are lifted from outside as long as things are made; each copy gets
   * its own at its end. An agent without {@code CAP_SYS_RESOURCE} cannot, and then those hold that the runtime has set.
   */
  private static void unlimit(int pid) {
    for (int resource : List.of(ResourceLimit.NPROC, ResourceLimit.MEMLOCK, ResourceLimit.SIGPENDING)) {
      ResourceLimit.trySet(pid, resource, -1, -1);
    }
    long files = Long.parseLong(new String(Fd.readAll("/proc/sys/fs/nr_open"), StandardCharsets.US_ASCII).strip());
    ResourceLimit.trySet(pid, ResourceLimit.NOFILE, files, files);
  }

  /**
   * Runs an OCI runtime's command and waits for its end, on any thread that has no children.
   *
   * @return its exit status, or 128 plus the signal that ended it
   */
  public static int runRuntime(RuntimeCreation creation, Duration limit) {
    return WatchedRuntime.run(creation.command(), creation.environment(), creation.output().toString(), limit);
  }

  private Stub launch(long namespaces, int nsPid, Path cgroup, Optional<TimeNamespace.Offsets> clocks) {
    int launcherPid = Launcher.start();
    try {
      var launcher = new Stub(this, launcherPid, launcherPid, Bench.OF_THE_PROGRAM);
      launcher.putCode();
      var prepare = preparation(launcher);
      var group =
          prepare.call(
              "opening cgroup " + cgroup, SyscallNumber.OPENAT, Fd.AT_FDCWD, prepare.string(cgroup.toString()), Fd.O_RDONLY | Fd.O_DIRECTORY, 0);
      // clone3 could make the namespace as well, but then it is in use before its offsets can be written (kernel/time/namespace.c).
      clocks.ifPresent(offsets -> prepare.call("unshare(CLONE_NEWTIME)", SyscallNumber.UNSHARE, TimeNamespace.CLONE_NEWTIME));
      launcher.run(prepare);
      clocks.ifPresent(offsets -> TimeNamespace.setOfChildren(launcherPid, offsets));
      launcher.moveBench(Bench.STANDARD, StubElf.ADDRESS, StubElf.SEGMENT_BYTES);
      // The new process is a child of this JVM, not of the launcher, and its ids are looked up in its own namespace.
      var root =
          launcher.fork(
              namespaces | Clone3.PARENT | Clone3.INTO_CGROUP,
              nsPid,
              Math.toIntExact(group.result()),
              pid -> {
                namespace = namespaces == 0 ? Optional.empty() : Optional.of(PidNamespace.of(pid));
              });
      stubs.add(root);
      var batch = root.newBatch();
      batch.call("close_range", SyscallNumber.CLOSE_RANGE, 0, ALL_DESCRIPTORS, 0);
      batch.call("chdir(\"/\")", SyscallNumber.CHDIR, batch.string("/"));
      root.run(batch);
      return root;
    } finally {
      Launcher.end(launcherPid);
    }
  }

  /** What is not to be inherited from this process: descriptors, timer slack, ignored signals. */
  private static CallBatch preparation(Stub launcher) {
    var prepare = launcher.newBatch();
    prepare.call("prctl(PR_SET_TIMERSLACK)", SyscallNumber.PRCTL, TimerSlack.PR_SET_TIMERSLACK, TimerSlack.DEFAULT_NS);
    prepare.call("close_range", SyscallNumber.CLOSE_RANGE, 0, ALL_DESCRIPTORS, 0);
    // posix_spawn leaves the signals that the C library keeps to itself ignored, and that would be inherited by the container.
    long byDefault = prepare.bytes(new byte[SIGACTION_BYTES]);
    for (int signal : Signals.OF_THE_C_LIBRARY) {
      prepare.call("rt_sigaction", SyscallNumber.RT_SIGACTION, signal, byDefault, 0, Long.BYTES);
    }
    return prepare;
  }

  static void prepareLauncher(Stub launcher) {
    launcher.run(preparation(launcher));
  }

  private static void setUpContainer(Stub root, String name, Path hostDirectory) {
    var batch = root.newBatch();
    long slash = batch.string("/");
    long proc = batch.string("proc");
    long procDirectory = batch.string("/proc");
    batch.call("making mounts private", SyscallNumber.MOUNT, 0, slash, 0, Mount.MS_REC | Mount.MS_PRIVATE, 0);
    batch.call("mounting /proc", SyscallNumber.MOUNT, proc, procDirectory, proc, Mount.MS_NOSUID | Mount.MS_NODEV | Mount.MS_NOEXEC, 0);
    long terminals = batch.string("devpts");
    // Any mount of it is an instance of its own, and an opened /dev/ptmx means the one beside it (Documentation/filesystems/devpts.rst).
    batch.call(
        "mounting /dev/pts",
        SyscallNumber.MOUNT,
        terminals,
        batch.string("/dev/pts"),
        terminals,
        Mount.MS_NOSUID | Mount.MS_NOEXEC,
        batch.string("mode=0620,gid=5,ptmxmode=0666"));
    if (Files.isDirectory(SHARED_MEMORY, LinkOption.NOFOLLOW_LINKS)) {
      // Without a size it may take half of the host's memory, as the host's own may (mm/shmem.c, shmem_default_max_blocks).
      long tmpfs = batch.string("tmpfs");
      batch.call(
          "mounting " + SHARED_MEMORY,
          SyscallNumber.MOUNT,
          tmpfs,
          batch.string(SHARED_MEMORY.toString()),
          tmpfs,
          Mount.MS_NOSUID | Mount.MS_NODEV,
          batch.string("mode=1777"));
    }
    batch.call(
        "mounting " + hostDirectory + " on " + HOST_DIRECTORY_INSIDE,
        SyscallNumber.MOUNT,
        batch.string(hostDirectory.toAbsolutePath().toString()),
        batch.string(HOST_DIRECTORY_INSIDE.toString()),
        0,
        Mount.MS_BIND,
        0);
    batch.call("sethostname", SyscallNumber.SETHOSTNAME, batch.string(name), name.length());
    batch.call("chdir(\"/\")", SyscallNumber.CHDIR, slash);
    root.run(batch);
  }

  /** Our id of a task that a stub has made. */
  int hostTid(int nsTid) {
    if (namespace.isEmpty()) {
      return nsTid;
    }
    int tid = namespace.get().hostTid(nsTid);
    if (tid == -Errno.ENOTTY) {
      throw new CheckpointException("this kernel cannot translate process ids between namespaces; Linux 6.11 or later is needed");
    }
    if (tid < 0) {
      throw new CheckpointException("the stub with id " + nsTid + " is gone: " + Errno.describe(-tid));
    }
    return tid;
  }

  /** The first process. */
  public Stub root() {
    return stubs.getFirst();
  }

  /** Whether the first process was born as the leader of a session and group, which it then cannot begin anew ({@code setsid(2)}). */
  public boolean rootLeadsSession() {
    return leadsSession;
  }

  /** All processes in the order in which they were made. */
  public List<Stub> stubs() {
    return Collections.unmodifiableList(stubs);
  }

  /**
   * Another process, with everything its parent has at this moment, memory shared copy on write.
   *
   * @param nsPid its id in the innermost pid namespace
   */
  public Stub fork(Stub parent, int nsPid) {
    var child = parent.fork(0, nsPid, 0, pid -> {});
    stubs.add(child);
    return child;
  }

  /**
   * A process for the agent's own purposes, which shares its parent's memory and bench: one of them runs calls at a time. It is to be
   * {@linkplain #remove removed}.
   */
  public Stub assistant(Stub parent, int nsPid) {
    var child = parent.fork(Clone3.VM, nsPid, 0, pid -> {});
    stubs.add(child);
    return child;
  }

  /** Kills one stub and waits until it is gone and its id is free. Its children go to the nearest subreaper above. */
  public void remove(Stub stub) {
    int parentPid = TaskStatus.read(Integer.toString(stub.pid())).map(TaskStatus::parentPid).orElse(0);
    Signals.kill(stub.pid(), Signals.SIGKILL);
    takeOut(stub);
    stubs.stream()
        .filter(other -> other.pid() == parentPid)
        .findFirst()
        .ifPresent(parent -> parent.call("wait4(" + stub.nsPid() + ")", SyscallNumber.WAIT4, stub.nsPid(), 0, Wait.ALL_KINDS, 0));
  }

  /**
   * Ends one stub so that it stays a zombie, for its parent to reap when that runs again.
   *
   * @param name what it was called
   * @param status how, as {@code wait(2)} reports it; that there was a core dump cannot be told again
   */
  public void end(Stub stub, String name, int status) {
    stub.rename(name);
    stub.leave(status & 0x7f, status >> 8 & 0xff);
    takeOut(stub);
  }

  private void takeOut(Stub stub) {
    stubs.remove(stub);
    var left = new ArrayList<StubTask>(stub.threads());
    left.add(stub);
    reap(left);
  }

  /** Hands all stubs to the freezer, which keeps them frozen whatever happens to the agent, and lets go of them. */
  public void holdAll(Freezer freezer, Duration limit) {
    freezer.freeze(limit);
    release();
  }

  /** Lets go of all stubs; they run, unless frozen. */
  public void release() {
    released = true;
    for (var stub : stubs) {
      for (var thread : stub.threads()) {
        Ptrace.detach(thread.tid(), 0);
      }
      Ptrace.detach(stub.tid(), 0);
    }
    closeNamespace();
  }

  private void closeNamespace() {
    namespace.ifPresent(PidNamespace::close);
    namespace = Optional.empty();
  }

  /** Kills all stubs that were not let go and waits until nothing of them is left. Idempotent. */
  public void discard() {
    if (released) {
      return;
    }
    released = true;
    for (var stub : stubs) {
      Signals.kill(stub.tid(), Signals.SIGKILL);
    }
    closeNamespace();
    reapAll();
  }

  /**
   * Takes every task's end, whichever comes first: the last thread of a namespace's process 1 ends only when all others, threads of its
   * own included, have been taken.
   */
  private void reapAll() {
    var left = new ArrayList<StubTask>();
    for (var stub : stubs) {
      left.add(stub);
      left.addAll(stub.threads());
    }
    reap(left);
  }

  private static void reap(List<StubTask> left) {
    long end = System.nanoTime() + DISCARD_MAX.toNanos();
    for (int turn = 0; !left.isEmpty(); turn++) {
      if (left.removeIf(StubTree::hasEnded)) {
        turn = 0;
      } else if (System.nanoTime() > end) {
        var task = left.getFirst();
        throw new CheckpointException(task + " (thread " + task.tid() + " on this host) was killed and does not end");
      } else {
        StopWait.pause(turn);
      }
    }
  }

  private static boolean hasEnded(StubTask task) {
    int status = Wait.poll(task.tid());
    return status == Wait.GONE || Wait.ended(status);
  }

  private void discardAfter(RuntimeException failed) {
    try {
      discard();
    } catch (RuntimeException second) {
      failed.addSuppressed(second);
    }
  }

  /** Discards unless let go. */
  @Override
  public void close() {
    discard();
  }
}
