package io.gantry.transport;

import io.aeron.exceptions.RegistrationException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.agrona.ErrorHandler;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Where Aeron's errors go: each kind is logged once, all are counted. Safe for any thread. */
final class AeronErrors implements ErrorHandler {
  private static final Logger LOG = LoggerFactory.getLogger(PageTransport.class);

  /** Bounds the memory that hostile datagrams can claim by causing errors with ever new texts. */
  private static final int KINDS_MAX = 64;

  private final Map<String, Boolean> seen = new HashMap<>();
  private final AtomicLong count = new AtomicLong();
  private volatile boolean closing;

  @Override
  public void onError(Throwable error) {
    count.incrementAndGet();
    if (closing || isRejection(error)) {
      return;
    }
    synchronized (seen) {
      StackTraceElement[] trace = error.getStackTrace();
      String kind = error.getClass().getName() + (trace.length > 0 ? "@" + trace[0] : "");
      if (seen.size() >= KINDS_MAX || seen.putIfAbsent(kind, true) != null) {
        return;
      }
    }
    LOG.warn("Aeron: {} (logged once, counted from now on)", sentence(error));
    LOG.debug("Aeron", error);
  }

  /** A receiver's refusal is an error to Aeron; to us it is an answer, which the sender passes on. */
  private static boolean isRejection(Throwable error) {
    return error.getMessage() != null && error.getMessage().contains("onPublicationError");
  }

  /** From now on errors are only counted: closing is expected to make some. */
  void closing() {
    closing = true;
  }

  long count() {
    return count.get();
  }

  /** The error's text without Aeron's own decoration. */
  static String sentence(Throwable error) {
    String message = error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
    if (error instanceof RegistrationException registration) {
      message = registration.getMessage();
    }
    return printable(message.replaceFirst("^(ERROR|WARN|FATAL) - ", ""));
  }

  /** Text from elsewhere, shortened and freed of control characters. */
  static String printable(String text) {
    StringBuilder clean = new StringBuilder();
    for (int i = 0; i < text.length() && clean.length() < 300; i++) {
      char letter = text.charAt(i);
      clean.append(Character.isISOControl(letter) ? ' ' : letter);
    }
    return clean.toString();
  }
}
