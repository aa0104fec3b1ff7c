package io.gantry.node.daemon;

import io.gantry.node.CommandException;
import io.gantry.node.ExitCode;
import java.io.IOException;
import java.net.BindException;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.ServerSocket;

/** Looks whether a node's ports are free, so that it can say so in a sentence before anything is started. */
final class Ports {
  private Ports() {}

  /** @throws CommandException naming the port, and what helps */
  static void requireFree(NodeConfig config) {
    try (var socket = new ServerSocket()) {
      socket.setReuseAddress(true);
      socket.bind(new InetSocketAddress(config.bind(), config.port()));
    } catch (IOException failure) {
      throw taken("TCP", config.bind(), config.port(), "--port", failure);
    }
    try (var socket = new DatagramSocket(null)) {
      socket.bind(new InetSocketAddress(config.bind(), config.pagesPort()));
    } catch (IOException failure) {
      throw taken("UDP", config.bind(), config.pagesPort(), "--pages-port", failure);
    }
  }

  private static CommandException taken(String protocol, String address, int port, String option, IOException failure) {
    if (failure instanceof BindException && String.valueOf(failure.getMessage()).contains("assign")) {
      return new CommandException(
          ExitCode.USAGE,
          "No interface of this host has the address " + address + ". Give one of its own with --bind (ip address lists them).",
          failure);
    }
    return new CommandException(
        ExitCode.CONFLICT,
        protocol + " port " + port + " on " + address + " cannot be used (" + failure.getMessage()
            + "). Another node or program may have it: ss -lnp | grep :" + port + " tells. Stop it or choose another with " + option + ".",
        failure);
  }
}
