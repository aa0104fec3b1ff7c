package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.Directory;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.IntFunction;

/**
 * Threads that have a descriptor table of their own, by {@code unshare(CLONE_FILES)} or because they were made without {@code
 * CLONE_FILES}. On the destination their stubs unshare the process's, which is empty then, and are filled as processes are.
 */
public final class ThreadTables {
  private ThreadTables() {}

  /** The processes, and behind them those of their threads that have tables of their own. Any thread. */
  static List<ProcessRef> with(List<ProcessRef> processes) {
    return with(processes, pid -> Arrays.stream(Directory.numbers("/proc/" + pid + "/task")).boxed().toList());
  }

  /**
   * As above, asking nothing of processes with one thread.
   *
   * @param threads all threads of a process, by its id, as the host counts
   */
  public static List<ProcessRef> with(List<ProcessRef> processes, IntFunction<? extends List<Integer>> threads) {
    List<ProcessRef> found = new ArrayList<>(processes);
    for (var process : processes) {
      for (int tid : threads.apply(process.pid())) {
        if (tid != process.pid() && !same(process.pid(), tid)) {
          number(process.pid(), tid).ifPresent(inside -> found.add(new ProcessRef(tid, inside, true)));
        }
      }
    }
    return found;
  }

  private static Optional<Integer> number(int pid, int tid) {
    try {
      var status = TaskStatus.ofThread(pid, tid);
      // A main thread that has ended has none.
      return status.state() == 'Z' ? Optional.empty() : Optional.of(status.innermost("NSpid"));
    } catch (NoSuchFileException ended) {
      return Optional.empty();
    }
  }

  private static boolean same(int a, int b) {
    try {
      return Kcmp.sameDescriptorTable(a, b);
    } catch (KernelException ended) {
      return true;
    }
  }

  /** Those that share one table with each other, which nobody could give them. */
  static List<Finding> obstacles(List<ProcessRef> owners) {
    var threads = owners.stream().filter(ProcessRef::thread).toList();
    var found = new ArrayList<Finding>(0);
    for (int i = 0; i < threads.size(); i++) {
      for (int j = i + 1; j < threads.size(); j++) {
        int first = threads.get(i).pid();
        int second = threads.get(j).pid();
        if (shared(first, second)) {
          found.add(
              new Finding(
                  first,
                  -1,
                  "shared descriptor table",
                  "threads " + first + " and " + second + " share a descriptor table that is not their process's, which cannot be carried"));
        }
      }
    }
    return found;
  }

  private static boolean shared(int a, int b) {
    try {
      return Kcmp.sameDescriptorTable(a, b);
    } catch (KernelException ended) {
      return false;
    }
  }

  /** What cannot be carried in such a table, because it is looked for in processes only; empty when a process has it as well. */
  static Optional<Finding> obstacle(SeenDescriptor seen, FileKind kind, String name, Inventory inventory) {
    boolean processOnly =
        kind instanceof MemoryFile
            || kind instanceof MessageQueue
            || kind instanceof TcpSocket
            || kind instanceof TcpConnection
            || !seen.info().values("lock").isEmpty();
    boolean alone =
        seen.process().thread()
            && processOnly
            && inventory.withInode(seen.status().inode()).stream()
                .noneMatch(other -> !other.process().thread() && other.status().device() == seen.status().device());
    return alone || seen.process().thread() && !seen.info().values("lock").isEmpty()
        ? Optional.of(
            new Finding(
                seen.process().pid(),
                seen.fd(),
                name,
                ("thread %d has it in a descriptor table of its own,"
                        + " where connections, memory files, message queues and locks on files cannot be carried")
                    .formatted(seen.process().pid())))
        : Optional.empty();
  }
}
