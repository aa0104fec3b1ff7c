package io.gantry.simulation.host;

import io.gantry.checkpoint.Arrival;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.simulation.host.StandInHost.Copy;
import io.gantry.simulation.host.StandInHost.State;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;

/** The arrival of a {@link StandInEngine}. */
final class StandInArrival implements Arrival {
  private final StandInEngine engine;
  private final Truth truth;
  private final Life life;
  private final Copy copy;
  private String digest = "";

  StandInArrival(StandInEngine engine, Copy copy) {
    this.engine = engine;
    this.truth = engine.truth();
    this.life = engine.life();
    this.copy = copy;
  }

  @Override
  public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
    synchronized (truth) {
      life.before("arrival.pages");
      PageForm.read(data, copy.content);
    }
  }

  @Override
  public void zero(int space, long address, long pageCount) {}

  @Override
  public void message(int type, byte[] bytes) {
    if (type == StandInCapture.STATE) {
      digest = new String(bytes, StandardCharsets.UTF_8);
    }
  }

  @Override
  public Report complete() {
    synchronized (truth) {
      life.before("arrival.complete");
      if (copy.state != State.BUILDING || digest.isEmpty()) {
        throw new CheckpointException("The copy of " + copy.being.name + " is not complete.");
      }
      life.takes(engine.model().recreateNs() * Math.clamp(copy.content[Being.CELLS], 1, 100));
      truth.become(copy, State.FROZEN);
      life.after("arrival.complete");
      return new Report(engine.handle(copy), life.digest(PageForm.digest(copy.content)), Math.max(1, life.spentNs()));
    }
  }

  @Override
  public void activate() {
    synchronized (truth) {
      life.before("arrival.activate");
      if (copy.state == State.DEAD) {
        throw new CheckpointException("The copy of " + copy.being.name + " is not there.");
      }
      truth.become(copy, State.RUNNING);
      life.takes(engine.model().freezerNs());
      life.after("arrival.activate");
    }
  }

  @Override
  public void discard() {
    synchronized (truth) {
      life.before("arrival.discard");
      truth.become(copy, State.DEAD);
      life.takes(engine.model().destroyNs());
      life.after("arrival.discard");
    }
  }

  @Override
  public void close() {
    synchronized (truth) {
      if (!life.isDead() && copy.state == State.BUILDING) {
        truth.become(copy, State.DEAD);
      }
    }
  }
}
