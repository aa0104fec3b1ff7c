package io.gantry.actors;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/**
 * A container as the cluster knows it.
 *
 * @param name unique in the cluster
 * @param node where it lives; for a container in a move, where the frozen or running original is
 * @param epoch how often it has changed owners, counted from 1
 * @param status what the ledger of that node says, or what is known beyond it
 * @param command program and arguments
 * @param initPid process 1 as the host counts; 0 when unknown or ended
 * @param note a sentence when the status needs one, such as what an in-doubt container waits for or an exit status; or empty
 */
public record ContainerInfo(
    @JsonProperty("name") String name,
    @JsonProperty("node") String node,
    @JsonProperty("epoch") long epoch,
    @JsonProperty("status") Status status,
    @JsonProperty("command") List<String> command,
    @JsonProperty("init_pid") int initPid,
    @JsonProperty("note") String note) {
  public ContainerInfo {
    command = List.copyOf(command);
  }

  /** What a container is doing. */
  public enum Status {
    @JsonProperty("running")
    RUNNING,
    /** Runs, and is being copied to another node. */
    @JsonProperty("migrating")
    MIGRATING,
    /** Is being copied to this node; not complete. */
    @JsonProperty("arriving")
    ARRIVING,
    /** Complete copy, frozen, waits for the source's word. */
    @JsonProperty("held")
    HELD,
    /** Given away: frozen original until the destination has confirmed that it runs. */
    @JsonProperty("released")
    RELEASED,
    /** As {@link #RELEASED}, and the confirmation is overdue; {@code note} says what is awaited. */
    @JsonProperty("in-doubt")
    IN_DOUBT,
    /** Its first process has ended. {@code gantry stop} removes the rest. */
    @JsonProperty("exited")
    EXITED
  }
}
