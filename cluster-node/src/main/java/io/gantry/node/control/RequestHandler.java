package io.gantry.node.control;

import com.fasterxml.jackson.databind.node.ObjectNode;

/** What the node does with a request. Called on a thread of its own per request; may block. */
@FunctionalInterface
public interface RequestHandler {
  /**
   * @param command the command's name, as on the command line
   * @param arguments the whole request
   * @param progress takes any number of intermediate objects for the client
   * @return the result that the client prints
   * @throws io.gantry.node.CommandException when it cannot be done; the client shows its sentence and exits with its code
   */
  ObjectNode handle(String command, ObjectNode arguments, Progress progress) throws Exception;

  /** The way back to a client that is waiting. */
  interface Progress {
    /** Sends an intermediate object. Does nothing when the client has gone. */
    void report(ObjectNode progress);

    /** False once the client has hung up or stopped reading. */
    boolean isWanted();
  }
}
