package io.gantry.actors.link;

import io.gantry.actors.NodeCommand;
import io.gantry.actors.protocol.PeerMessage;
import java.util.List;

/** What comes to a node from outside. */
public sealed interface Inbound {
  /** A message of a peer. */
  record Delivered(PeerMessage message) implements Inbound {}

  /** Who the peers are now; this node is not among them. */
  record PeersChanged(List<Peer> peers) implements Inbound {
    public PeersChanged {
      peers = List.copyOf(peers);
    }
  }

  /**
   * A command.
   *
   * @param forwarded whether a peer has passed it on, so that it must not be passed on again
   */
  record Commanded(NodeCommand command, boolean forwarded) implements Inbound {}
}
