package io.gantry.node;

/**
 * Every way in which a command can end. The one table: the command line exits with {@link #status()}, answers over the control socket
 * carry {@link #word()}, and {@code docs/commands.md} documents both.
 */
public enum ExitCode {
  /** Done. */
  OK(0, "ok"),
  /** Something failed that has no code of its own; the sentence says what. */
  FAILED(1, "failed"),
  /** Unknown or contradictory options, or an unreadable configuration. */
  USAGE(2, "usage"),
  /** No such container, node, process, program or image directory. */
  NOT_FOUND(3, "not-found"),
  /** The container cannot be carried, or the destination does not take it. It was not touched. */
  REFUSED(4, "refused"),
  /** The move failed before its commit; the container runs on where it was. */
  ROLLED_BACK(5, "rolled-back"),
  /** It is not known on which side the container belongs; it stays frozen until that is known. */
  IN_DOUBT(6, "in-doubt"),
  /** No node answers: not started, another state directory, or a peer that is down. */
  UNREACHABLE(7, "unreachable"),
  /** Root (or a missing capability) is needed. */
  NOT_ROOT(8, "not-root"),
  /** In the way of something that is already there: name taken, port in use, state directory in use, a move under way. */
  CONFLICT(9, "conflict"),
  /** The host lacks something: a kernel feature, a JDK 25. The launcher uses it too. */
  HOST_UNFIT(10, "host-unfit"),
  /** Ran to its end, and the result is not what was promised: a bound of a benchmark, the verdict of the demo. */
  CHECK_FAILED(11, "check-failed"),
  /** An image directory is damaged, truncated or of a version this program does not know. */
  DAMAGED(12, "damaged"),
  /** Ended by Ctrl-C or SIGTERM (128 + SIGINT, as shells count). */
  INTERRUPTED(130, "interrupted");

  private final int status;
  private final String word;

  ExitCode(int status, String word) {
    this.status = status;
    this.word = word;
  }

  /** What the process exits with, 0 to 255. */
  public int status() {
    return status;
  }

  /** The same in JSON. */
  public String word() {
    return word;
  }

  /** The code whose {@link #word()} this is; {@link #FAILED} for a word of a newer version. */
  public static ExitCode ofWord(String word) {
    for (var code : values()) {
      if (code.word.equals(word)) {
        return code;
      }
    }
    return FAILED;
  }
}
