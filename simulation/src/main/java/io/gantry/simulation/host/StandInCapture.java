package io.gantry.simulation.host;

import io.gantry.checkpoint.Capture;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageSink;
import io.gantry.checkpoint.image.StreamMessage;
import io.gantry.simulation.host.StandInHost.Copy;
import io.gantry.simulation.host.StandInHost.State;
import java.nio.charset.StandardCharsets;

/** The capture of a {@link StandInEngine}. */
final class StandInCapture implements Capture {
  /** Where the page that stands for all of them is; a multiple of 4096. */
  static final long ADDRESS = 0x10_000;

  /** Message that carries the digest. */
  static final int STATE = 4;

  private final StandInEngine engine;
  private final Truth truth;
  private final Life life;
  private final Copy copy;
  private long[] sent = {};
  private long sentRanNs = -1;
  private boolean isOver;

  StandInCapture(StandInEngine engine, Copy copy) {
    this.engine = engine;
    this.truth = engine.truth();
    this.life = engine.life();
    this.copy = copy;
  }

  private void check() {
    if (copy.state == State.DEAD) {
      throw new CheckpointException("Container " + copy.being.name + " has ended.");
    }
  }

  /** @return how many pages */
  private long sendPages(PageSink sink) {
    var ranNs = truth.ranNs(copy);
    var content = truth.content(copy);
    var model = copy.being.model;
    var pages = sentRanNs < 0 ? model.pages() : model.dirtyPages(sentRanNs, ranNs);
    var before = sent;
    life.takes(engine.model().scanNs());
    sink.pages(1, new long[] {ADDRESS}, new int[] {1}, 1, (_, _, _, destination) -> PageForm.write(destination, content, before));
    if (sink instanceof BulkSink bulk) {
      bulk.carry(Math.max(0, pages - 1));
    }
    sink.message(StreamMessage.ROUND_END, new byte[0]);
    sink.flush();
    sent = content;
    sentRanNs = ranNs;
    return Math.max(1, pages);
  }

  @Override
  public RoundReport round(PageSink sink) {
    synchronized (truth) {
      life.before("capture.round");
      check();
      var begin = sink.bytesSent();
      var pages = sendPages(sink);
      var elapsedNs = Math.max(1_000_000, life.spentNs());
      var dirty = copy.being.model.dirtyPages(sentRanNs, sentRanNs + elapsedNs);
      life.after("capture.round");
      return new RoundReport(pages, 0, sink.bytesSent() - begin, elapsedNs, dirty, copy.being.processes);
    }
  }

  @Override
  public FreezeReport freeze() {
    synchronized (truth) {
      life.before("capture.freeze");
      check();
      truth.become(copy, State.STOPPED);
      var threads = copy.being.model.threads();
      life.takes(engine.model().freezeNs() * threads);
      life.after("capture.freeze");
      return new FreezeReport(Math.max(1, life.spentNs()), 0, threads);
    }
  }

  @Override
  public LastReport sendLast(PageSink sink) {
    synchronized (truth) {
      life.before("capture.sendLast");
      check();
      var begin = sink.bytesSent();
      var pages = sendPages(sink);
      var pagesNs = life.spentNs();
      var digest = life.digest(PageForm.digest(truth.content(copy)));
      life.takes(engine.model().stateNs() * copy.being.processes);
      sink.message(STATE, digest.getBytes(StandardCharsets.UTF_8));
      life.after("capture.sendLast");
      return new LastReport(pages, 0, sink.bytesSent() - begin, pagesNs, life.spentNs() - pagesNs, digest);
    }
  }

  @Override
  public void hold() {
    synchronized (truth) {
      life.before("capture.hold");
      check();
      truth.become(copy, State.FROZEN);
      life.takes(engine.model().freezerNs());
      life.after("capture.hold");
    }
  }

  @Override
  public void resume() {
    synchronized (truth) {
      life.before("capture.resume");
      if (copy.state != State.DEAD) {
        truth.become(copy, State.RUNNING);
      }
      over();
      life.takes(engine.model().freezerNs());
      life.after("capture.resume");
    }
  }

  @Override
  public void destroyOriginal() {
    synchronized (truth) {
      life.before("capture.destroyOriginal");
      truth.become(copy, State.DEAD);
      over();
      life.takes(engine.model().destroyNs());
      life.after("capture.destroyOriginal");
    }
  }

  private void over() {
    isOver = true;
    copy.isCaptured = false;
  }

  @Override
  public void close() {
    synchronized (truth) {
      if (life.isDead()) {
        return;
      }
      if (!isOver && copy.state == State.STOPPED) {
        truth.become(copy, State.RUNNING);
      }
      over();
    }
  }
}
