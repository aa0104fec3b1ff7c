package io.gantry.node;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.cli.GantryCommand;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * One command, run in this process with its output caught.
 *
 * @param status exit status
 * @param out standard output
 * @param err standard error
 */
public record Invocation(int status, String out, String err) {
  /** Runs {@code gantry} with these words. Only one at a time, since standard output is one. */
  public static synchronized Invocation of(String... words) {
    var out = new ByteArrayOutputStream();
    var err = new ByteArrayOutputStream();
    PrintStream outBefore = System.out;
    PrintStream errBefore = System.err;
    try (var outStream = new PrintStream(out, true, StandardCharsets.UTF_8);
        var errStream = new PrintStream(err, true, StandardCharsets.UTF_8)) {
      System.setOut(outStream);
      System.setErr(errStream);
      int status = GantryCommand.execute(words);
      return new Invocation(status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    } finally {
      System.setOut(outBefore);
      System.setErr(errBefore);
    }
  }

  /** Standard output as exactly one JSON object; anything else fails. */
  public ObjectNode json() {
    try {
      return Json.parse(out);
    } catch (IOException notOne) {
      throw new AssertionError("standard output is not exactly one JSON object: " + out + "\nstandard error: " + err, notOne);
    }
  }
}
