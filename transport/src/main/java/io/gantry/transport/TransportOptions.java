package io.gantry.transport;

import java.net.InetAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;

/**
 * Settings of a {@link PageTransport}. Immutable; {@link #on(InetAddress)} gives the defaults, the {@code with…} methods change
 * one. Why the defaults are what they are: {@code docs/decisions/transport-settings.md}.
 *
 * @param bind address to receive on
 * @param port UDP port, 0 for any free one
 * @param mtuBytes largest datagram, {@value #MTU_MIN} to {@value #MTU_MAX}, a multiple of 32; what does not fit the link's own
 *     MTU is fragmented by IP
 * @param termBytes length of one of the three terms of a log buffer, a power of two, 64 KiB to 1 GiB
 * @param windowBytes most bytes in flight, at most half of {@code termBytes}; made smaller when the kernel grants smaller buffers
 * @param messageBytesMax largest message that a receiver puts together, 1 byte to 1 GiB
 * @param silence after how long without a sign of life the other side is taken for gone, 300 ms or more
 * @param directory where the log buffers live; should be memory, such as {@code /dev/shm}
 */
public record TransportOptions(
    InetAddress bind,
    int port,
    int mtuBytes,
    int termBytes,
    int windowBytes,
    int messageBytesMax,
    Duration silence,
    Path directory) {
  /** Smallest MTU: one page, its header and Aeron's. */
  public static final int MTU_MIN = 4256;

  /** Largest MTU: what fits into an IPv4 UDP datagram, rounded down to Aeron's alignment of 32. */
  public static final int MTU_MAX = 65504;

  /** Largest message: 1 GiB. */
  public static final int MESSAGE_BYTES_MAX = 1 << 30;

  /** Checks every range. */
  public TransportOptions {
    Objects.requireNonNull(bind, "bind");
    Objects.requireNonNull(directory, "directory");
    require(port >= 0 && port <= 65535, "A UDP port is 0 to 65535, not " + port);
    require(
        mtuBytes >= MTU_MIN && mtuBytes <= MTU_MAX && mtuBytes % 32 == 0,
        "The transport's MTU is a multiple of 32 from " + MTU_MIN + " to " + MTU_MAX + ", not " + mtuBytes);
    require(
        termBytes >= 64 << 10 && termBytes <= 1 << 30 && Integer.bitCount(termBytes) == 1,
        "A term is a power of two from 64 KiB to 1 GiB, not " + termBytes);
    require(
        windowBytes >= mtuBytes && windowBytes <= termBytes / 2,
        "The window is from one MTU to half a term, not " + windowBytes);
    require(
        messageBytesMax >= 1 && messageBytesMax <= MESSAGE_BYTES_MAX,
        "The largest message is 1 to " + MESSAGE_BYTES_MAX + " bytes, not " + messageBytesMax);
    require(silence.toMillis() >= 300, "The silence that ends a stream is 300 ms or more, not " + silence.toMillis() + " ms");
  }

  /** Defaults: any port, MTU {@value #MTU_MAX}, 4 MiB terms, 1 MiB window, 1 s of silence, {@code /dev/shm}. */
  public static TransportOptions on(InetAddress bind) {
    return new TransportOptions(
        bind, 0, MTU_MAX, 4 << 20, 1 << 20, MESSAGE_BYTES_MAX, Duration.ofSeconds(1), Path.of("/dev/shm"));
  }

  /** The same with another port. */
  public TransportOptions withPort(int port) {
    return new TransportOptions(bind, port, mtuBytes, termBytes, windowBytes, messageBytesMax, silence, directory);
  }

  /** The same with another MTU. */
  public TransportOptions withMtuBytes(int mtuBytes) {
    return new TransportOptions(bind, port, mtuBytes, termBytes, windowBytes, messageBytesMax, silence, directory);
  }

  /** The same with other buffer sizes. */
  public TransportOptions withBuffers(int termBytes, int windowBytes) {
    return new TransportOptions(bind, port, mtuBytes, termBytes, windowBytes, messageBytesMax, silence, directory);
  }

  /** The same with another bound for messages. */
  public TransportOptions withMessageBytesMax(int messageBytesMax) {
    return new TransportOptions(bind, port, mtuBytes, termBytes, windowBytes, messageBytesMax, silence, directory);
  }

  /** The same with another silence. */
  public TransportOptions withSilence(Duration silence) {
    return new TransportOptions(bind, port, mtuBytes, termBytes, windowBytes, messageBytesMax, silence, directory);
  }

  /** The same with another place for the log buffers. */
  public TransportOptions withDirectory(Path directory) {
    return new TransportOptions(bind, port, mtuBytes, termBytes, windowBytes, messageBytesMax, silence, directory);
  }

  private static void require(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalArgumentException(otherwise);
    }
  }
}
