package io.gantry.simulation.network;

import io.gantry.actors.PageLinkException;
import io.gantry.actors.PageLinks;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.PageReceiver;
import io.gantry.simulation.host.BulkSink;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.host.VirtualCalls;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Page streams on virtual time: what is sent takes as long as the {@link NetworkModel} says and arrives in order, unless the
 * {@link StandInNetwork} between the two hosts is cut. One thread.
 */
public final class StandInPageLinks {
  private static final int PAGE_BYTES = 4096;
  private static final int HEADER_BYTES = 16;
  private static final int PAGES_MAX = 15;
  private static final byte[] TOKEN = {1, 2, 3};

  private final StandInNetwork network;
  private final Map<String, Inlet> inlets = new HashMap<>();

  public StandInPageLinks(StandInNetwork network) {
    this.network = network;
  }

  /** The page links of one life of a host's agent. @param calls in which its own calls are made */
  public PageLinks of(Life life, VirtualCalls calls) {
    return new OfHost(life, calls);
  }

  /** How many receiving ends are open on a host. */
  public int openOn(String host) {
    return (int) inlets.values().stream().filter(inlet -> inlet.life.host().equals(host) && !inlet.life.isDead()).count();
  }

  /** The stream of a move is lost, and nothing else. */
  public void breakOff(String migration) {
    var inlet = inlets.get(migration);
    if (inlet != null) {
      inlet.over("The stream was reset.");
    }
  }

  /** The receiving end of a stream. */
  private final class Inlet implements PageLinks.Receiving {
    private final Life life;
    private final String migration;
    private final PageReceiver receiver;
    private final PageLinks.StreamListener listener;
    private boolean isOver;

    Inlet(Life life, String migration, PageReceiver receiver, PageLinks.StreamListener listener) {
      this.life = life;
      this.migration = migration;
      this.receiver = receiver;
      this.listener = listener;
    }

    @Override
    public PageLinks.Endpoint endpoint() {
      return new PageLinks.Endpoint(life.host(), 1, TOKEN);
    }

    boolean isUsable() {
      return !isOver && !life.isDead();
    }

    /** The last word. */
    void over(String failure) {
      if (isUsable()) {
        close();
        listener.ended(failure);
      }
    }

    void overAfter(long ns, String failure) {
      network.time().after(ns, () -> over(failure));
    }

    @Override
    public void close() {
      isOver = true;
      inlets.remove(migration, this);
    }
  }

  private final class OfHost implements PageLinks {
    private final Life life;
    private final VirtualCalls calls;

    OfHost(Life life, VirtualCalls calls) {
      this.life = life;
      this.calls = calls;
    }

    @Override
    public Receiving receive(String migration, PageReceiver receiver, StreamListener listener) {
      life.before("stream.receive");
      var inlet = new Inlet(life, migration, receiver, listener);
      inlets.put(migration, inlet);
      life.after("stream.receive");
      return inlet;
    }

    @Override
    public Sending send(String migration, Endpoint endpoint, Duration timeout) {
      life.before("stream.send");
      var from = life.host();
      var to = endpoint.host();
      var inlet = inlets.get(migration);
      if (inlet == null || !inlet.isUsable() || !network.isOpen(from, to) || !network.isOpen(to, from)) {
        life.takesExactly(timeout.toNanos());
        throw new PageLinkException("Node " + to + " did not answer on the page stream within " + timeout.toMillis() + " ms.");
      }
      life.takes(2 * network.slowed(from, to, network.model().latencyNs()));
      var outlet = new Outlet(life, calls, inlet);
      life.onDeath(() -> inlet.overAfter(network.model().breakNs(), "Node " + from + " is not heard any more."));
      life.after("stream.send");
      return outlet;
    }

    @Override
    public void close() {}
  }

