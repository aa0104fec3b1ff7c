package io.gantry.simulation;

import io.gantry.actors.PageLinkException;
import io.gantry.actors.PageLinks;
import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.PageReceiver;
import java.lang.foreign.Arena;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Page streams inside one JVM: the sender's thread calls the receiver. They break when the {@link StandInNetwork} between the
 * two hosts is cut. Any thread.
 */
public final class StandInPageLinks {
  private static final int PAGE_BYTES = 4096;
  private static final int MESSAGE_HEADER_BYTES = 16;

  private final StandInNetwork network;
  private final Map<String, Inlet> inlets = new ConcurrentHashMap<>();

  private record Inlet(String host, PageReceiver receiver, PageLinks.StreamListener listener) {}

  public StandInPageLinks(StandInNetwork network) {
    this.network = network;
  }

  /** The page links of one host. */
  public PageLinks of(String host) {
    return new OfHost(host);
  }

  /** The agent of a host has died: its streams break. */
  void kill(String host) {
    inlets.values().removeIf(inlet -> inlet.host().equals(host));
  }

  private final class OfHost implements PageLinks {
    private final String host;

    OfHost(String host) {
      this.host = host;
    }

    @Override
    public Receiving receive(String migration, PageReceiver receiver, StreamListener listener) {
      inlets.put(migration, new Inlet(host, receiver, listener));
      return new Receiving() {
        @Override
        public Endpoint endpoint() {
          return new Endpoint(host, 1, new byte[] {1, 2, 3});
        }

        @Override
        public void close() {
          inlets.remove(migration);
        }
      };
    }

    @Override
    public Sending send(String migration, Endpoint endpoint, Duration timeout) {
      return new Outlet(host, endpoint.host(), migration);
    }

    @Override
    public void close() {}
  }

  private final class Outlet implements PageLinks.Sending {
    private final String from;
    private final String to;
    private final String migration;
    private boolean ended;
    private volatile long bytes;

    Outlet(String from, String to, String migration) {
      this.from = from;
      this.to = to;
      this.migration = migration;
      inlet();
    }

    private Inlet inlet() {
      var inlet = inlets.get(migration);
      if (inlet == null || !network.isOpen(from, to)) {
        throw new PageLinkException("The page stream to " + to + " is broken.");
      }
      return inlet;
    }

    @Override
    public int pagesMax() {
      return 15;
    }

    @Override
    public int runsMax() {
      return 15;
    }

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, PageReader reader) {
      var total = 0L;
      for (var i = 0; i < runCount; i++) {
        total += (long) pageCounts[i] * PAGE_BYTES;
      }
      try (var arena = Arena.ofConfined()) {
        var data = arena.allocate(total);
        reader.read(addresses, pageCounts, runCount, data);
        inlet().receiver().pages(space, addresses, pageCounts, runCount, data);
      }
      bytes += total;
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      inlet().receiver().zero(space, address, pageCount);
    }

    @Override
    public void message(int type, byte[] message) {
      inlet().receiver().message(type, message);
      bytes += message.length + MESSAGE_HEADER_BYTES;
    }

    @Override
    public void flush() {
      inlet();
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
    public void end() {
      inlet().listener().ended("");
      ended = true;
    }

    @Override
    public void close() {
      var inlet = inlets.remove(migration);
      if (!ended && inlet != null) {
        inlet.listener().ended("The sender has closed the stream.");
      }
    }
  }
}
