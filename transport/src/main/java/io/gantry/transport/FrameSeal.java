package io.gantry.transport;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import javax.crypto.Cipher;
import javax.crypto.KDF;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.HKDFParameterSpec;

/**
 * AES-256-GCM over frames. The key of a stream is derived (HKDF-SHA256, RFC 5869) from the ticket's key with the token as salt,
 * so that the nonce, which is the frame's sequence number, never meets the same key twice even if a key were agreed for several
 * streams. The header is authenticated but not hidden. For one thread.
 */
final class FrameSeal {
  /** Bytes of authentication behind the body. */
  static final int TAG_BYTES = 16;

  private static final int NONCE_BYTES = 12;

  private final Cipher cipher;
  private final SecretKey key;
  private final byte[] header = new byte[Frame.HEADER_BYTES - Frame.VERSION_AT];
  private final byte[] plain = new byte[TransportOptions.MTU_MAX];
  private final byte[] sealed = new byte[TransportOptions.MTU_MAX];

  FrameSeal(StreamTicket ticket, StreamKey secret) {
    try {
      key =
          KDF.getInstance("HKDF-SHA256")
              .deriveKey(
                  "AES",
                  HKDFParameterSpec.ofExtract()
                      .addIKM(secret.bytes())
                      .addSalt(ticket.token())
                      .thenExpand(purpose(ticket), StreamKey.BYTES));
      cipher = Cipher.getInstance("AES/GCM/NoPadding");
    } catch (GeneralSecurityException e) {
      throw new TransportException("This JDK cannot seal frames: " + e.getMessage(), e);
    }
  }

  /**
   * Encrypts {@code bytes} bytes of body at {@code from}, and writes them and {@value #TAG_BYTES} bytes more to {@code to}.
   * Both are copied through arrays: the JDK's fast path for AES-GCM takes nothing else (12 against 5 GB/s here, the copies
   * included).
   */
  void seal(long sequence, ByteBuffer header, int headerAt, ByteBuffer from, int fromAt, int bytes, ByteBuffer to, int toAt) {
    try {
      from.get(fromAt, plain, 0, bytes);
      begin(Cipher.ENCRYPT_MODE, sequence, header, headerAt);
      int length = cipher.doFinal(plain, 0, bytes, sealed, 0);
      to.put(toAt, sealed, 0, length);
    } catch (GeneralSecurityException e) {
      throw new TransportException("Frame " + sequence + " could not be sealed: " + e.getMessage(), e);
    }
  }

  /**
   * Decrypts what {@link #seal} wrote: {@code bytes} bytes, the authentication included.
   *
   * @return false when it was not sealed with this key, or was changed on the way; nothing is written then
   */
  boolean open(long sequence, ByteBuffer header, int headerAt, ByteBuffer from, int fromAt, int bytes, ByteBuffer to, int toAt) {
    try {
      from.get(fromAt, sealed, 0, bytes);
      begin(Cipher.DECRYPT_MODE, sequence, header, headerAt);
      int length = cipher.doFinal(sealed, 0, bytes, plain, 0);
      to.put(toAt, plain, 0, length);
      return true;
    } catch (GeneralSecurityException e) {
      return false;
    }
  }

  private void begin(int mode, long sequence, ByteBuffer bytes, int headerAt) throws GeneralSecurityException {
    bytes.get(headerAt + Frame.VERSION_AT, header);
    cipher.init(mode, key, nonce(sequence));
    cipher.updateAAD(header);
  }

  private static byte[] purpose(StreamTicket ticket) {
    return ("gantry page stream " + ticket.streamId()).getBytes(StandardCharsets.US_ASCII);
  }

  private static GCMParameterSpec nonce(long sequence) {
    byte[] nonce = new byte[NONCE_BYTES];
    ByteBuffer.wrap(nonce).putLong(NONCE_BYTES - Long.BYTES, sequence);
    return new GCMParameterSpec(8 * TAG_BYTES, nonce);
  }
}