  /** The sending end of a stream. */
  private final class Outlet implements PageLinks.Sending, BulkSink {
    private final Life life;
    private final VirtualCalls calls;
    private final Inlet inlet;
    private final String from;
    private final String to;
    private List<Runnable> pieces = new ArrayList<>();
    private long lastArrivalNs;
    private long bytes;
    private long endsAtNs = Long.MAX_VALUE;
    private long closedAtNs = Long.MAX_VALUE;

    Outlet(Life life, VirtualCalls calls, Inlet inlet) {
      this.life = life;
      this.calls = calls;
      this.inlet = inlet;
      this.from = life.host();
      this.to = inlet.life.host();
    }

    private void transfer(long count) {
      bytes += count;
      life.takesExactly(network.slowed(from, to, network.model().transferNs(count)));
    }

    @Override
    public int pagesMax() {
      return PAGES_MAX;
    }

    @Override
    public int runsMax() {
      return PAGES_MAX;
    }

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, PageReader reader) {
      var data = new byte[PAGE_BYTES * pageCounts[0]];
      reader.read(addresses, pageCounts, runCount, MemorySegment.ofArray(data));
      if (network.takeCorruption(from, to)) {
        for (var i = 0; i < 40; i += 8) {
          data[i] ^= 1;
        }
      }
      pieces.add(() -> inlet.receiver.pages(space, addresses, pageCounts, runCount, MemorySegment.ofArray(data)));
      transfer(data.length + HEADER_BYTES);
    }

    @Override
    public void carry(long pages) {
      transfer(pages * PAGE_BYTES + (pages + PAGES_MAX - 1) / PAGES_MAX * HEADER_BYTES);
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      pieces.add(() -> inlet.receiver.zero(space, address, pageCount));
      transfer(HEADER_BYTES);
    }

    @Override
    public void message(int type, byte[] message) {
      pieces.add(() -> inlet.receiver.message(type, message));
      transfer(message.length + HEADER_BYTES);
    }

    @Override
    public void flush() {
      life.dependsOn(this);
      if (closedAtNs != Long.MAX_VALUE) {
        throw new PageLinkException("The page stream to " + to + " was closed.");
      }
      if (!inlet.isUsable() || !network.isOpen(from, to)) {
        life.takesExactly(network.model().breakNs());
        throw new PageLinkException("The page stream to " + to + " is broken.");
      }
      var leavesNs = network.time().nowNs() + life.spentNs();
      var arrivalNs = Math.max(leavesNs + network.slowed(from, to, network.model().latencyNs()), lastArrivalNs + 1);
      lastArrivalNs = arrivalNs;
      var parcel = pieces;
      pieces = new ArrayList<>();
      network.time().after(arrivalNs - network.time().nowNs(), () -> arrive(parcel, leavesNs));
    }

    private void arrive(List<Runnable> parcel, long leftNs) {
      if (!inlet.isUsable() || leftNs > closedAtNs || life.isDead() && leftNs > network.time().nowNs()) {
        return;
      }
      if (!network.isOpen(from, to) && !life.isDead()) {
        inlet.overAfter(network.model().breakNs(), "Node " + from + " is not heard any more.");
        return;
      }
      try {
        parcel.forEach(Runnable::run);
      } catch (CheckpointException e) {
        inlet.over("While pages were taken in: " + e.getMessage());
      }
    }

    @Override
    public void end() {
      pieces.add(() -> inlet.over(""));
      endsAtNs = network.time().nowNs() + life.spentNs();
      flush();
    }

    @Override
    public long bytesSent() {
      return bytes;
    }

    @Override
    public long zeroPagesSent() {
      return 0;
    }

    @Override
    public void close() {
      if (closedAtNs != Long.MAX_VALUE) {
        return;
      }
      closedAtNs = network.time().nowNs();
      calls.breakOff(this);
      if (endsAtNs > closedAtNs) {
        inlet.overAfter(network.model().latencyNs(), "The sender has closed the stream.");
      }
    }
  }
}
