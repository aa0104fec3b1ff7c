package io.gantry.simulation.run;

import java.util.ArrayList;
import java.util.List;

/** What has happened in a run, in order: always as a hash, and when asked for also in words. One thread. */
public final class EventLog {
  /** Kinds of what can happen. */
  public enum Kind {
    /** A message between hosts arrived: {@code where} sent it, {@code other} got it. */
    MESSAGE,
    /** A message between hosts was lost. */
    LOST,
    /** A side of a move entered a phase. */
    PHASE,
    /** The engine, the disk or a stream did something. */
    EFFECT,
    /** A fault struck. */
    FAULT,
    /** What a container does. */
    COPY,
    /** A user asked, or was answered. */
    USER,
    /** An invariant was broken. */
    VIOLATION
  }

  /** @param where a host, or empty; @param other another host, or empty; @param about a container or a move, or empty */
  public record Entry(long atNs, Kind kind, String where, String other, String what, String about) {}

  private final boolean isKept;
  private final List<Entry> entries = new ArrayList<>();
  private long hash = 0x9E3779B97F4A7C15L;
  private long count;

  /** @param isKept whether {@link #entries} are to be had */
  public EventLog(boolean isKept) {
    this.isKept = isKept;
  }

  void add(long atNs, Kind kind, String where, String other, String what, String about) {
    count++;
    // Strings, whose hashes are the same everywhere; never the hash of an enum or of an array.
    mix(atNs);
    mix(kind.ordinal());
    mix(where.hashCode());
    mix(other.hashCode());
    mix(what.hashCode());
    mix(about.hashCode());
    if (isKept) {
      entries.add(new Entry(atNs, kind, where, other, what, about));
    }
  }

  private void mix(long value) {
    hash = (hash ^ value) * 0xD6E8FEB86659FD93L;
    hash ^= hash >>> 29;
  }

  /** Equal for two runs in which the same happened at the same times in the same order. */
  public long hash() {
    return hash;
  }

  /** How much has happened. */
  public long count() {
    return count;
  }

  public boolean isKept() {
    return isKept;
  }

  /** What happened, when it is kept. */
  public List<Entry> entries() {
    return entries;
  }
}
