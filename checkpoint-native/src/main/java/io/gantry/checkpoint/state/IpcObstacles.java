package io.gantry.checkpoint.state;

import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.ipc.ContainerIpc;
import io.gantry.checkpoint.linux.IpcNamespace;
import java.util.List;

/** System V objects (POSIX message queues are descriptors' affair) that cannot be carried: those of the host, and segments that only the life of their maker keeps or that lie in huge pages. */
final class IpcObstacles {
  private static final String KIND = "System V IPC";

  private IpcObstacles() {}

  static List<Finding> of(int root, IpcNamespace.Contents contents) {
    if (contents.sharedMemory() + contents.semaphores() + contents.messageQueues() == 0) {
      return List.of();
    }
    if (!ContainerIpc.isOwn(root)) {
      return List.of(
          new Finding(
              0,
              -1,
              KIND,
              "the host's ipc namespace, in which the processes are, has %d shared memory segments, %d semaphore sets and %d message queues, and whose they are"
                      .formatted(contents.sharedMemory(), contents.semaphores(), contents.messageQueues())
                  + " cannot be told; in a container they are carried"));
    }
    try (var ipc = new ContainerIpc()) {
      return ipc.obstacles(root).stream().map(sentence -> new Finding(0, -1, KIND, sentence)).toList();
    }
  }
}
