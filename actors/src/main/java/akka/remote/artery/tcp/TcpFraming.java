package akka.remote.artery.tcp;

import akka.remote.artery.EnvelopeBuffer;
import akka.remote.artery.RemotingFlightRecorder;
import akka.stream.Attributes;
import akka.stream.FlowShape;
import akka.stream.Inlet;
import akka.stream.Outlet;
import akka.stream.stage.AbstractInHandler;
import akka.stream.stage.AbstractOutHandler;
import akka.stream.stage.GraphStage;
import akka.stream.stage.GraphStageLogic;
import akka.util.ByteString;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Cuts the bytes of one incoming connection into frames. Stands in the place of Akka's class of that name, which believes
 * every length that it is sent: a negative one makes it hand out empty frames without end, until the node's log and memory are
 * full. See {@code docs/decisions/artery-framing.md}.
 *
 * <p>A connection begins with {@code AKKA} and the number of a stream, 1 to 3; each frame with its length, 4 bytes, the lowest
 * first. What does not look like that ends the connection with one line in the log and harms no other.
 */
public class TcpFraming extends GraphStage<FlowShape<ByteString, EnvelopeBuffer>> {
  private static final Logger LOG = LoggerFactory.getLogger(TcpFraming.class);

  private static final byte[] MAGIC = {'A', 'K', 'K', 'A'};
  private static final int CONNECTION_HEADER_BYTES = MAGIC.length + 1;
  private static final int LENGTH_BYTES = 4;
  private static final int STREAMS = 3;

  /** Lines about dropped connections in {@link #LINES_PER_NS}; the others are counted. */
  private static final int LINES_MAX = 20;

  private static final long LINES_PER_NS = 60_000_000_000L;
  private static final Dropped DROPPED = new Dropped();

  private final Inlet<ByteString> in = Inlet.create("TcpFraming.in");
  private final Outlet<EnvelopeBuffer> out = Outlet.create("TcpFraming.out");
  private final FlowShape<ByteString, EnvelopeBuffer> shape = FlowShape.of(in, out);
  private final RemotingFlightRecorder flightRecorder;

  /** As Akka's own; called by its transport for each incoming connection. */
  public TcpFraming(RemotingFlightRecorder flightRecorder) {
    this.flightRecorder = flightRecorder;
  }

  @Override
  public FlowShape<ByteString, EnvelopeBuffer> shape() {
    return shape;
  }

  @Override
  public GraphStageLogic createLogic(Attributes inheritedAttributes) {
    return new Logic();
  }

  /** Keeps a flood of bad connections from becoming a flood of lines. Any thread. */
  private static final class Dropped {
    private long unsaid;
    private long sinceNs = System.nanoTime();
    private int lines;

    synchronized void say(String why) {
      var nowNs = System.nanoTime();
      if (nowNs - sinceNs >= LINES_PER_NS) {
        sinceNs = nowNs;
        lines = 0;
      }
      if (lines == LINES_MAX) {
        unsaid++;
        return;
      }
      lines++;
      var others = unsaid;
      unsaid = 0;
      LOG.warn("Dropped a connection to the port of the actors: {}{}", why,
          others == 0 ? "" : " (and " + others + " before it, of which nothing was said)");
    }
  }

  private final class Logic extends GraphStageLogic {
    private ByteString buffer = ByteString.emptyByteString();
    private int frameBytesMax;
    private int streamId;

    Logic() {
      super(shape);
      setHandler(
          in,
          new AbstractInHandler() {
            @Override
            public void onPush() {
              buffer = buffer.concat(grab(in));
              next();
            }

            @Override
            public void onUpstreamFinish() {
              // What is left of a frame is nothing.
              completeStage();
            }
          });
      setHandler(
          out,
          new AbstractOutHandler() {
            @Override
            public void onPull() {
              next();
            }
          });
    }

    @Override
    public void preStart() {
      var advanced = materializer().system().settings().config().getConfig("akka.remote.artery.advanced");
      frameBytesMax =
          (int) Math.max(advanced.getBytes("maximum-frame-size"), advanced.getBytes("maximum-large-frame-size"));
    }

    /** Hands out the next frame, or asks for more. */
    private void next() {
      if (streamId == 0 && !readHeader()) {
        return;
      }
      if (streamId == 0 || buffer.size() < LENGTH_BYTES) {
        more();
        return;
      }
      var length = copy(0, LENGTH_BYTES).getInt();
      if (length < EnvelopeBuffer.MetadataContainerAndLiteralSectionOffset() || length > frameBytesMax) {
        drop("it announces a message of " + length + " bytes.");
        return;
      }
      if (buffer.size() < LENGTH_BYTES + length) {
        more();
        return;
      }
      var frame = copy(LENGTH_BYTES, length);
      if (!isEnvelope(frame)) {
        drop("what it sends is no message of a node.");
        return;
      }
      buffer = buffer.drop(LENGTH_BYTES + length);
      flightRecorder.tcpInboundReceived(length);
      var envelope = new EnvelopeBuffer(frame);
      envelope.setStreamId(streamId);
      push(out, envelope);
    }

    /** @return whether the connection may go on */
    private boolean readHeader() {
      var known = copy(0, Math.min(buffer.size(), CONNECTION_HEADER_BYTES));
      var magic = Math.min(known.limit(), MAGIC.length);
      if (Arrays.mismatch(known.array(), 0, magic, MAGIC, 0, magic) >= 0) {
        drop("it does not begin as one between nodes.");
        return false;
      }
      if (known.limit() == CONNECTION_HEADER_BYTES) {
        var id = known.get(MAGIC.length);
        if (id < 1 || id > STREAMS) {
          drop("it asks for stream " + id + ".");
          return false;
        }
        streamId = id;
        buffer = buffer.drop(CONNECTION_HEADER_BYTES);
      }
      return true;
    }

    /** Some of what has come. */
    private ByteBuffer copy(int from, int length) {
      var bytes = new byte[length];
      buffer.slice(from, from + length).asByteBuffer().get(bytes);
      return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private void more() {
      if (isClosed(in)) {
        completeStage();
      } else if (!hasBeenPulled(in)) {
        pull(in);
      }
    }

    private void drop(String why) {
      DROPPED.say(why);
      buffer = ByteString.emptyByteString();
      completeStage();
    }

    /**
     * Whether version and tags can be read: a tag is a number of a compression table, its highest byte all ones, or the place
     * of a text of at most as many bytes as follow ({@code EnvelopeBuffer}).
     */
    private boolean isEnvelope(ByteBuffer frame) {
      return frame.get(EnvelopeBuffer.VersionOffset()) == 0
          && isTag(frame, EnvelopeBuffer.SenderActorRefTagOffset())
          && isTag(frame, EnvelopeBuffer.RecipientActorRefTagOffset())
          && isTag(frame, EnvelopeBuffer.ClassManifestTagOffset());
    }

    private static boolean isTag(ByteBuffer frame, int offset) {
      var tag = frame.getInt(offset);
      if ((tag & EnvelopeBuffer.TagTypeMask()) != 0) {
        return (tag & EnvelopeBuffer.TagTypeMask()) == EnvelopeBuffer.TagTypeMask();
      }
      if (tag < EnvelopeBuffer.MetadataContainerAndLiteralSectionOffset() || tag > frame.limit() - Short.BYTES) {
        return false;
      }
      var length = frame.getShort(tag);
      return length >= 0 && length <= frame.limit() - tag - Short.BYTES;
    }
  }
}
