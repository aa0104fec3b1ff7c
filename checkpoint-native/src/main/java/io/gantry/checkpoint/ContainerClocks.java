package io.gantry.checkpoint;

import io.gantry.checkpoint.image.timens_entry;
import io.gantry.checkpoint.image.timespec;
import io.gantry.checkpoint.linux.TimeNamespace;
import io.gantry.checkpoint.linux.TimeNamespace.Offsets;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * What a container's clocks say, and how they go on elsewhere. Hosts have been up for different times, but to programs {@code CLOCK_MONOTONIC} and {@code
 * CLOCK_BOOTTIME} must go on without a jump, and with the time of the move counted in. Any thread.
 */
final class ContainerClocks {
  private static final long SECOND_NS = TimeUnit.SECONDS.toNanos(1);
  /** What a message takes at most between hosts; a greater difference of their wall clocks only says that one of them is wrong. */
  private static final long WAY_MAX_NS = SECOND_NS;

  private ContainerClocks() {}

  /** @param root the container's first process, as the host counts */
  static timens_entry read(int root) {
    var offsets = TimeNamespace.ofChildren(Integer.toString(root));
    var now = Instant.now();
    var kernel = kernelClocks();
    return timens_entry.newBuilder()
        .setMonotonic(entry(kernel.monotonicNs() + offsets.monotonicNs()))
        .setBoottime(entry(kernel.boottimeNs() + offsets.boottimeNs()))
        .setRealtimeNs(nanoseconds(now))
        .setHost(host())
        .setMonotonicOffsetNs(offsets.monotonicNs())
        .setBoottimeOffsetNs(offsets.boottimeNs())
        .build();
  }

  /** The kernel's own clocks: an agent may itself be in a time namespace. */
  private static Offsets kernelClocks() {
    var own = ofThisProcess();
    return new Offsets(TimeNamespace.monotonicNs() - own.monotonicNs(), TimeNamespace.boottimeNs() - own.boottimeNs());
  }

  static Offsets ofThisProcess() {
    return TimeNamespace.ofChildren("self");
  }

  private static timespec entry(long ns) {
    return timespec.newBuilder().setTvSec(ns / SECOND_NS).setTvNsec(ns % SECOND_NS).build();
  }

  private static long nanoseconds(timespec time) {
    return time.getTvSec() * SECOND_NS + time.getTvNsec();
  }

  private static long nanoseconds(Instant time) {
    return time.getEpochSecond() * SECOND_NS + time.getNano();
  }

  private static String host() {
    try {
      var boot = Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip();
      var namespace = Path.of("/proc/self/ns/time");
      return boot + (Files.exists(namespace) ? " " + Files.readSymbolicLink(namespace) : "");
    } catch (IOException e) {
      throw new CheckpointException("this host's boot id cannot be read: " + e + "; is /proc mounted?", e);
    }
  }

  /**
   * Offsets with which the clocks go on here from where they are. On the host where they were read nothing needs to be computed. Else
   * the wall clocks tell how old they are: of images always, from another host where it is little enough to be believed.
   *
   * @param stored whether they come from images
   */
  static Offsets offsetsHere(timens_entry clocks, boolean stored) {
    if (clocks.getHost().equals(host())) {
      return new Offsets(clocks.getMonotonicOffsetNs(), clocks.getBoottimeOffsetNs());
    }
    var kernel = kernelClocks();
    var offsets =
        new Offsets(nanoseconds(clocks.getMonotonic()) - kernel.monotonicNs(), nanoseconds(clocks.getBoottime()) - kernel.boottimeNs());
    long ageNs = Math.max(0, nanoseconds(Instant.now()) - clocks.getRealtimeNs());
    return stored || ageNs <= WAY_MAX_NS ? offsets.plus(ageNs) : offsets;
  }

  /**
   * How far clocks with these offsets are behind what a container has seen: what it would have to wait for so that no clock goes back.
   *
   * @return nanoseconds, 0 when they are ahead
   */
  static long behindNs(timens_entry seen, Offsets offsets) {
    if (seen.getHost().equals(host()) && !offsets.isBehind(new Offsets(seen.getMonotonicOffsetNs(), seen.getBoottimeOffsetNs()))) {
      return 0;
    }
    var kernel = kernelClocks();
    long monotonic = nanoseconds(seen.getMonotonic()) - kernel.monotonicNs() - offsets.monotonicNs();
    long boottime = nanoseconds(seen.getBoottime()) - kernel.boottimeNs() - offsets.boottimeNs();
    return Math.max(0, Math.max(monotonic, boottime));
  }

  /**
   * Of the time namespace that a copy needs; empty when this process's own clocks do.
   *
   * @throws CheckpointException when there are no time namespaces here and the clocks would go back
   */
  static Optional<Offsets> ofNamespace(String name, Offsets wanted) {
    if (wanted.equals(ofThisProcess())) {
      return Optional.empty();
    }
    if (TimeNamespace.exists()) {
      return Optional.of(wanted);
    }
    requireNotBehind(name, wanted);
    return Optional.empty();
  }

  /** @throws CheckpointException when clocks would go back where no time namespace can be made for them */
  static void requireNotBehind(String name, Offsets wanted) {
    if (ofThisProcess().isBehind(wanted)) {
      throw new CheckpointException(
          "the monotonic clocks of " + name + " would go back: this host was started later than where they come from, and "
              + (TimeNamespace.exists()
                  ? "processes among the host's own have no time namespace of their own; save process 1 of a container instead"
                  : "its kernel has no time namespaces; CONFIG_TIME_NS would help"));
    }
  }
}
