package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.linux.Kcmp;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.procfs.PosixTimers;
import io.gantry.checkpoint.procfs.ProcText;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;

/** What one process has that cannot be carried. */
final class ProcessObstacles {
  private static final int CLOCK_THREAD_CPUTIME = 3;
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
      if (threads.size() > 1) {
        add("ended main thread", "its main thread has ended while others run on; such a process cannot be recreated");
      }
      return;
    }
    for (int tid : threads) {
      try {
        thread(TaskStatus.ofThread(pid, tid), tid);
      } catch (NoSuchFileException | KernelException e) {
        if (tid == pid || Files.exists(Path.of("/proc/" + pid + "/task/" + tid))) {
          throw e;
        }
        // This thread has ended while it was being looked at; the process goes on.
      }
    }
    terminal();
    directories();
    program();
    timers();
    if (status.number("CoreDumping") != 0) {
      add("core dump", "it is writing a core dump and will end; wait for that");
    }
  }

  private void thread(TaskStatus status, int tid) {
    if (status.number("Seccomp") != 0) {
      add("seccomp filter", "thread " + tid + " runs under a seccomp filter; start the program without one");
    }
    long tracer = status.number("TracerPid");
    if (tracer != 0 && tracer != ProcessHandle.current().pid()) {
      add("traced process", "thread " + tid + " is being traced by process " + tracer + "; detach that debugger");
    }
    if (status.text("x86_Thread_features").contains("shstk")) {
      add("shadow stack", "thread " + tid + " has a shadow stack; start the program with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK");
    }
    if (tid != pid && !Kcmp.sameFileSystemContext(pid, tid)) {
      add("thread with its own directory", "thread " + tid + " has a working directory or umask of its own (unshare(CLONE_FS))");
    }
  }

  private void terminal() throws IOException {
    if (TaskStat.ofProcess(pid).terminal() != 0) {
      add("controlling terminal", "it has a controlling terminal; start it with setsid(1) and without a terminal");
    }
  }

  private void directories() throws IOException {
    for (String link : List.of("cwd", "root")) {
      String path = Files.readSymbolicLink(Path.of("/proc/" + pid + "/" + link)).toString();
      if (path.endsWith(" (deleted)")) {
        add(
            "deleted directory",
            "its %s directory %s was deleted; let it change to another one".formatted(link.equals("cwd") ? "working" : "root", path));
      }
    }
  }

  private void program() throws IOException {
    try (InputStream in = Files.newInputStream(Path.of("/proc/" + pid + "/exe"))) {
      byte[] header = in.readNBytes(ELF_CLASS_AT + 1);
      if (header.length > ELF_CLASS_AT && header[ELF_CLASS_AT] == ELF_CLASS_32) {
        add("32-bit program", "it runs 32-bit code; use a 64-bit program");
      }
    }
  }

  private void timers() throws IOException {
    for (PosixTimers.Timer timer : PosixTimers.of(pid)) {
      // Negative: the CPU clock of some process or thread, by its id (kernel/time/posix-cpu-timers.c).
      if (timer.clock() == CLOCK_THREAD_CPUTIME || timer.clock() < 0) {
        add("CPU-time timer", "POSIX timer " + timer.id() + " measures the CPU time of one thread or of another process");
      }
    }
  }
}
