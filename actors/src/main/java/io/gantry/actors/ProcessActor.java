package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.Behaviors;
import io.gantry.checkpoint.ProcessFacts;

/**
 * One process of a container: keeps its figures and answers with them. Its container's actor starts and stops it as the
 * process comes and goes.
 */
final class ProcessActor {
  sealed interface Message {}

  /** @param atNs when the facts were read, on the monotonic clock */
  record Seen(ProcessFacts facts, long atNs) implements Message {}

  record Describe(ActorRef<ProcessInfo> replyTo) implements Message {}

  private ProcessActor() {}

  static Behavior<Message> create(ProcessFacts facts, long atNs) {
    return known(facts, atNs, 0);
  }

  private static Behavior<Message> known(ProcessFacts facts, long atNs, double cpuPercent) {
    return Behaviors.receive(Message.class)
        .onMessage(
            Seen.class,
            seen -> {
              var elapsedNs = seen.atNs() - atNs;
              var percent = elapsedNs <= 0 ? cpuPercent : 100.0 * Math.max(0, seen.facts().cpuNs() - facts.cpuNs()) / elapsedNs;
              return known(seen.facts(), seen.atNs(), percent);
            })
        .onMessage(
            Describe.class,
            describe -> {
              describe
                  .replyTo()
                  .tell(
                      new ProcessInfo(
                          facts.pid(), facts.containerPid(), facts.name(), facts.threads(), facts.residentBytes(),
                              Math.round(cpuPercent * 10) / 10.0));
              return Behaviors.same();
            })
        .build();
  }
}
