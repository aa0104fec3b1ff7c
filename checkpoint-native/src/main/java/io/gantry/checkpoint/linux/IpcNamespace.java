package io.gantry.checkpoint.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * What lives in another ipc namespace ({@code ipc_namespaces(7)}). {@code /proc/sysvipc} shows the namespace of whoever reads it, so a
 * thread of its own enters the namespace ({@code setns(2)}, needs {@code CAP_SYS_ADMIN}), looks, and ends. Any thread may call.
 */
public final class IpcNamespace {
  private static final int CLONE_NEWIPC = 0x0800_0000;
  private static final int FSOPEN_CLOEXEC = 1;
  private static final int FSMOUNT_CLOEXEC = 1;
  /** {@code FSCONFIG_CMD_CREATE}, {@code linux/mount.h}. */
  private static final int FSCONFIG_CMD_CREATE = 6;

  private IpcNamespace() {}

  /**
   * Objects in the namespace.
   *
   * @param sharedMemory {@code shmget(2)} segments
   * @param semaphores {@code semget(2)} sets
   * @param messageQueues {@code msgget(2)} queues
   * @param posixQueues names of {@code mq_open(3)} queues; empty when this kernel has none
   */
  public record Contents(int sharedMemory, int semaphores, int messageQueues, List<String> posixQueues) {}

  /** What the ipc namespace of that process holds. */
  public static Contents of(int pid) {
    var answer = new CompletableFuture<Contents>();
    Thread.ofPlatform()
        .daemon()
        .name("looks into the ipc namespace of process " + pid)
        .start(
            () -> {
              try {
                answer.complete(look(pid));
              } catch (RuntimeException | Error thrown) {
                answer.completeExceptionally(thrown);
              }
            });
    try {
      return answer.join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException unchecked ? unchecked : e;
    }
  }

  private static Contents look(int pid) {
    int namespace = Fd.open("/proc/" + pid + "/ns/ipc", Fd.O_RDONLY | Fd.O_CLOEXEC, 0);
    try {
      Libc.check(Libc.syscall(SyscallNumber.SETNS, namespace, CLONE_NEWIPC, 0), () -> "setns(ipc namespace of " + pid + ")");
    } finally {
      Fd.close(namespace);
    }
    return new Contents(lines("shm"), lines("sem"), lines("msg"), posixQueues());
  }

  /** Lines behind the heading. */
  private static int lines(String name) {
    try {
      return Math.max(0, Files.readAllLines(Path.of("/proc/sysvipc/" + name)).size() - 1);
    } catch (java.nio.file.NoSuchFileException kernelWithoutSysvIpc) {
      return 0;
    } catch (IOException e) {
      throw new UncheckedIOException("reading /proc/sysvipc/" + name, e);
    }
  }

  /** Mounts the namespace's queues where nobody sees it. */
  private static List<String> posixQueues() {
    long context;
    try (var arena = Arena.ofConfined()) {
      context = Libc.syscall(SyscallNumber.FSOPEN, arena.allocateFrom("mqueue").address(), FSOPEN_CLOEXEC, 0);
    }
    if (context == -Errno.ENODEV) {
      return List.of();
    }
    int fd = (int) Libc.check(context, () -> "fsopen(mqueue)");
    try {
      Libc.check(Libc.syscall(SyscallNumber.FSCONFIG, fd, FSCONFIG_CMD_CREATE, 0), () -> "fsconfig(mqueue)");
      int mount = (int) Libc.check(Libc.syscall(SyscallNumber.FSMOUNT, fd, FSMOUNT_CLOEXEC, 0), () -> "fsmount(mqueue)");
      try (var entries = Files.list(Path.of("/proc/self/fd/" + mount))) {
        var names = new ArrayList<String>();
        entries.forEach(entry -> names.add("/" + entry.getFileName()));
        return names;
      } catch (IOException e) {
        throw new UncheckedIOException("listing message queues", e);
      } finally {
        Fd.close(mount);
      }
    } finally {
      Fd.close(fd);
    }
  }
}
