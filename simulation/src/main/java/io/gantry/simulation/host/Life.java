package io.gantry.simulation.host;

import io.gantry.checkpoint.CheckpointException;
import java.util.ArrayList;
import java.util.List;

/**
 * One life of an agent, from its start to its death. All stand-ins of that agent's world ask here before and after each thing
 * they do: a dead agent does nothing any more, whatever its actors still ask for. One thread at a time, except {@link #isDead}.
 */
public final class Life {
  /** Who sees everything that an agent does, and may let it fail. */
  public interface Watcher {
    /** Nobody. */
    Watcher NOBODY = new Watcher() {};

    /** Something is about to happen; throws to let it fail. */
    default void before(Life life, String operation) {}

    /** Something has happened, and nobody else knows yet. */
    default void after(Life life, String operation) {}

    /** What a digest is taken for that was computed right. */
    default String digest(Life life, String digest) {
      return digest;
    }

    /** How long something takes that usually takes {@code ns}. */
    default long duration(Life life, long ns) {
      return ns;
    }
  }

  /** A call that has had its effect and has not returned. */
  interface Underway {
    /** It returns later by that. */
    void takes(long ns);

    /** Time it takes so far. */
    long spentNs();

    /** It is broken off when {@code cause} is closed. */
    void dependsOn(Object cause);
  }

  private final String host;
  private final Watcher watcher;
  private volatile boolean isDead;
  private Underway current;
  private final List<Runnable> atDeath = new ArrayList<>();

  public Life(String host, Watcher watcher) {
    this.host = host;
    this.watcher = watcher;
  }

  public String host() {
    return host;
  }

  public boolean isDead() {
    return isDead;
  }

  /** It dies at once, without a word. */
  public void end() {
    isDead = true;
    atDeath.forEach(Runnable::run);
    atDeath.clear();
  }

  /** What happens to what it has open. */
  public void onDeath(Runnable task) {
    atDeath.add(task);
  }

  public void before(String operation) {
    alive();
    watcher.before(this, operation);
    alive();
  }

  public void after(String operation) {
    watcher.after(this, operation);
    alive();
  }

  /** What a digest is taken for that was computed right. */
  String digest(String digest) {
    return watcher.digest(this, digest);
  }

  private void alive() {
    if (isDead) {
      throw new CheckpointException("The agent of " + host + " is dead.");
    }
  }

  /** The call under way takes time. */
  public void takes(long ns) {
    if (current != null) {
      current.takes(watcher.duration(this, ns));
    }
  }

  /** The call under way takes exactly so long. */
  public void takesExactly(long ns) {
    if (current != null) {
      current.takes(ns);
    }
  }

  /** How long the call under way takes so far; 0 when there is none. */
  public long spentNs() {
    return current == null ? 0 : current.spentNs();
  }

  /** The call under way is broken off when {@code cause} is closed. */
  public void dependsOn(Object cause) {
    if (current != null) {
      current.dependsOn(cause);
    }
  }

  void begins(Underway call) {
    current = call;
  }

  void returns() {
    current = null;
  }
}
