package io.gantry.actors.ledger;

import io.gantry.actors.protocol.CarriedSpec;
import io.gantry.checkpoint.ContainerHandle;
import java.util.Objects;
import java.util.Optional;

/**
 * What this host's ledger says about one container. The last entry of a container counts.
 *
 * @param container its name
 * @param epoch how often it has changed owners, from 1; never falls for one container on one host
 * @param status this host's part in it
 * @param peer the other host of the migration, or empty
 * @param migration id of the migration that brought it or takes it away, or empty when it was born here
 * @param peerLedgerId which ledger of the peer remembers its part, or empty
 * @param digest what both sides must have computed, for HELD and RELEASED; or empty
 * @param handle how to find it on this host, when there is something to be found
 * @param spec what it was started with, while the host has to do with it
 */
public record LedgerEntry(
    String container,
    long epoch,
    Status status,
    String peer,
    String migration,
    String peerLedgerId,
    String digest,
    Optional<ContainerHandle> handle,
    Optional<CarriedSpec> spec) {
  /** This host's part in a container. */
  public enum Status {
    /** It is this host's, and runs here or has ended here. */
    OWNED,
    /** A copy is being built here; it has no owner's rights and nothing of it outlives the agent. */
    ARRIVING,
    /** A complete, frozen copy waits for the source's decision. */
    HELD,
    /** Given to the peer; the frozen original is kept until the peer has confirmed that the copy runs. */
    RELEASED,
    /** This host has nothing of it any more. */
    GONE
  }

  public LedgerEntry {
    Objects.requireNonNull(status);
    Objects.requireNonNull(handle);
    Objects.requireNonNull(spec);
    if (container.isEmpty()) {
      throw new IllegalArgumentException("A ledger entry needs the name of a container.");
    }
    if (epoch < 1) {
      throw new IllegalArgumentException("The epoch of container " + container + " must be at least 1, not " + epoch + ".");
    }
  }

  /** A container that was born here. */
  public static LedgerEntry born(String container, long epoch, ContainerHandle handle, CarriedSpec spec) {
    return new LedgerEntry(container, epoch, Status.OWNED, "", "", "", "", Optional.of(handle), Optional.of(spec));
  }

  /** A copy that is beginning to be built here. */
  public static LedgerEntry arriving(String container, long epoch, String source, String migration, CarriedSpec spec) {
    return new LedgerEntry(container, epoch, Status.ARRIVING, source, migration, "", "", Optional.empty(), Optional.of(spec));
  }

  public LedgerEntry held(ContainerHandle copy, String digestOfBoth) {
    return new LedgerEntry(container, epoch, Status.HELD, peer, migration, peerLedgerId, digestOfBoth, Optional.of(copy), spec);
  }

  public LedgerEntry owned() {
    return new LedgerEntry(container, epoch, Status.OWNED, peer, migration, peerLedgerId, digest, handle, spec);
  }

  /** Given to {@code destination}, which will have it at {@code newEpoch}. */
  public LedgerEntry released(long newEpoch, String destination, String migrationId, String destinationLedgerId,
      String digestOfBoth) {
    return new LedgerEntry(
        container, newEpoch, Status.RELEASED, destination, migrationId, destinationLedgerId, digestOfBoth, handle, spec);
  }

  /**
   * Taken back, because the peer never owned it or is off: one epoch later than the one that was given away. The move stays
   * named, so that a peer that comes back and thinks that it owns the container can be told better.
   */
  public LedgerEntry takenBack() {
    return new LedgerEntry(container, epoch + 1, Status.OWNED, peer, migration, peerLedgerId, "", handle, spec);
  }

  public LedgerEntry gone() {
    return new LedgerEntry(container, epoch, Status.GONE, peer, migration, peerLedgerId, "", Optional.empty(), Optional.empty());
  }
}
