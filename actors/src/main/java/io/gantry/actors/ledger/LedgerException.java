package io.gantry.actors.ledger;

/**
 * The ledger could not be opened or written. The message is a sentence: which file, what the system answered, what would help.
 */
public final class LedgerException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final boolean certainlyNotWritten;

  public LedgerException(String sentence, boolean certainlyNotWritten, Throwable cause) {
    super(sentence, cause);
    this.certainlyNotWritten = certainlyNotWritten;
  }

  public LedgerException(String sentence, boolean certainlyNotWritten) {
    this(sentence, certainlyNotWritten, null);
  }

  /** Whether a restart would surely not find the entry. When false it may or may not be on disk, and nobody may act on either. */
  public boolean certainlyNotWritten() {
    return certainlyNotWritten;
  }
}
