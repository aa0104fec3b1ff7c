package io.gantry.transport;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Objects;
import java.util.Optional;

/**
 * What both ends of one stream must know, agreed over a protected link before: the stream's number, a random token that the
 * sender shows first, and, if the pages are to be sealed, a key. A ticket is good for one stream. Immutable; the secrets are
 * not in {@link #toString()}, only in {@link #text()}.
 */
public final class StreamTicket {
  /** Bytes of a token: 128 bits. */
  public static final int TOKEN_BYTES = 16;

  private static final SecureRandom RANDOM = new SecureRandom();
  private static final HexFormat HEX = HexFormat.of();

  private final int streamId;
  private final byte[] token;
  private final Optional<StreamKey> key;

  private StreamTicket(int streamId, byte[] token, Optional<StreamKey> key) {
    this.streamId = streamId;
    this.token = token;
    this.key = key;
  }

  /**
   * A ticket with a token that was agreed elsewhere.
   *
   * @param streamId 1 or more
   * @param token {@value #TOKEN_BYTES} bytes; copied
   * @param key seals every frame with AES-GCM when present
   */
  public static StreamTicket of(int streamId, byte[] token, Optional<StreamKey> key) {
    Objects.requireNonNull(token, "token");
    Objects.requireNonNull(key, "key");
    if (streamId < 1) {
      throw new IllegalArgumentException("A stream's number is 1 or more, not " + streamId);
    }
    if (token.length != TOKEN_BYTES) {
      throw new IllegalArgumentException("A stream's token has " + TOKEN_BYTES + " bytes, this one has " + token.length);
    }
    return new StreamTicket(streamId, token.clone(), key);
  }

  /** A new ticket with a random number and token, without sealing. */
  public static StreamTicket random() {
    byte[] token = new byte[TOKEN_BYTES];
    RANDOM.nextBytes(token);
    return new StreamTicket(RANDOM.nextInt(1, Integer.MAX_VALUE), token, Optional.empty());
  }

  /** A new ticket with a random number, token and key. */
  public static StreamTicket randomSealed() {
    return random().sealedWith(StreamKey.random());
  }

  /** The same stream, sealed under {@code key}. */
  public StreamTicket sealedWith(StreamKey key) {
    return new StreamTicket(streamId, token, Optional.of(key));
  }

  /** The whole ticket, secrets included, as one line for {@link #parse}. */
  public String text() {
    return streamId + ":" + HEX.formatHex(token) + key.map(secret -> ":" + secret.hex()).orElse("");
  }

  /** Reads what {@link #text()} wrote. */
  public static StreamTicket parse(String text) {
    String[] parts = text.split(":", -1);
    if (parts.length != 2 && parts.length != 3) {
      throw new IllegalArgumentException("A stream ticket is number:token or number:token:key, not a text of " + parts.length
          + " parts");
    }
    try {
      Optional<StreamKey> key = parts.length == 3 ? Optional.of(StreamKey.of(HEX.parseHex(parts[2]))) : Optional.empty();
      return of(Integer.parseInt(parts[0]), HEX.parseHex(parts[1]), key);
    } catch (IllegalArgumentException e) {
      // Not the cause's own message: it may quote a secret.
      throw new IllegalArgumentException("A stream ticket cannot be read: number, token or key is malformed");
    }
  }

  /** The stream's number, 1 or more. */
  public int streamId() {
    return streamId;
  }

  /** The key that seals the stream, if it is sealed. */
  public Optional<StreamKey> key() {
    return key;
  }

  /** A copy of the token. */
  public byte[] token() {
    return token.clone();
  }

  /**
   * The Aeron session this stream uses. It is derived from the token, so that the receiving driver drops every other session
   * before it costs memory; one-way, because a session number travels in the clear.
   */
  int sessionId() {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(token);
      return (digest[0] & 0xff) << 24 | (digest[1] & 0xff) << 16 | (digest[2] & 0xff) << 8 | digest[3] & 0xff;
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("Every JDK has SHA-256", e);
    }
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof StreamTicket ticket
        && streamId == ticket.streamId
        && MessageDigest.isEqual(token, ticket.token)
        && key.equals(ticket.key);
  }

  @Override
  public int hashCode() {
    return 31 * streamId + Arrays.hashCode(token);
  }

  @Override
  public String toString() {
    return "stream " + streamId + (key.isPresent() ? " (sealed)" : "");
  }
}
