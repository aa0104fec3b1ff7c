package io.gantry.checkpoint.network;

import io.gantry.checkpoint.image.network_state;
import io.gantry.checkpoint.linux.KernelException;
import io.gantry.checkpoint.linux.NetworkThread;
import io.gantry.checkpoint.linux.NetworkWatch;
import java.util.List;
import java.util.Optional;

/**
 * Captures the network namespace of a running container. It is described while the container runs; when it stands still, only
 * whether that has changed since is asked. One thread at a time.
 */
public final class NetworkCapture implements AutoCloseable {
  private final String container;
  private final int pid;
  private final NetworkPolicy policy;
  private final NetworkWatch watch;
  private network_state state = network_state.getDefaultInstance();
  private int version;
  private boolean cut;

  private NetworkCapture(String container, int pid, NetworkPolicy policy) {
    this.container = container;
    this.pid = pid;
    this.policy = policy;
    this.watch = NetworkThread.in(pid, NetworkWatch::begin);
  }

  /**
   * Begins to watch; empty when the processes share the agent's network namespace.
   *
   * @param pid the first process
   */
  public static Optional<NetworkCapture> of(String container, int pid, NetworkPolicy policy) {
    return NetworkThread.isElsewhere(pid) ? Optional.of(new NetworkCapture(container, pid, policy)) : Optional.empty();
  }

  /** What speaks against carrying the network namespace of a process, in sentences. */
  public static List<String> obstacles(int pid, NetworkPolicy policy) {
    var found = new java.util.ArrayList<>(NetworkLinks.of(pid, policy.hook().isPresent()).obstacles());
    PacketFilters.obstacle(pid).ifPresent(found::add);
    return found;
  }

  /** Bridges that the host must have. */
  public static List<String> bridges(int pid) {
    return NetworkLinks.of(pid, true).links().stream().filter(link -> link.hasBridge()).map(link -> link.getBridge()).distinct().toList();
  }

  /** A new description, when the last one is not right any more. */
  public Optional<network_state> describe() {
    // Changed while it was described: the next time will tell.
    if (!watch.hasChanged() && version > 0) {
      return Optional.empty();
    }
    state = NetworkState.read(pid, ++version, policy.hook().isPresent());
    return Optional.of(state);
  }

  /** From here on nothing gets out of it or in, until {@link #connect}. Idempotent. */
  public void cut() {
    if (!cut) {
      describe();
      cut = true;
      NetworkLinks.cut(container, pid, state, policy);
    }
  }

  /** The description that holds while the container stands still and is {@linkplain #cut cut off}. */
  public network_state last() {
    cut();
    return state;
  }

  /** Undoes {@link #cut}; idempotent. */
  public void connect() {
    try {
      // When the processes are gone, so is what was to be connected.
      if (cut && NetworkThread.isElsewhere(pid)) {
        NetworkLinks.connect(container, pid, state, policy);
      }
    } catch (KernelException e) {
      if (NetworkThread.isElsewhere(pid)) {
        throw e;
      }
    }
    cut = false;
  }

  @Override
  public void close() {
    watch.close();
  }
}
