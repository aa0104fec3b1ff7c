package io.gantry.actors.link;

import akka.actor.typed.ActorRef;
import akka.actor.typed.javadsl.ActorContext;

/** Connects a node to its peers when its guardian starts. */
@FunctionalInterface
public interface LinksFactory {
  /**
   * @param context of the guardian; may be used to spawn actors, only during the call
   * @param node is told what comes in, from now on
   */
  Links connect(ActorContext<?> context, ActorRef<Inbound> node);
}
