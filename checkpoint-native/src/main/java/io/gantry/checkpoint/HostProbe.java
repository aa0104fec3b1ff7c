package io.gantry.checkpoint;

import io.gantry.checkpoint.HostFacts.Capability;
import io.gantry.checkpoint.host.HostTraits;
import io.gantry.checkpoint.linux.CpuLatency;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.PagemapScan;
import io.gantry.checkpoint.linux.Userfaultfd;
import io.gantry.checkpoint.tracee.Cgroup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Tries once what the engine needs from this host, and remembers the answers; what may change is read each time. Any thread. */
final class HostProbe {
  /** {@code linux/capability.h}. */
  private static final int CAP_SYS_PTRACE = 19;

  private static final int CAP_SYS_ADMIN = 21;
  private static final int CAP_CHECKPOINT_RESTORE = 40;

  private final List<Capability> capabilities = new ArrayList<>();
  private final HostTraits traits = new HostTraits();
  private final HostFacts once;

  HostProbe() {
    right("CAP_SYS_ADMIN", CAP_SYS_ADMIN, "namespaces, mounts and page frame numbers need it");
    right("CAP_SYS_PTRACE", CAP_SYS_PTRACE, "stopping and reading processes needs it");
    right("CAP_CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE, "creating processes with chosen ids needs it");
    kernel();
    writeTracking();
    cgroup();
    file("CONFIG_CHECKPOINT_RESTORE", Path.of("/proc/sys/kernel/ns_last_pid"), "the kernel was built without it; chosen process ids need it");
    file(
        "CONFIG_PROC_CHILDREN",
        Path.of("/proc/self/task/" + ProcessHandle.current().pid() + "/children"),
        "the kernel was built without /proc/PID/task/TID/children, by which the process tree is found");
    vdso();
    boolean wakeful = Files.isWritable(Path.of(CpuLatency.DEVICE));
    capabilities.add(
        new Capability(
            "processors kept awake",
            wakeful,
            false,
            wakeful
                ? CpuLatency.DEVICE + " can be written; no processor sleeps while a container stands still"
                : CpuLatency.DEVICE + " is missing or cannot be written; pauses are longer, by the time that sleeping processors take to wake"));
    once =
        new HostFacts(
            HostIdentity.kernelRelease(),
            System.getProperty("os.arch"),
            HostIdentity.cpuFeatures(),
            HostIdentity.signalFrameBytes(),
            HostIdentity.vdsoHash(),
            0,
            capabilities,
            List.of());
  }

  HostFacts facts() {
    return new HostFacts(
        once.kernelRelease(),
        once.machine(),
        once.cpuFeatures(),
        once.xsaveBytes(),
        once.vdsoHash(),
        HostIdentity.memoryAvailableBytes(),
        once.capabilities(),
        traits.read());
  }

  private void add(String name, boolean available, String reason) {
    capabilities.add(new Capability(name, available, true, reason));
  }

  private void right(String name, int number, String need) {
    boolean has = HostIdentity.hasCapability(number);
    add(name, has, has ? "held; " + need : "not held; " + need + ": run as root, outside of a restricted container");
  }

  private void kernel() {
    boolean recent = HostIdentity.kernelAtLeast(6, 11);
    add(
        "Linux 6.11 or later",
        recent,
        "this is " + HostIdentity.kernelRelease()
            + (recent ? "" : "; write tracking needs 6.7, translating process ids between namespaces 6.11: install a newer kernel"));
  }

  private void writeTracking() {
    try (var tracking = Userfaultfd.open()) {
      add("userfaultfd WP_ASYNC", tracking != null, "asynchronous write protection answers, so writes can be tracked while a container runs");
    } catch (KernelException e) {
      add("userfaultfd WP_ASYNC", false, e.getMessage() + "; CONFIG_USERFAULTFD and Linux 6.7 or later would help");
    }
    try (var scan = PagemapScan.open((int) ProcessHandle.current().pid())) {
      add("ioctl PAGEMAP_SCAN", scan != null, "page maps can be opened; written pages are found with it");
    } catch (KernelException e) {
      add("ioctl PAGEMAP_SCAN", false, e.getMessage() + "; Linux 6.7 or later and root would help");
    }
  }

  private void cgroup() {
    try {
      var mount = Cgroup.mountPoint();
      boolean writable = Files.isWritable(mount);
      add(
          "cgroup v2 freezer",
          writable,
          "mounted on " + mount + (writable ? "" : ", which cannot be written here; mount it read-write in this mount namespace"));
    } catch (CheckpointException e) {
      add("cgroup v2 freezer", false, e.getMessage());
    }
  }

  private void file(String name, Path path, String otherwise) {
    boolean there = Files.exists(path);
    add(name, there, there ? path + " is there" : otherwise);
  }

  private void vdso() {
    boolean sealed = HostIdentity.isVdsoSealed();
    add(
        "movable vdso",
        !sealed,
        sealed ? "the kernel seals its own mappings (MSEAL_SYSTEM_MAPPINGS), so the vdso cannot be put where a container had it" : "the vdso can be moved");
  }
}
