package akka.remote.artery.tcp;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.ActorSystem;
import akka.remote.artery.EnvelopeBuffer;
import akka.remote.artery.NoOpRemotingFlightRecorder$;
import akka.stream.javadsl.Sink;
import akka.stream.javadsl.Source;
import akka.util.ByteString;
import com.typesafe.config.ConfigFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Our framing takes the place of Akka's, cuts where Akka's cuts, and believes nothing. */
class TcpFramingTest {
  private static final int FRAME_MIN = 28;

  private static ActorSystem system;

  @BeforeAll
  static void open() {
    system =
        ActorSystem.create("framing", ConfigFactory.parseString("akka.loglevel = WARNING").withFallback(ConfigFactory.load()));
  }

  @AfterAll
  static void end() throws Exception {
    system.terminate();
    system.getWhenTerminated().toCompletableFuture().get(20, TimeUnit.SECONDS);
  }

  /** What comes out of a connection on which these pieces arrive; fails when that does not end. */
  private static List<EnvelopeBuffer> framed(List<ByteString> pieces) throws Exception {
    return Source.from(pieces)
        .via(new TcpFraming(NoOpRemotingFlightRecorder$.MODULE$))
        .take(10_000)
        .completionTimeout(Duration.ofSeconds(20))
        .runWith(Sink.seq(), system)
        .toCompletableFuture()
        .get(30, TimeUnit.SECONDS);
  }

  /** A frame without literals, as every message after the first ones between two nodes: all tags are numbers of tables. */
  private static byte[] envelope(int length, long uid) {
    return ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN).putLong(4, uid)
        .putInt(16, 0xFF000000).putInt(20, 0xFF000001)
        .putInt(24, 0xFF000002).array();
  }

  private static ByteString stream(byte[]... frames) {
    var bytes = TcpFraming$.MODULE$.encodeConnectionHeader(2);
    for (var frame : frames) {
      bytes = bytes.concat(TcpFraming$.MODULE$.encodeFrameHeader(frame.length)).concat(ByteString.fromArray(frame));
    }
    return bytes;
  }

  private static List<ByteString> cut(ByteString bytes, SplittableRandom random) {
    var pieces = new ArrayList<ByteString>();
    for (var at = 0; at < bytes.size();) {
      var end = Math.min(bytes.size(), at + 1 + random.nextInt(60));
      pieces.add(bytes.slice(at, end));
      at = end;
    }
    return pieces;
  }

  @Test
  void theClassOfThisModuleComesFirst() throws Exception {
    var from = Path.of(TcpFraming.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    assertThat(from).isNotEqualTo(Path.of(TcpFraming$.class.getProtectionDomain().getCodeSource().getLocation().toURI()));
    assertThat(from.toString()).doesNotContain("akka-remote");
  }

  @Test
  void framesComeOutWholeHoweverTheyWereCut() throws Exception {
    for (var seed = 0; seed < 50; seed++) {
      var random = new SplittableRandom(seed);
      var frames = new byte[1 + random.nextInt(20)][];
      for (var i = 0; i < frames.length; i++) {
        frames[i] = envelope(FRAME_MIN + random.nextInt(500), i);
      }
      var out = framed(cut(stream(frames), random));
      assertThat(out).hasSize(frames.length);
      for (var i = 0; i < frames.length; i++) {
        assertThat(out.get(i).streamId()).isEqualTo(2);
        assertThat(out.get(i).byteBuffer().array()).isEqualTo(frames[i]);
        assertThat(out.get(i).byteBuffer().order()).isEqualTo(ByteOrder.LITTLE_ENDIAN);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, Integer.MIN_VALUE, 0, 1, FRAME_MIN - 1, 1 << 22, Integer.MAX_VALUE})
  void aLengthThatNoMessageHasEndsTheConnectionAfterWhatCameBefore(int length) throws Exception {
    var bytes =
        stream(envelope(100, 7)).concat(TcpFraming$.MODULE$.encodeFrameHeader(length))
            .concat(ByteString.fromArray(new byte[4000]));
    assertThat(framed(List.of(bytes))).hasSize(1);
  }

  @Test
  void noiseIsNotHandedOn() throws Exception {
    for (var seed = 0; seed < 200; seed++) {
      var random = new SplittableRandom(seed);
      var noise = new byte[FRAME_MIN + random.nextInt(500)];
      random.nextBytes(noise);
      assertThat(framed(cut(ByteString.fromArray(noise), random))).isEmpty();
      assertThat(framed(cut(stream(noise), random))).as("as a frame, seed %d", seed).isEmpty();
    }
  }

  @Test
  void aConnectionThatEndsInTheMiddleOfAFrameIsJustOver() throws Exception {
    var bytes = stream(envelope(100, 7), envelope(200, 8));
    for (var length = 0; length < bytes.size(); length++) {
      assertThat(framed(List.of(bytes.slice(0, length)))).hasSize(length < 109 ? 0 : 1);
    }
  }
}
