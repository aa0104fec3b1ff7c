package io.gantry.checkpoint;

import io.gantry.checkpoint.image.final_state;
import io.gantry.checkpoint.image.process_state;
import io.gantry.checkpoint.image.seccomp_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.UserNamespace;
import io.gantry.checkpoint.memory.DescriptorGift;
import io.gantry.checkpoint.procfs.IdMaps;
import io.gantry.checkpoint.state.ProcessStateArrival;
import io.gantry.checkpoint.tracee.RemoteTask;
import io.gantry.checkpoint.tracee.Stub;
import io.gantry.checkpoint.tracee.StubTree;
import io.gantry.checkpoint.user.UserNamespaceArrival;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Stubs of processes that are in a user namespace below the container's own. They enter it as late as possible, since nobody in
 * it may open what they have open, or choose ids of processes; and before they have threads, because only a process with one
 * thread may. Their threads get the ids that they had from the order in which the kernel gives ids out, which somebody outside of
 * the namespace sets. One build of one container; tracer thread only.
 */
final class NestedProcesses implements AutoCloseable {
  /**
   * Means the pid namespace of whoever writes to it, whoever has opened it ({@code pid_ns_ctl_handler}, kernel/pid_namespace.c).
   */
  private static final String LAST_PID = "/proc/sys/kernel/ns_last_pid";

  private static final int[] NO_THREADS = {};

  private final StubTree tree;
  private final UserNamespaceArrival namespaces;
  private final IdMaps container;
  /** A process in the container's own user namespace, which all others may have left when it is needed. */
  private Optional<Stub> helper = Optional.empty();

  private int lastPid = -1;

  NestedProcesses(final_state state, StubTree tree) {
    this.tree = tree;
    this.namespaces = new UserNamespaceArrival(state.getUserNamespacesList(), tree.root().pid());
    this.container = namespaces.container();
    if (state.getProcessesList().stream().anyMatch(process -> is(process) && process.getThreadsCount() > 1)) {
      startHelper(free(state));
    }
  }

  private static int free(final_state state) {
    Set<Integer> taken = new HashSet<>();
    for (var process : state.getProcessesList()) {
      taken.addAll(List.of(process.getTree().getPid(), process.getTree().getPgid(), process.getTree().getSid()));
      taken.addAll(process.getTree().getThreadsList());
    }
    int id = 2;
    while (taken.contains(id)) {
      id++;
    }
    return id;
  }

  private void startHelper(int id) {
    var made = tree.assistant(tree.root(), id);
    helper = Optional.of(made);
    int ours = Fd.open(LAST_PID, Fd.O_WRONLY | Fd.O_CLOEXEC, 0);
    try (var gift = new DescriptorGift(made)) {
      lastPid = gift.give(ours);
    } finally {
      Fd.close(ours);
    }
  }

  static boolean is(process_state process) {
    return process.getUserNamespace() != 0;
  }

  /** Takes away what a stub may not have when it {@linkplain #enter enters}. */
  static void prepare(Stub stub) {
    stub.keepOnlyThreads(NO_THREADS);
  }

  /**
   * Makes it who it is to be, brings it into its user namespace, and starts its threads. Everything that it is to open is open.
   */
  ProcessStateArrival enter(Stub stub, process_state process, seccomp_entry filters) {
    var namespace = namespaces.get(process.getUserNamespace());
    ProcessStateArrival.become(stub, process);
    try (var gift = new DescriptorGift(stub)) {
      int given = gift.give(namespace.descriptor());
      stub.call("setns(user namespace)", SyscallNumber.SETNS, given, UserNamespace.CLONE_NEWUSER);
      stub.call("close", SyscallNumber.CLOSE, given);
    }
    var tids = process.getTree().getThreadsList().stream().mapToInt(Integer::intValue);
    int[] others = tids.filter(tid -> tid != stub.nsPid()).toArray();
    List<RemoteTask> threads = new ArrayList<>();
    threads.add(stub);
    threads.addAll(stub.startThreadsInTurn(others, this::giveNext));
    var maps = namespace.maps();
    var within = new IdMaps(maps.users().seenFrom(container.users()), maps.groups().seenFrom(container.groups()));
    return new ProcessStateArrival(process, threads, filters, Optional.of(within));
  }

  /** Has the kernel give out an id next; everything else in the pid namespace stands still. */
  private void giveNext(int tid) {
    var writer = helper.orElseThrow();
    byte[] number = Integer.toString(tid - 1).getBytes(StandardCharsets.US_ASCII);
    var batch = writer.newBatch();
    var what = "writing " + (tid - 1) + " to " + LAST_PID;
    batch.call(what, SyscallNumber.PWRITE64, lastPid, batch.bytes(number), number.length, 0);
    writer.run(batch);
  }

  @Override
  public void close() {
    helper.ifPresent(tree::remove);
    helper = Optional.empty();
    namespaces.close();
  }
}
