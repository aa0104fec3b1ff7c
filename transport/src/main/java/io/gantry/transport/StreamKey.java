package io.gantry.transport;

import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Objects;

/** A 256-bit secret that both ends of a stream know. Immutable; never shown by {@link #toString()}. */
public final class StreamKey {
  /** Bytes of a key. */
  public static final int BYTES = 32;

  private static final SecureRandom RANDOM = new SecureRandom();

  private final byte[] bytes;

  private StreamKey(byte[] bytes) {
    this.bytes = bytes;
  }

  /** A new key from the system's source of randomness. */
  public static StreamKey random() {
    byte[] bytes = new byte[BYTES];
    RANDOM.nextBytes(bytes);
    return new StreamKey(bytes);
  }

  /**
   * A key that was agreed elsewhere.
   *
   * @param bytes {@value #BYTES} bytes; copied
   */
  public static StreamKey of(byte[] bytes) {
    Objects.requireNonNull(bytes, "bytes");
    if (bytes.length != BYTES) {
      throw new IllegalArgumentException("A stream key has " + BYTES + " bytes, this one has " + bytes.length);
    }
    return new StreamKey(bytes.clone());
  }

  /** A copy of the secret, to be sent over a protected link. */
  public byte[] bytes() {
    return bytes.clone();
  }

  String hex() {
    return HexFormat.of().formatHex(bytes);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof StreamKey key && java.security.MessageDigest.isEqual(bytes, key.bytes);
  }

  @Override
  public int hashCode() {
    return java.util.Arrays.hashCode(bytes);
  }

  @Override
  public String toString() {
    return "StreamKey(secret)";
  }
}
