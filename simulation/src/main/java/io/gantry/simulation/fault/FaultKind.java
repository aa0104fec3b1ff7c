package io.gantry.simulation.fault;

import static io.gantry.simulation.fault.MovePhase.destination;
import static io.gantry.simulation.fault.MovePhase.source;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** What can go wrong. Its name on the command line is the constant in lower case with dashes. */
public enum FaultKind {
  /** For a time some messages between the two hosts are lost. */
  MESSAGE_LOSS(Where.EVERYWHERE),
  /** For a time messages come twice. */
  MESSAGE_DOUBLING(Where.EVERYWHERE),
  /** For a time messages come late. */
  MESSAGE_DELAY(Where.EVERYWHERE),
  /** For a time messages overtake each other. */
  MESSAGE_REORDERING(Where.EVERYWHERE),
  /** For a time nothing comes through in one direction. */
  ONE_WAY_PARTITION(Where.EVERYWHERE),
  /** For a time nothing comes through. */
  PARTITION(Where.EVERYWHERE),
  /** For a time pages and messages take many times as long. */
  SLOW_LINK(Where.EVERYWHERE),
  /** The page stream is lost, and nothing else. */
  STREAM_BREAK(Set.of(source("Connecting"), source("PreCopying"), source("SendingLast"), destination("Receiving"))),
  /** The host is switched off between any two effects, and on again later. */
  HOST_CRASH(Where.EVERYWHERE),
  /** The agent is killed between any two effects and started again later; containers live on. */
  AGENT_CRASH(Where.EVERYWHERE),
  /** The actor of the move fails. */
  ACTOR_CRASH(Where.EVERYWHERE),
  /** For a time the disk of the ledger is full. */
  DISK_FULL(Where.WRITING),
  /** A record is written in part, and for a time the disk fails. */
  TORN_WRITE(Where.WRITING),
  /** A record is written and not synced, and for a time the disk fails. */
  LOST_WRITE(Where.WRITING),
  /** A record takes long to become durable. */
  SLOW_DISK(Where.WRITING),
  /** The host's monotonic clock jumps, as after a suspension or under a faulty hypervisor. */
  CLOCK_JUMP(Where.EVERYWHERE),
  /** An operation of the engine fails. */
  ENGINE_FAILURE(Where.WORKING),
  /** An operation of the engine hangs and ends much later. */
  ENGINE_HANG(Where.WORKING_LONG),
  /** A page is changed on its way. */
  PAGE_CORRUPTION(Set.of(source("PreCopying"), source("SendingLast"))),
  /** A digest is computed wrong. */
  WRONG_DIGEST(Set.of(source("SendingLast"), destination("Recreating"))),
  /** The user cancels the move. */
  USER_CANCEL(Where.ON_SOURCE),
  /** Somebody wants the container moved elsewhere, or stopped, at the same time. */
  CONCURRENT_REQUEST(Where.EVERYWHERE),
  /** The container writes faster than pages can be sent. */
  NEVER_CONVERGES(Set.of(source("PreCopying"))),
  /** The container has one process more. */
  CONTAINER_FORK(
      Set.of(source("Inspecting"), source("Offering"), source("Pausing"), source("Connecting"), source("PreCopying"))),
  /** The container's first process ends. */
  CONTAINER_EXIT(Where.EVERYWHERE);

  /** Sets of phases. */
  private static final class Where {
    static final Set<MovePhase> EVERYWHERE = Set.copyOf(MovePhase.ALL);
    static final Set<MovePhase> ON_SOURCE =
        MovePhase.ALL.stream().filter(phase -> phase.side() == MovePhase.Side.SOURCE).collect(Collectors.toUnmodifiableSet());
    static final Set<MovePhase> WRITING =
        Set.of(
            source("Releasing"), source("Unsaying"), source("TakingBack"), source("Forgetting"), destination("Announcing"),
            destination("RecordingHeld"), destination("Owning"), destination("Forgetting"));
    static final Set<MovePhase> WORKING_LONG =
        Set.of(
            source("Inspecting"), source("Connecting"), source("PreCopying"), source("Freezing"), source("SendingLast"),
            source("AwaitingReady"), source("RollingBack"), source("Destroying"), destination("Checking"), destination("Opening"),
            destination("Recreating"), destination("Starting"), destination("Discarding"));
    static final Set<MovePhase> WORKING =
        MovePhase.ALL.stream()
            .filter(phase -> WORKING_LONG.contains(phase) || phase.equals(destination("Receiving")))
            .collect(Collectors.toUnmodifiableSet());
  }

  private final Set<MovePhase> phases;

  FaultKind(Set<MovePhase> phases) {
    this.phases = phases;
  }

  /** Whether it can strike in a phase at all. */
  public boolean appliesTo(MovePhase phase) {
    return phases.contains(phase);
  }

  /** In which phases it can strike, in their usual order. */
  public List<MovePhase> phases() {
    var ordered = new ArrayList<>(MovePhase.ALL);
    ordered.retainAll(phases);
    return ordered;
  }

  /** As people write it. */
  public String title() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** The kind with that title. */
  public static Optional<FaultKind> titled(String title) {
    return Arrays.stream(values()).filter(kind -> kind.title().equals(title)).findFirst();
  }
}
