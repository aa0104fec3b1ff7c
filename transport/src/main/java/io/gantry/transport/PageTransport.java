package io.gantry.transport;

import io.aeron.Aeron;
import io.aeron.ChannelUriStringBuilder;
import io.aeron.ExclusivePublication;
import io.aeron.Image;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.io.IOException;
import java.net.DatagramSocket;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketException;
import java.net.StandardSocketOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.agrona.concurrent.status.CountersReader;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A node's end of all page streams: an embedded Aeron media driver with its client, one UDP socket to receive on, and one
 * background thread. Safe for any thread; the streams it opens are each for one thread at a time and independent of each other.
 *
 * <p>The driver's buffers live in a directory of their own under {@link TransportOptions#directory()}, deleted by {@link
 * #close()}; what a killed process left there is deleted by the next transport that opens.
 */
public final class PageTransport implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(PageTransport.class);

  /** How long the driver may take for one command; it runs on our own thread and answers within milliseconds. */
  static final Duration COMMAND_PATIENCE = Duration.ofSeconds(15);

  /** How long a closed sender's data is kept for retransmission. */
  private static final long LINGER_NS = TimeUnit.SECONDS.toNanos(2);

  /**
   * How long a receiver's term buffers stay mapped after the sender vanished: longer than any single call of a
   * {@link FrameHandler}, which may still be reading from them.
   */
  private static final long UNMAP_AFTER_NS = TimeUnit.SECONDS.toNanos(30);

  /** Driver and client share our thread, so neither can outlive the other; a long pause of the machine must not part them. */
  private static final long NEVER_PARTED_NS = TimeUnit.MINUTES.toNanos(10);

  /** Aeron's counter type of a publication's sender position (io.aeron.AeronCounters). */
  private static final int SENDER_POSITION = io.aeron.AeronCounters.DRIVER_SENDER_POSITION_TYPE_ID;

  private final TransportOptions options;
  private final InetSocketAddress address;
  private final Path directory;
  private final AeronErrors errors;
  private final MediaDriver driver;
  private final Aeron aeron;
  private final DriverPump pump;
  private final Map<Long, String> rejections = new ConcurrentHashMap<>();
  private final Set<AutoCloseable> streams = ConcurrentHashMap.newKeySet();
  private final AtomicBoolean closed = new AtomicBoolean();

  private PageTransport(
      TransportOptions options, InetSocketAddress address, Path directory, AeronErrors errors, MediaDriver driver) {
    this.options = options;
    this.address = address;
    this.directory = directory;
    this.errors = errors;
    this.driver = driver;
    String threadName = "gantry-transport-" + address.getPort();
    pump = new DriverPump(driver.sharedAgentInvoker(), threadName, LINGER_NS, errors);
    aeron =
        Aeron.connect(
            new Aeron.Context()
                .aeronDirectoryName(directory.toString())
                .useConductorAgentInvoker(true)
                .driverAgentInvoker(driver.sharedAgentInvoker())
                .driverTimeoutMs(TimeUnit.NANOSECONDS.toMillis(NEVER_PARTED_NS))
                .keepAliveIntervalNs(TimeUnit.SECONDS.toNanos(1))
                .resourceLingerDurationNs(UNMAP_AFTER_NS)
                .closeLingerDurationNs(0)
                .errorHandler(errors)
                .subscriberErrorHandler(errors)
                .publicationErrorFrameHandler(
                    frame -> rejected(frame.registrationId(), frame.errorMessage())));
    pump.start(aeron.conductorAgentInvoker());
  }

  /**
   * Opens the socket and starts the driver. Takes some 100 ms.
   *
   * @throws TransportException when the address cannot be bound, the port is in use, or the directory cannot be written
   */
  public static PageTransport open(TransportOptions wanted) {
    Objects.requireNonNull(wanted, "options");
    if (!Files.isDirectory(wanted.directory()) || !Files.isWritable(wanted.directory())) {
      throw new TransportException(
          "The transport's buffers cannot be placed in " + wanted.directory() + ": not a writable directory; name another one");
    }
    AeronDirectory.sweep(wanted.directory());
    Granted granted = probe(wanted);
    TransportOptions options = granted.options;
    Path directory = AeronDirectory.unique(options.directory());
    AeronErrors errors = new AeronErrors();
    MediaDriver driver = null;
    PageTransport transport = null;
    try {
      driver = MediaDriver.launch(driverContext(options, granted, directory, errors));
      transport = new PageTransport(options, granted.address, directory, errors, driver);
      transport.holdPort();
      return transport;
    } catch (RuntimeException e) {
      if (transport != null) {
        transport.close();
      } else if (driver != null) {
        driver.close();
      }
      AeronDirectory.delete(directory);
      if (e instanceof TransportException known) {
        throw known;
      }
      throw new TransportException("The transport on " + granted.address + " did not start: " + AeronErrors.sentence(e), e);
    }
  }

  private static MediaDriver.Context driverContext(
      TransportOptions options, Granted granted, Path directory, AeronErrors errors) {
    long silenceNs = options.silence().toNanos();
    return new MediaDriver.Context()
        .aeronDirectoryName(directory.toString())
        .dirDeleteOnStart(true)
        .dirDeleteOnShutdown(true)
        .warnIfDirectoryExists(false)
        .threadingMode(ThreadingMode.INVOKER)
        .asyncExecutorEnabled(false)
        .errorHandler(errors)
        .mtuLength(options.mtuBytes())
        .publicationTermBufferLength(options.termBytes())
        .publicationTermWindowLength(options.windowBytes())
        .initialWindowLength(options.windowBytes())
        .socketRcvbufLength(granted.receiveBufferBytes)
        .socketSndbufLength(granted.sendBufferBytes)
        .termBufferSparseFile(true)
        // The other side is lost after one silence, seen within a tenth of it: signs of life come ten times as often.
        .statusMessageTimeoutNs(silenceNs / 10)
        .timerIntervalNs(silenceNs / 10)
        .imageLivenessTimeoutNs(silenceNs)
        .publicationConnectionTimeoutNs(silenceNs)
        .publicationLingerTimeoutNs(LINGER_NS)
        .clientLivenessTimeoutNs(NEVER_PARTED_NS)
        .publicationUnblockTimeoutNs(2 * NEVER_PARTED_NS)
        .driverTimeoutMs(TimeUnit.NANOSECONDS.toMillis(NEVER_PARTED_NS));
  }

  /** What the kernel gave. */
  private record Granted(TransportOptions options, InetSocketAddress address, int receiveBufferBytes, int sendBufferBytes) {}

  /** Finds a free port, or sees whether the wanted one is free, and asks for socket buffers. */
  private static Granted probe(TransportOptions wanted) {
    InetSocketAddress at = new InetSocketAddress(wanted.bind(), wanted.port());
    try (DatagramSocket socket = new DatagramSocket(null)) {
      socket.setReuseAddress(false);
      socket.bind(at);
      // Two streams' windows, and the kernel's own overhead for each datagram.
      socket.setOption(StandardSocketOptions.SO_RCVBUF, 2 * wanted.windowBytes());
      socket.setOption(StandardSocketOptions.SO_SNDBUF, wanted.windowBytes());
      int receive = socket.getOption(StandardSocketOptions.SO_RCVBUF);
      int send = socket.getOption(StandardSocketOptions.SO_SNDBUF);
      // The JDK halves what Linux reports, which is twice what it lets a user have (man 7 socket, SO_RCVBUF).
      int window = Math.max(wanted.mtuBytes(), Math.min(wanted.windowBytes(), receive) / 32 * 32);
      if (window < wanted.windowBytes()) {
        LOG.warn(
            "The kernel grants a receive buffer of {} bytes, so the window is {} instead of {} and moves are slower; "
                + "sysctl net.core.rmem_max={} and net.core.wmem_max={} help",
            receive, window, wanted.windowBytes(), 2 * wanted.windowBytes(), wanted.windowBytes());
      }
      if (send < wanted.mtuBytes() || receive < wanted.mtuBytes()) {
        throw new TransportException(
            "The kernel's socket buffers (" + receive + " and " + send + " bytes) do not hold one datagram of "
                + wanted.mtuBytes() + " bytes; raise net.core.rmem_max and net.core.wmem_max or lower the transport's MTU");
      }
      InetSocketAddress bound = new InetSocketAddress(wanted.bind(), socket.getLocalPort());
      return new Granted(wanted.withPort(bound.getPort()).withBuffers(wanted.termBytes(), window), bound, receive, send);
    } catch (SocketException e) {
      throw new TransportException(
          "UDP " + text(at) + " cannot be received on: " + e.getMessage()
              + "; choose another port (0 takes any free one) or an address of this host", e);
    } catch (IOException e) {
      throw new TransportException("The socket buffers of UDP " + text(at) + " cannot be set: " + e.getMessage(), e);
    }
  }

  /** Keeps the socket open for as long as the transport lives: streams share it. No ticket has stream 0. */
  private void holdPort() {
    String channel = receiveChannel(0);
    pump.call("Opening " + this, COMMAND_PATIENCE, () -> aeron.addSubscription(channel, 0));
  }

  /** Where senders reach this transport. */
  public InetSocketAddress address() {
    return address;
  }

  /** The settings in force: the port that was found and the window that the kernel allows. */
  public TransportOptions options() {
    return options;
  }

  /** Errors that Aeron reported since the transport opened; each kind was logged once. */
  public long errorCount() {
    return errors.count();
  }

  /** The directory of the driver's buffers. */
  public Path directory() {
    return directory;
  }

  /**
   * Opens a stream towards a transport that listens, or will within {@code patience}, for the same ticket.
   *
   * @param remote the other transport's {@link #address()}
   * @param patience how long to wait for the receiver to appear, and later how long a call may go on without any progress at the
   *     receiver before it gives up
   * @throws TransportException when nobody expects this ticket there in time
   */
  public PageStreamSender connect(InetSocketAddress remote, StreamTicket ticket, Duration patience) {
    PageStreamSender sender = new PageStreamSender(this, openOutlet(remote, ticket, patience), ticket);
    try {
      sender.greet();
      return sender;
    } catch (RuntimeException e) {
      sender.close();
      throw e;
    }
  }

  /**
   * Expects a stream. The caller decides who polls: {@link PageStreamReceiver#start()} for a thread of its own, or
   * {@link PageStreamReceiver#run()} or {@link PageStreamReceiver#poll()} on the caller's.
   *
   * @param patience how long the sender may take to appear and show its token, from now
   */
  public PageStreamReceiver listen(StreamTicket ticket, FrameHandler handler, Duration patience) {
    return new PageStreamReceiver(this, openInlet(ticket), ticket, handler, patience);
  }

  /** A connected way out, for a page stream or a raw one. */
  Outlet openOutlet(InetSocketAddress remote, StreamTicket ticket, Duration patience) {
    checkOpen();
    String what = ticket + " to " + text(remote);
    String channel =
        new ChannelUriStringBuilder().media("udp").endpoint(text(remote)).sessionId(ticket.sessionId()).build();
    ExclusivePublication publication =
        pump.call("Opening " + what, COMMAND_PATIENCE, () -> aeron.addExclusivePublication(channel, ticket.streamId()));
    rejections.put(publication.registrationId(), "");
    Outlet outlet = new Outlet(this, publication, senderPositionCounter(publication), what, patience);
    opened(outlet);
    try {
      outlet.awaitReceiver();
      return outlet;
    } catch (RuntimeException e) {
      outlet.close();
      throw e;
    }
  }

  /** A way in, for a page stream or a raw one; the caller closes it through {@link #closeInlet}. */
  Subscription openInlet(StreamTicket ticket) {
    checkOpen();
    String channel = receiveChannel(ticket.sessionId());
    return pump.call(
        "Listening for " + ticket, COMMAND_PATIENCE, () -> aeron.addSubscription(channel, ticket.streamId()));
  }

  void closeInlet(Subscription inlet) {
    try {
      pump.call("Closing a stream", COMMAND_PATIENCE, () -> {
        inlet.close();
        return true;
      });
    } catch (TransportException e) {
      LOG.debug("A stream went with its transport", e);
    }
  }

  /** Tells the sender why it is turned away; does not wait. */
  void reject(Image image, String reason) {
    pump.post(() -> image.reject(reason));
  }

  void closePublication(ExclusivePublication publication, boolean revoke) {
    try {
      pump.call("Closing a stream", COMMAND_PATIENCE, () -> {
        if (revoke) {
          publication.revoke();
        } else {
          publication.close();
        }
        rejections.remove(publication.registrationId());
        return true;
      });
    } catch (TransportException e) {
      LOG.debug("A stream went with its transport", e);
    }
  }

  void opened(AutoCloseable stream) {
    streams.add(stream);
    pump.streamOpened();
    if (closed.get()) {
      throw new TransportException(this + " is closed");
    }
  }

  void forget(AutoCloseable stream) {
    if (streams.remove(stream)) {
      pump.streamClosed();
    }
  }

  DriverPump pump() {
    return pump;
  }

  CountersReader counters() {
    return aeron.countersReader();
  }

  private void rejected(long registrationId, String reason) {
    rejections.computeIfPresent(registrationId, (id, none) -> AeronErrors.printable(reason));
  }

  /** What the receiver said when it turned the publication away, or an empty text. */
  String rejection(long registrationId) {
    return rejections.getOrDefault(registrationId, "");
  }

  private int senderPositionCounter(ExclusivePublication publication) {
    return aeron.countersReader().findByTypeIdAndRegistrationId(SENDER_POSITION, publication.registrationId());
  }

  private String receiveChannel(int sessionId) {
    return new ChannelUriStringBuilder().media("udp").endpoint(text(address)).sessionId(sessionId).build();
  }

  private void checkOpen() {
    if (closed.get()) {
      throw new TransportException(this + " is closed");
    }
  }

  /** Ends all streams (their other sides see them break, unless they had ended), stops the driver, and deletes its directory. */
  @Override
  public void close() {
    if (!closed.compareAndSet(false, true)) {
      return;
    }
    for (AutoCloseable stream : Set.copyOf(streams)) {
      try {
        stream.close();
      } catch (Exception e) {
        LOG.warn("{}: a stream did not close: {}", this, e.toString());
      }
    }
    errors.closing();
    pump.close();
    // Both are turned by nobody any more, and closing them takes their locks' place.
    aeron.close();
    driver.close();
    AeronDirectory.delete(directory);
  }

  @Override
  public String toString() {
    return "The page transport on " + text(address);
  }

  private static String text(InetSocketAddress address) {
    InetAddress ip = address.getAddress();
    if (ip == null) {
      throw new TransportException("The host name " + address.getHostString() + " has no address");
    }
    String host = ip instanceof Inet6Address ? "[" + ip.getHostAddress() + "]" : ip.getHostAddress();
    return host + ":" + address.getPort();
  }
}
