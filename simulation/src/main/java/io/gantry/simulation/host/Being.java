package io.gantry.simulation.host;

import io.gantry.simulation.host.StandInHost.Copy;
import io.gantry.simulation.host.StandInHost.State;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** One container as it really is, wherever its copies are. Guarded by the {@link Truth} it belongs to. */
final class Being {
  /** Cells that stand for its memory; one more stands for everything else that it has. */
  static final int CELLS = 4;

  final String name;
  ContainerModel model;
  final List<Copy> copies = new ArrayList<>(3);
  int processes;

  /** How long it had run when it was last let run, and when that was. */
  long ranNs;

  long runningSinceNs;
  boolean runs;

  /** What the first to let it run after a pause must give it. */
  long[] content;

  /** Whether its user knows that it is there. */
  boolean isAcknowledged;

  /** Whether its user wants it to end. */
  boolean mayEnd;

  /** Ended by itself. */
  boolean hasExited;

  /** Went down with the host that it was on. */
  boolean isLost;

  /** The host that owned it, while that is switched off: only its ledger knows whether the container went down with it. */
  Optional<StandInHost> atStakeOn = Optional.empty();

  /** It will end by itself as soon as it runs. */
  int exitStatusWanted = -1;

  long stoppedSinceNs = -1;
  long lastPauseNs;

  Being(String name, ContainerModel model) {
    this.name = name;
    this.model = model;
    this.processes = model.processes();
    this.content = contentAfter(0);
  }

  long ranNs(long nowNs) {
    return runs ? ranNs + nowNs - runningSinceNs : ranNs;
  }

  /** The last write of each cell, and how many processes there are. */
  long[] contentAfter(long runNs) {
    var written = model.writes().pagesWritten(runNs);
    var cells = new long[CELLS + 1];
    for (var i = 0; i < CELLS; i++) {
      cells[i] = written - Math.floorMod(written - i, CELLS);
    }
    cells[CELLS] = processes;
    return cells;
  }

  int count(State state) {
    var count = 0;
    for (var copy : copies) {
      if (copy.state == state) {
        count++;
      }
    }
    return count;
  }

  /** Copies that are complete: with one of them it is not lost. */
  boolean survives() {
    for (var copy : copies) {
      if (copy.state != State.BUILDING && copy.state != State.DEAD) {
        return true;
      }
    }
    return false;
  }
}
