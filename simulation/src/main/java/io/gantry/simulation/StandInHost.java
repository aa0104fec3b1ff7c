package io.gantry.simulation;

import io.gantry.actors.ledger.LedgerState;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a host has that outlives its agent: copies of containers, directories, and the ledger's disk. Guarded by the {@link
 * StandInTruth} it belongs to.
 */
public final class StandInHost {
  /** What a copy is doing. */
  enum State {
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
  static final class Copy {
    final String container;
    final int pid;
    State state;
    String content;
    int exitStatus = -1;

    Copy(String container, int pid, State state, String content) {
      this.container = container;
      this.pid = pid;
      this.state = state;
      this.content = content;
    }
  }

  private final String name;
  final List<Copy> copies = new ArrayList<>();
  final List<String> directories = new ArrayList<>();
  LedgerState disk = new LedgerState();
  long incarnation;
  final Map<String, String> consoles = new LinkedHashMap<>();

  StandInHost(String name) {
    this.name = name;
  }

  public String name() {
    return name;
  }

  /** The agent is gone, without a word. */
  void agentDied() {
    for (var copy : copies) {
      switch (copy.state) {
        case STOPPED -> copy.state = State.RUNNING;
        case BUILDING -> copy.state = State.DEAD;
        case RUNNING, FROZEN, DEAD -> {}
      }
    }
  }
}
