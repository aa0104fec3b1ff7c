package io.gantry.node;

import java.util.Objects;

/** A command cannot do what it was asked. The message is a sentence for the person who typed it; no stack trace is shown. */
public final class CommandException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ExitCode code;

  public CommandException(ExitCode code, String sentence) {
    this(code, sentence, null);
  }

  public CommandException(ExitCode code, String sentence, Throwable cause) {
    super(Objects.requireNonNull(sentence), cause);
    this.code = Objects.requireNonNull(code);
  }

  public ExitCode code() {
    return code;
  }
}
