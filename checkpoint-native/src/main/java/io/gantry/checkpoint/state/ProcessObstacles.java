package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.PosixTimers;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import io.gantry.checkpoint.tracee.SeccompSuspension;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What one process has that cannot be carried. */
final class ProcessObstacles {
  /** {@code CPUCLOCK_PERTHREAD_MASK} and the bits below the id in the number of a CPU clock. */
  private static final int CLOCK_OF_THREAD = 4;

  private static final int CLOCK_ID_SHIFT = 3;
  /** {@code EI_CLASS} and {@code ELFCLASS32} of {@code elf(5)}. */
  private static final int ELF_CLASS_AT = 4;
  private static final int ELF_CLASS_32 = 1;

  private final int pid;
  private final List<Finding> findings;

  ProcessObstacles(int pid, List<Finding> findings) {
    this.pid = pid;
    this.findings = findings;
  }

  private void add(String kind, String sentence) {
    findings.add(new Finding(pid, -1, kind, sentence));
  }

  void look() throws IOException {
    var status = TaskStatus.ofProcess(pid);
    var threads = ProcText.numbers("/proc/" + pid + "/task");
    if (status.state() == 'Z') {
      return;
    }
    for (int tid : threads) {
      try {
        var its = TaskStatus.ofThread(pid, tid);
        if (its.state() != 'Z') {
          thread(its, tid);
          root(tid);
        }
      } catch (NoSuchFileException | KernelException e) {
        if (tid == pid || Files.exists(Path.of("/proc/" + pid + "/task/" + tid))) {
          throw e;
        }
        // This thread has ended while it was being looked at; the process goes on.
      }
    }
    terminal();
    if (Files.exists(Path.of("/proc/" + pid + "/autogroup"))) {
      autogroup();
    }
    program();
    timers(threads);
    if (status.number("CoreDumping") != 0) {
      add("core dump", "it is writing a core dump and will end; wait for that");
    }
  }

  private void thread(TaskStatus status, int tid) {
    if (status.number("Seccomp") != 0 && !SeccompSuspension.isPossible()) {
      add("seccomp filter", "thread " + tid + " runs under a seccomp filter, and so does this agent, which therefore may not see it; start the agent without one");
    }
    long tracer = status.number("TracerPid");
    if (tracer != 0 && tracer != ProcessHandle.current().pid()) {
      add("traced process", "thread " + tid + " is being traced by process " + tracer + "; detach that debugger");
    }
    if (status.text("x86_Thread_features").contains("shstk")) {
      add("shadow stack", "thread " + tid + " has a shadow stack; start the program with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK");
    }
  }

  /** Pseudo-terminals can be carried; whether its master is in the container, the descriptors tell. */
  private void terminal() throws IOException {
    var stat = TaskStat.ofProcess(pid);
    if (stat.terminal() != 0 && stat.pseudoTerminal() == 0) {
      add("controlling terminal", "its controlling terminal is one of this host's devices; start it with setsid(1) and without a terminal");
    }
  }

  /** Threads may have a root directory of their own. */
  private void root(int tid) throws IOException {
    if (tid != pid && Kcmp.sameFileSystemContext(pid, tid)) {
      return;
    }
    String path = Files.readSymbolicLink(Path.of("/proc/" + pid + "/task/" + tid + "/root")).toString();
    if (path.endsWith(" (deleted)")) {
      add("deleted directory", "the root directory %s of thread %d was deleted; end it and start it with another one".formatted(path, tid));
    }
  }

  private void autogroup() throws IOException {
    String group = ProcText.read("/proc/" + pid + "/autogroup").strip();
    if (hasWeight(group)) {
      add("autogroup", "its session has a scheduling group of another nice value (" + group + ", /proc/PID/autogroup); set that to 0");
    }
  }

  /**
   * Whether a line of /proc/PID/autogroup tells of a group that is not weighted as any other. It is empty for a process in the default
   * group, where whatever was started before the first setsid(2) of this host is (sched(7); kernel/sched/autogroup.c).
   */
  static boolean hasWeight(String autogroup) {
    return !autogroup.isEmpty() && !autogroup.endsWith(" nice 0");
  }

  private void program() throws IOException {
    try (InputStream in = Files.newInputStream(Path.of("/proc/" + pid + "/exe"))) {
      byte[] header = in.readNBytes(ELF_CLASS_AT + 1);
      if (header.length > ELF_CLASS_AT && header[ELF_CLASS_AT] == ELF_CLASS_32) {
        add("32-bit program", "it runs 32-bit code; use a 64-bit program");
      }
    }
  }

  private void timers(List<Integer> threads) throws IOException {
    for (PosixTimers.Timer timer : PosixTimers.of(pid)) {
      // Negative: a CPU clock; the inverted id of its thread or process, then three bits (include/linux/posix-timers_types.h).
      if (timer.clock() >= 0) {
        continue;
      }
      int whose = ~(timer.clock() >> CLOCK_ID_SHIFT);
      boolean ofThread = (timer.clock() & CLOCK_OF_THREAD) != 0;
      if (whose == 0 && ofThread && threads.size() > 1) {
        add(
            "CPU-time timer",
            "POSIX timer %d measures the CPU time of the thread that made it (CLOCK_THREAD_CPUTIME_ID), and which of the %d that is cannot be found out; let"
                    .formatted(timer.id(), threads.size())
                + " the program use pthread_getcpuclockid(3)");
      } else if (whose != 0 && !(ofThread ? inside(threads).contains(whose) : TaskStatus.ofProcess(pid).innermost("NStgid") == whose)) {
        add("CPU-time timer", "POSIX timer " + timer.id() + " measures the CPU time of another process, or of a thread that has ended");
      }
    }
  }

  /** The container's numbers of threads; one that has ended meanwhile is left out. */
  private List<Integer> inside(List<Integer> threads) {
    var inside = new ArrayList<Integer>();
    for (int tid : threads) {
      try {
        inside.add(TaskStatus.ofThread(pid, tid).innermost("NSpid"));
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return inside;
  }
}
