package io.gantry.node.daemon;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import io.gantry.node.control.RequestHandler;
import java.util.Optional;

/** What a node is made of. */
final class NodeWiring implements AutoCloseable {
  static NodeWiring start(NodeConfig config, StateDirectory state) {
    return new NodeWiring();
  }

  RequestHandler requests() {
    return (command, arguments, progress) -> {
      throw new CommandException(ExitCode.USAGE, "The node does not know the command '" + command + "'.");
    };
  }

  Optional<Rehearsal.Result> rehearsal() {
    return Optional.empty();
  }

  @Override
  public void close() {}
}
