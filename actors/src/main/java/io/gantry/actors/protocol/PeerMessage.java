package io.gantry.actors.protocol;

import io.gantry.actors.PageLinks.Endpoint;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.HaulWish;
import java.util.List;

/**
 * What hosts say to each other. Every message names its sender, and what belongs to a move the move's id. All are idempotent:
 * lost, doubled, late or
 * replayed after a restart they do no harm, because a receiver acts on the id and on its ledger and never on the number of
 * messages.
 *
 * <pre>
 * source                                       destination
 *   Offer ─────────────────────────────────────▶  preflight
 *         ◀──────────────── Accepted | Refused
 *   RoundSent … (for progress) ────────────────▶
 *         ◀─── RoundApplied … (freeze when all) ──
 *         ◀───────────── Working (I am alive) …
 *   LastSent (digest) ─────────────────────────▶  ledger: HELD
 *         ◀───────────────────── Ready (digest)
 *   ledger: RELEASED
 *   Activate ──────────────────────────────────▶  ledger: OWNED, run
 *         ◀────────────────────────── Activated
 *
 *   before RELEASED, either side may give up:    Discard ▶   ◀ Failed
 *   Ready and unanswered, or restarted:          ◀ Query     Answer (UNDECIDED | RELEASED | ROLLED_BACK) ▶
 *   Activate to one who has not got the copy:    ◀ Answer (NEVER_OWNED | HELD)
 *
 *   a person has said that the other host is off, and it comes back:      Owns ▶ or ◀ Owns; the lower epoch gives way
 * </pre>
 */
public sealed interface PeerMessage extends WireMessage {
  /** Name of the node that sent it. */
  String from();

  /** Belongs to a move. */
  sealed interface OfMigration extends PeerMessage {
    /** Id of the move; chosen by the source, never used twice. */
    String migration();
  }

  /** From the source of a move to its destination. */
  sealed interface ToDestination extends OfMigration {}

  /** From the destination of a move to its source. */
  sealed interface ToSource extends OfMigration {}

  /**
   * Will you take this container?
   *
   * @param version what the source speaks
   * @param epoch the epoch that the copy would have at least
   * @param footprint what the container has, with the source's host facts
   */
  record Offer(
      String from, String migration, ProtocolVersion version, String container, long epoch, CarriedSpec spec, Footprint footprint)
      implements ToDestination {}

  /**
   * Yes; send the pages there.
   *
   * @param epoch the epoch that the copy will have
   * @param ledgerId which ledger will remember it
   * @param warnings what differs between the two hosts without being in the way; empty from a node that does not tell
   * @param hauls files that have to be sent along; none to a node that does not ask for any
   */
  record Accepted(String from, String migration, long epoch, Endpoint endpoint, String ledgerId, List<Finding> warnings, List<HaulWish> hauls)
      implements ToSource {
    public Accepted {
      hauls = hauls == null ? List.of() : List.copyOf(hauls);
      warnings = warnings == null ? List.of() : List.copyOf(warnings);
    }
  }

  /**
   * No.
   *
   * @param findings every reason
   * @param passing whether a later offer may succeed, such as when too many moves are under way
   */
  record Refused(String from, String migration, List<Finding> findings, boolean passing) implements ToSource {
    public Refused {
      findings = List.copyOf(findings);
    }
  }

  /** How far the rounds are; for the destination's own display. */
  record RoundSent(String from, String migration, int round, long pages, long bytes) implements ToDestination {}

  /**
   * The destination has taken in so many rounds: their pages are in place, and the processes that they are for exist. Since 1.5;
   * without it the source waits a little longer before it freezes the container.
   */
  record RoundApplied(String from, String migration, int count) implements ToSource {}

  /** Everything was sent. */
  record LastSent(String from, String migration, String digest) implements ToDestination {}

  /** Still at it; says nothing but that the destination is alive. */
  record Working(String from, String migration, String step) implements ToSource {}

  /**
   * The copy is complete, frozen, and in the ledger as HELD.
   *
   * @param digest as the destination computed it
   * @param recreateNs kernel objects and digest
   * @param heldNs writing HELD
   * @param sinceEndNs from the end of the stream until this message
   */
  record Ready(String from, String migration, String digest, String ledgerId, long recreateNs, long heldNs, long sinceEndNs)
      implements ToSource {}

  /** The source has written RELEASED: the copy is yours. */
  record Activate(String from, String migration, String container, long epoch, String digest) implements ToDestination {}

  /**
   * OWNED was written and the copy runs.
   *
   * @param ownedNs writing OWNED; 0 when answered from the ledger
   * @param resumeNs letting the copy run; 0 when answered from the ledger
   */
  record Activated(String from, String migration, long ownedNs, long resumeNs) implements ToSource {}

  /** The source has not released the container and will not under this id. */
  record Discard(String from, String migration, String reason) implements ToDestination {}

  /** The destination cannot take the container; it has nothing of it any more, or soon will not. */
  record Failed(String from, String migration, String reason) implements ToSource {}

  /** A destination that holds a copy asks what became of the move. */
  record Query(String from, String migration, String container, long epoch) implements ToSource {}

  /** What the source's ledger, or the destination's, says about a move. Sent by either. */
  record Answer(String from, String migration, Standing standing, String ledgerId) implements OfMigration {}

  /** What a ledger says about a move. */
  enum Standing {
    /** Source: it is under way and not decided. */
    UNDECIDED,
    /** Source: RELEASED is on disk. */
    RELEASED,
    /** Source: it was not released and will never be under this id. */
    ROLLED_BACK,
    /** Destination: the copy is there, and not yet owned or not yet running. */
    HELD,
    /** Destination: there is no copy, OWNED was never written under this id, and never will be. */
    NEVER_OWNED
  }

  /**
   * The sender owns the container since, or as the end of, a move between the two. Says nothing new after a move that went the
   * usual way; after one that was resolved by a person it makes the other side give way when its epoch is lower. Since version
   * 1.1; its loss only delays that until the two meet the next time.
   *
   * @param epoch that the container has at the sender's now
   */
  record Owns(String from, String migration, String container, long epoch) implements OfMigration {}

  /** Introduces a node to a peer that has come up. */
  record Hello(String from, ProtocolVersion version, String ledgerId, String kernel) implements PeerMessage {}

  /**
   * What changed in the sender's holdings since {@code baseVersion}, or all of them.
   *
   * @param incarnation of the sender's ledger; a higher one makes everything older void
   * @param baseVersion what the receiver must have to apply it; -1: this is the first part of everything, and the other parts
   *     have {@code version} here
   * @param version what it has then
   */
  record Holdings(String from, long incarnation, long baseVersion, long version, List<Holding> changed) implements PeerMessage {
    public Holdings {
      changed = List.copyOf(changed);
    }
  }

  /** Which version the sender's holdings have now, and how many there are; who has others asks. */
  record HoldingsVersion(String from, long incarnation, long version, int count) implements PeerMessage {}

  /** Send me all your holdings. */
  record HoldingsWanted(String from) implements PeerMessage {}

  /**
   * One container as its node shows it.
   *
   * @param status name of a {@code ContainerInfo.Status}, or {@code GONE}
   */
  record Holding(String container, long epoch, String status, List<String> command, int initPid, String note) {
    public Holding {
      command = List.copyOf(command);
    }
  }
}
