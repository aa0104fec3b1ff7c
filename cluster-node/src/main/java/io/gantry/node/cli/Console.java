package io.gantry.node.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.Json;
import java.io.PrintStream;

/**
 * Where a command writes. Results go to standard output, as text or as exactly one JSON object; everything that happens on the way goes
 * to standard error. One thread at a time.
 */
public final class Console {
  private final boolean json;
  private final PrintStream out;
  private final PrintStream err;
  private final boolean errIsTerminal;
  private boolean lineOpen;

  public Console(boolean json, PrintStream out, PrintStream err) {
    this.json = json;
    this.out = out;
    this.err = err;
    errIsTerminal = isTerminal(2);
  }

  public boolean isJson() {
    return json;
  }

  /** True when standard error is a terminal that understands cursor movements. */
  public boolean errIsTerminal() {
    return errIsTerminal;
  }

  /** True when text on standard output may be coloured: a terminal, and NO_COLOR is not set (no-color.org). */
  public boolean outHasColour() {
    return !json && isTerminal(1) && System.getenv("NO_COLOR") == null;
  }

  private static boolean isTerminal(int descriptor) {
    // System.console() only tells about standard input and output together; the link tells about one descriptor.
    try {
      String target = java.nio.file.Files.readSymbolicLink(java.nio.file.Path.of("/proc/self/fd/" + descriptor)).toString();
      return (target.startsWith("/dev/pts/") || target.startsWith("/dev/tty") || target.equals("/dev/console"))
          && !"dumb".equals(System.getenv("TERM"));
    } catch (java.io.IOException unknown) {
      return false;
    }
  }

  /** The result: the object when {@code --json} was given, else the text. */
  public void result(ObjectNode object, String text) {
    endLine();
    if (json) {
      out.println(Json.line(object));
    } else if (!text.isEmpty()) {
      out.println(text);
    }
    out.flush();
  }

  /** True when there is somebody to ask: standard input and standard error are a terminal. */
  public boolean canAsk() {
    return errIsTerminal && isTerminal(0);
  }

  /** A question on standard error; the answer is to be typed behind it. */
  public void question(String text) {
    endLine();
    err.print(text);
    err.flush();
  }

  /** Text that only makes sense without {@code --json}. */
  public void text(String text) {
    if (!json) {
      endLine();
      out.println(text);
      out.flush();
    }
  }

  /** Raw bytes of a log. */
  public void raw(String text) {
    out.print(text);
    out.flush();
  }

  /** A line about what is going on, on standard error. */
  public void note(String line) {
    endLine();
    err.println(line);
    err.flush();
  }

  /** Replaces the live line on a terminal; on anything else does nothing. */
  public void live(String line) {
    if (errIsTerminal) {
      // Carriage return, text, erase to the end of the line (ECMA-48 EL).
      err.print("\r" + line + "\u001b[K");
      err.flush();
      lineOpen = true;
    }
  }

  /** Removes the live line. */
  public void endLine() {
    if (lineOpen) {
      err.print("\r\u001b[K");
      err.flush();
      lineOpen = false;
    }
  }
}
