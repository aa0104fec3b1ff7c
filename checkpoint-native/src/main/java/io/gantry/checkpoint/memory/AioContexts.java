package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.aio_ring_entry;
import io.gantry.checkpoint.procfs.Maps;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** The AIO contexts of a container that stands still. On the tracer thread. */
final class AioContexts {
  private record Place(int pid, long address) {}

  private final Set<Place> settled = new HashSet<>();

  /** Whether the last look at a process has found any. */
  static boolean has(AddressSpace layout) {
    return layout.vmas().stream().anyMatch(vma -> vma.is(VmaStatus.AIO_RING));
  }

  /**
   * Waits for requests in flight.
   *
   * @param task in which calls can be run
   * @throws CheckpointException when some do not end
   */
  void settle(RemoteTask task) {
    for (var mapping : Maps.read(task.pid())) {
      if (mapping.name().startsWith(AioRing.NAME)) {
        AioRequests.awaitNone(task, AioRing.read(task.pid(), mapping.start(), mapping.end() - mapping.start()));
        settled.add(new Place(task.pid(), mapping.start()));
      }
    }
  }

  /** What they are, after {@link #settle}. */
  List<aio_ring_entry> entries(int pid, AddressSpace layout) {
    var entries = new ArrayList<aio_ring_entry>(0);
    for (var vma : layout.vmas()) {
      if (vma.is(VmaStatus.AIO_RING)) {
        if (!settled.contains(new Place(pid, vma.start()))) {
          throw new CheckpointException(
              "process " + pid + " has made an AIO context just before it was frozen, whose requests could not be waited for; try again");
        }
        entries.add(AioRing.read(pid, vma.start(), vma.bytes()).toEntry());
      }
    }
    return entries;
  }
}
