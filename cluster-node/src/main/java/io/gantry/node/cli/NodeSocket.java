package io.gantry.node.cli;

import io.gantry.node.control.ControlClient;
import io.gantry.node.control.ControlSocket;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** The option with which a command finds its node. */
final class NodeSocket {
  @Option(
      names = "--state-dir",
      paramLabel = "DIR",
      description = {
        "State directory of the node to talk to. Default: GANTRY_STATE_DIR, else the only node on this host, else /var/lib/gantry."
      })
  Path stateDirectory;

  ControlClient open() {
    return new ControlClient(ControlSocket.find(Optional.ofNullable(stateDirectory)));
  }
}
