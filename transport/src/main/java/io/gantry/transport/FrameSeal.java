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
 * AES-256-GCM over frames. The key of a stream is derived (HKDF-SHA256, RFC 5869) from the ticket's key with the token as salt, so that
 * the nonce, which is the frame's sequence number, never meets the same key twice even if a key were agreed for several streams.
 * The header is authenticated but not hidden. For one thread.
 */
final class FrameSeal {
  /** Bytes of authentication behind the body. */
  static final int TAG_BYTES = 16;

  private static final int NONCE_BYTES = 12;

  private final Cipher cipher;
  private final SecretKey key;

  FrameSeal(StreamTicket ticket, StreamKey secret) {
    try {
      key =
          KDF.getInstance("HKDF-SHA256")
              .deriveKey(
                  "AES",
                  HKDFParameterSpec.ofExtract()
                      .addIKM(secret.bytes())
                      .addSalt(ticket.token())
                      .thenExpand(("gantry page stream " + ticket.streamId()).getBytes(StandardCharsets.US_ASCII), 32));
      cipher = Cipher.getInstance("AES/GCM/NoPadding");
    } catch (GeneralSecurityException e) {
      throw new TransportException("This JDK cannot seal frames: " + e.getMessage(), e);
    }
  }

  /** Encrypts {@code body} into {@code sealed}, which gets {@value #TAG_BYTES} bytes more. */
  void seal(long sequence, ByteBuffer header, ByteBuffer body, ByteBuffer sealed) {
    try {
      cipher.init(Cipher.ENCRYPT_MODE, key, nonce(sequence));
      cipher.updateAAD(header);
      cipher.doFinal(body, sealed);
    } catch (GeneralSecurityException e) {
      throw new TransportException("Frame " + sequence + " could not be sealed: " + e.getMessage(), e);
    }
  }

  /** Decrypts {@code sealed} into {@code body}. Returns false when it was not sealed with this key, or was changed on the way. */
  boolean open(long sequence, ByteBuffer header, ByteBuffer sealed, ByteBuffer body) {
    try {
      cipher.init(Cipher.DECRYPT_MODE, key, nonce(sequence));
      cipher.updateAAD(header);
      cipher.doFinal(sealed, body);
      return true;
    } catch (GeneralSecurityException e) {
      return false;
    }
  }

  private static GCMParameterSpec nonce(long sequence) {
    byte[] nonce = new byte[NONCE_BYTES];
    ByteBuffer.wrap(nonce).putLong(NONCE_BYTES - Long.BYTES, sequence);
    return new GCMParameterSpec(8 * TAG_BYTES, nonce);
  }
}
