package io.gantry.checkpoint.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What System V objects live in another ipc namespace ({@code ipc_namespaces(7)}). {@code /proc/sysvipc} shows the namespace of whoever reads it, so an
 * {@link IpcThread} looks there. Any thread may call.
 */
public final class IpcNamespace {
  private IpcNamespace() {}

  /**
   * Objects in the namespace.
   *
   * @param sharedMemory {@code shmget(2)} segments
   * @param semaphores {@code semget(2)} sets
   * @param messageQueues {@code msgget(2)} queues
   */
  public record Contents(int sharedMemory, int semaphores, int messageQueues) {}

  /** What the ipc namespace of that process holds. */
  public static Contents of(int pid) {
    try (var inside = IpcThread.enter(pid)) {
      return inside.call(() -> new Contents(lines("shm"), lines("sem"), lines("msg")));
    }
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
}
