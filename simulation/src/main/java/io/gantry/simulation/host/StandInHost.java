package io.gantry.simulation.host;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/** What a host has that outlives its agent. Guarded by the {@link Truth} it belongs to. */
public final class StandInHost {
  /** What a copy is doing. */
  public enum State {
    RUNNING,
    /** Stopped by a tracer: runs on when the agent dies. */
    STOPPED,
    /** Kept by the freezer, whatever happens to the agent. */
    FROZEN,
    /** Stubs: die with the agent. */
    BUILDING,
    DEAD
  }

  /** One copy of a container. */
  public static final class Copy {
    final StandInHost host;
    final Being being;
    final int pid;
    State state;
    long[] content;
    boolean isCaptured;

    Copy(StandInHost host, Being being, int pid, State state, long[] content) {
      this.host = host;
      this.being = being;
      this.pid = pid;
      this.state = state;
      this.content = content;
    }
  }

  private final String name;
  final List<Copy> copies = new ArrayList<>();
  final TreeSet<String> directories = new TreeSet<>();
  final Map<Integer, Integer> exitStatuses = new HashMap<>();
  private final StandInDisk disk;
  private int lastPid = 1000;

  StandInHost(String name) {
    this.name = name;
    this.disk = new StandInDisk(name);
  }

  public String name() {
    return name;
  }

  /** The disk with the ledger on it. */
  public StandInDisk disk() {
    return disk;
  }

  int nextPid() {
    return ++lastPid;
  }

  Optional<Copy> copy(int pid) {
    for (var copy : copies) {
      if (copy.pid == pid) {
        return Optional.of(copy);
      }
    }
    return Optional.empty();
  }
}
