package io.gantry.simulation.host;

/**
 * How long the engine and the disk of a simulated host take, in nanoseconds. The defaults are of the size that the real
 * engine shows on a virtual machine with two cores.
 *
 * @param callNs to get to a thread that may block
 * @param inspectNs looking at a container, or whether it may come
 * @param captureNs beginning to capture, or to take in
 * @param scanNs finding the written pages of a round
 * @param freezeNs stopping one thread
 * @param stateNs reading the kernel objects of one process
 * @param recreateNs recreating one process
 * @param freezerNs telling the freezer
 * @param destroyNs killing a container
 * @param syncNs making a record durable
 */
public record HostModel(
    long callNs, long inspectNs, long captureNs, long scanNs, long freezeNs, long stateNs, long recreateNs, long freezerNs,
    long destroyNs, long syncNs) {
  /** What the defaults are. */
  public static final HostModel USUAL =
      new HostModel(20_000, 1_000_000, 2_000_000, 300_000, 200_000, 500_000, 2_000_000, 200_000, 2_000_000, 300_000);
}
