package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Holding;
import io.gantry.checkpoint.procfs.Link;
import io.gantry.checkpoint.procfs.PosixTimers;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.procfs.ThreadGroup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** What processes have besides memory and descriptors, counted from outside. */
public final class StateHoldings {
  /** {@code /proc/PID/ns/}, those that a process itself is in. */
  private static final List<String> NAMESPACES = List.of("pid", "mnt", "ipc", "uts", "time", "user", "net", "cgroup");

  private int processes;
  private int zombies;
  private int threads;
  private int timers;
  private int filters;
  private int pendingSignals;
  private final Set<Integer> sessions = new HashSet<>();
  private final Set<Integer> groups = new HashSet<>();
  private final Set<String> credentials = new HashSet<>();
  private final Set<String> namespaces = new HashSet<>();

  private StateHoldings() {}

  /**
   * Counts.
   *
   * @param pids as the host counts; those that have ended are left out
   */
  public static List<Holding> of(Collection<Integer> pids) {
    var counted = new StateHoldings();
    for (int pid : pids) {
      try {
        counted.look(ThreadGroup.shownAs(pid));
      } catch (NoSuchFileException ended) {
        // It will not be moved.
      }
    }
    return counted.holdings();
  }

  private void look(int pid) throws NoSuchFileException {
    var status = TaskStatus.ofProcess(pid);
    sessions.add(status.innermost("NSsid"));
    groups.add(status.innermost("NSpgid"));
    if (status.state() == 'Z') {
      zombies++;
      return;
    }
    processes++;
    pendingSignals += Long.bitCount(status.set("ShdPnd"));
    for (int tid : ProcText.numbers("/proc/" + pid + "/task")) {
      try {
        thread(TaskStatus.ofThread(pid, tid));
      } catch (NoSuchFileException ended) {
        // This thread has ended; the process goes on.
      }
    }
    timers += PosixTimers.of(pid).size();
    for (String kind : NAMESPACES) {
      try {
        namespaces.add(Files.readSymbolicLink(Path.of("/proc/" + pid + "/ns/" + kind)).toString());
      } catch (IOException none) {
        // A kind that this kernel does not have, or a process that has ended.
      }
    }
  }

  private void thread(TaskStatus status) {
    threads++;
    pendingSignals += Long.bitCount(status.set("SigPnd"));
    filters += status.number("Seccomp") == 0 ? 0 : 1;
    credentials.add(status.text("Uid") + status.text("Gid") + status.text("Groups") + status.text("CapPrm") + status.text("CapBnd"));
  }

  private List<Holding> holdings() {
    var found = new ArrayList<Holding>();
    add(found, "process", "process", processes, "is made with the id it has, its attributes and its place in the tree");
    add(found, "process", "zombie", zombies, "stays one, with its status, until its parent takes notice");
    add(found, "process", "thread", threads, "is made with the id it has, its registers and attributes; an interrupted call goes on");
    add(found, "process", "session", sessions.size(), "is made again, also when its leader has ended");
    add(found, "process", "process group", groups.size(), "is made again");
    add(found, "process", "credentials", credentials.size(), "ids, groups, capabilities and securebits are set for each thread");
    add(found, "process", "seccomp filter", filters, "is installed again with its whole chain, as is strict mode");
    add(found, "process", "pending signal", pendingSignals, "is sent again with what came with it");
    add(found, "timer", "POSIX timer", timers, "is armed again under its id with the time it had left");
    String agents = Link.read((int) ProcessHandle.current().pid(), "ns/user").orElse("");
    for (String kind : NAMESPACES) {
      var alike = namespaces.stream().filter(name -> name.startsWith(kind + ":["));
      int count = (int) alike.filter(name -> !kind.equals("user") || name.equals(agents)).count();
      boolean own = List.of("pid", "mnt", "ipc", "uts").contains(kind);
      add(found, "namespace", kind + " namespace", count, own ? "the container gets one of its own" : "is the host's on either side");
    }
    String how = "is made again with its maps: by the container's runtime, or below the container's own";
    int users = (int) namespaces.stream().filter(name -> name.startsWith("user:[") && !name.equals(agents)).count();
    add(found, "namespace", "user namespace of its own", users, how);
    return found;
  }

  private static void add(List<Holding> found, String part, String kind, int count, String how) {
    if (count > 0) {
      found.add(Holding.of(part, kind, count, how));
    }
  }
}
