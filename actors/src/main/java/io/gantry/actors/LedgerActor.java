package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.PostStop;
import akka.actor.typed.javadsl.Behaviors;
import io.gantry.actors.ledger.Ledger;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/**
 * This host's ledger as an actor. Writes block until they are durable, so it runs on a thread of its own ({@code
 * gantry.ledger-dispatcher}).
 * Whatever was written is told to the guardian before it is told to the one who asked, so that the guardian's view is never
 * older than what somebody acts on.
 */
public final class LedgerActor {
  public sealed interface Message {}

  /** Makes an entry durable. */
  public record Append(LedgerEntry entry, ActorRef<Reply> replyTo) implements Message {}

  /** Answers when everything that was asked for before has been done. */
  public record Sync(String token, ActorRef<Reply> replyTo) implements Message {}

  public sealed interface Reply {}

  /** @param token of the {@link Sync} */
  public record Synced(String token) implements Reply {}

  /** @param elapsedNs how long it took to make it durable */
  public record Written(LedgerEntry entry, long elapsedNs) implements Reply {}

  /** @param certain whether a restart would surely not find the entry */
  public record NotWritten(LedgerEntry entry, String reason, boolean certain) implements Reply {}

  private LedgerActor() {}

  /** @param written learns of each entry that has become durable; called on the ledger's thread */
  static Behavior<Message> create(Ledger ledger, LongSupplier nowNs, Consumer<LedgerEntry> written) {
    return Behaviors.receive(Message.class)
        .onMessage(
            Append.class,
            append -> {
              append.replyTo().tell(append(ledger, nowNs, written, append.entry()));
              return Behaviors.same();
            })
        .onMessage(
            Sync.class,
            sync -> {
              sync.replyTo().tell(new Synced(sync.token()));
              return Behaviors.same();
            })
        .onSignal(
            PostStop.class,
            _ -> {
              ledger.close();
              return Behaviors.same();
            })
        .build();
  }

  private static Reply append(Ledger ledger, LongSupplier nowNs, Consumer<LedgerEntry> written, LedgerEntry entry) {
    var begin = nowNs.getAsLong();
    try {
      ledger.append(entry);
    } catch (LedgerException e) {
      return new NotWritten(entry, e.getMessage(), e.certainlyNotWritten());
    } catch (IllegalArgumentException e) {
      return new NotWritten(entry, e.getMessage(), true);
    }
    written.accept(entry);
    return new Written(entry, nowNs.getAsLong() - begin);
  }
}
