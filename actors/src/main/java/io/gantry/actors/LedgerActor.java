package io.gantry.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.PostStop;
import akka.actor.typed.javadsl.Behaviors;
import io.gantry.actors.ledger.Ledger;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.actors.ledger.LedgerException;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
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

  private record Broken(Throwable failure) implements Message {}

  public sealed interface Reply {}

  /** @param token of the {@link Sync} */
  public record Synced(String token) implements Reply {}

  /** @param elapsedNs how long it took to make it durable */
  public record Written(LedgerEntry entry, long elapsedNs) implements Reply {}

  /** @param certain whether a restart would surely not find the entry */
  public record NotWritten(LedgerEntry entry, String reason, boolean certain) implements Reply {}

  private LedgerActor() {}

  /**
   * @param calls where the ledger is written
   * @param written learns of each entry that has become durable, before the one who asked does
   */
  static Behavior<Message> create(Ledger ledger, BlockingCalls calls, LongSupplier nowNs, Consumer<LedgerEntry> written) {
    return Behaviors.setup(
        context -> {
          var self = context.getSelf();
          var lane = new BlockingLane(calls);
          return Behaviors.receive(Message.class)
              .onMessage(
                  Append.class,
                  append -> {
                    answer(lane.submit(() -> append(ledger, nowNs, append.entry())), nowNs, written, append.replyTo(), self);
                    return Behaviors.same();
                  })
              .onMessage(
                  Sync.class,
                  sync -> {
                    lane.submit(() -> true).thenAccept(_ -> sync.replyTo().tell(new Synced(sync.token())));
                    return Behaviors.same();
                  })
              .onMessage(
                  Broken.class,
                  broken -> {
                    throw new IllegalStateException("The ledger failed in a way that is not known of it.", broken.failure());
                  })
              .onSignal(
                  PostStop.class,
                  _ -> {
                    ledger.close();
                    return Behaviors.same();
                  })
              .build();
        });
  }

  /** What came of an attempt; @param beginNs when it began; @param failure empty when the entry is durable */
  private record Attempt(LedgerEntry entry, long beginNs, Optional<NotWritten> failure) {}

  private static Attempt append(Ledger ledger, LongSupplier nowNs, LedgerEntry entry) {
    var begin = nowNs.getAsLong();
    try {
      ledger.append(entry);
      return new Attempt(entry, begin, Optional.empty());
    } catch (LedgerException e) {
      return new Attempt(entry, begin, Optional.of(new NotWritten(entry, e.getMessage(), e.certainlyNotWritten())));
    } catch (IllegalArgumentException e) {
      return new Attempt(entry, begin, Optional.of(new NotWritten(entry, e.getMessage(), true)));
    }
  }

  private static void answer(
      CompletionStage<Attempt> attempted, LongSupplier nowNs, Consumer<LedgerEntry> written, ActorRef<Reply> replyTo,
          ActorRef<Message> self) {
    attempted.whenComplete(
        (attempt, broken) -> {
          if (broken != null) {
            self.tell(new Broken(broken));
          } else if (attempt.failure().isPresent()) {
            replyTo.tell(attempt.failure().get());
          } else {
            written.accept(attempt.entry());
            replyTo.tell(new Written(attempt.entry(), nowNs.getAsLong() - attempt.beginNs()));
          }
        });
  }
}
