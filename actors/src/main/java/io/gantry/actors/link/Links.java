package io.gantry.actors.link;

import io.gantry.actors.NodeCommand;
import io.gantry.actors.protocol.PeerMessage;

/**
 * The ways to the other nodes. Sending never blocks and may lose the message: who needs an answer asks again. A simulation
 * replaces this and nothing
 * else. Any thread.
 */
public interface Links {
  /** Sends to the node of that name; drops the message when there is none. */
  void send(String peer, PeerMessage message);

  /** Passes a command on to the node of that name, which answers the one who asked. */
  void forward(String peer, NodeCommand command);
}
