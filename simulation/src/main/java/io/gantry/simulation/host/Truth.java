package io.gantry.simulation.host;

import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.simulation.host.StandInHost.Copy;
import io.gantry.simulation.host.StandInHost.State;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.LongSupplier;

/**
 * Everything that is really there on all hosts, and the judge of the invariants that hold at every step. After each change it
 * looks at the container that was changed: whether it has more than one runnable copy (I1), whether it has one at all (I2),
 * whether a host
 * has something of it that its ledger does not name (I4), and whether what begins to run is what stood still (I5). Any thread;
 * all state is behind one lock.
 */
public final class Truth {
  private final LongSupplier nowNs;
  private final Map<String, StandInHost> hosts = new LinkedHashMap<>();
  private final Map<String, Being> beings = new LinkedHashMap<>();
  private final Map<String, ContainerModel> models = new LinkedHashMap<>();
  private final Map<String, Set<String>> directoryHosts = new HashMap<>();
  private final List<Violation> violations = new ArrayList<>();
  private Listener listener = Listener.NOBODY;
  private long runningCopies;

  /** @param invariant such as {@code I1}; @param sentence what was seen */
  public record Violation(String invariant, String sentence) {
    @Override
    public String toString() {
      return invariant + ": " + sentence;
    }
  }

  /** Learns what containers see. */
  public interface Listener {
    Listener NOBODY = new Listener() {};

    /** A copy does something else than before. */
    default void changed(String host, String container, State state) {}

    /** A container stood still for so long. */
    default void paused(String container, long pauseNs) {}
  }

  /** @param nowNs for how far containers have come */
  public Truth(LongSupplier nowNs) {
    this.nowNs = nowNs;
  }

  public synchronized void listen(Listener who) {
    listener = who;
  }

  /** A host of that name, made when it is first asked for. */
  public synchronized StandInHost host(String name) {
    return hosts.computeIfAbsent(name, StandInHost::new);
  }

  /** What a container of that name will be like when it is born. */
  public synchronized void expect(String container, ContainerModel model) {
    models.put(container, model);
  }

  /** What was broken, in order; empty when all went well. */
  public synchronized List<Violation> violations() {
    return List.copyOf(violations);
  }

  public synchronized boolean isBroken() {
    return !violations.isEmpty();
  }

  /** Something that only an observer of the whole can see was broken. */
  public synchronized void accuse(String invariant, String sentence) {
    violations.add(new Violation(invariant, sentence));
  }

  // ── what the engines do ──────────────────────────────────────────────────────────────────────────────────────────

  synchronized Copy born(StandInHost host, String container) {
    var being = new Being(container, models.getOrDefault(container, ContainerModel.small()));
    var before = beings.put(container, being);
    if (before != null && before.survives()) {
      accuse("I1", "container " + container + " was born on " + host.name() + " while there is one already");
    }
    var copy = new Copy(host, being, host.nextPid(), State.DEAD, being.content);
    host.copies.add(copy);
    being.copies.add(copy);
    become(copy, State.RUNNING);
    return copy;
  }

  synchronized Copy built(StandInHost host, String container) {
    var being = beings.computeIfAbsent(container, name -> new Being(name, models.getOrDefault(name, ContainerModel.small())));
    var copy = new Copy(host, being, host.nextPid(), State.DEAD, new long[Being.CELLS + 1]);
    host.copies.add(copy);
    being.copies.add(copy);
    become(copy, State.BUILDING);
    return copy;
  }

  /** Changes what a copy does, and judges it. */
  synchronized void become(Copy copy, State state) {
    var being = copy.being;
    var before = copy.state;
    if (before == state) {
      return;
    }
    if (before == State.RUNNING && being.count(State.RUNNING) == 1) {
      being.ranNs = being.ranNs(nowNs.getAsLong());
      being.runs = false;
      being.content = being.contentAfter(being.ranNs);
      being.stoppedSinceNs = nowNs.getAsLong();
      copy.content = being.content;
    }
    copy.state = state;
    if (before == State.RUNNING) {
      runningCopies--;
    }
    if (state == State.RUNNING) {
      begins(copy);
    }
    if (state == State.DEAD) {
      copy.host.copies.remove(copy);
      being.copies.remove(copy);
    }
    listener.changed(copy.host.name(), being.name, state);
    judge(being);
  }

  private void begins(Copy copy) {
    var being = copy.being;
    runningCopies++;
    if (!Arrays.equals(copy.content, being.content)) {
      accuse(
          "I5",
          "container %s runs on %s with memory %s after it stood still with %s"
              .formatted(being.name, copy.host.name(), Arrays.toString(copy.content), Arrays.toString(being.content)));
    }
    if (!being.runs) {
      being.runs = true;
      being.runningSinceNs = nowNs.getAsLong();
      if (being.stoppedSinceNs >= 0) {
        being.lastPauseNs = being.runningSinceNs - being.stoppedSinceNs;
        listener.paused(being.name, being.lastPauseNs);
      }
    }
    if (being.exitStatusWanted >= 0) {
      exit(being.name, being.exitStatusWanted);
    }
  }

  private void judge(Being being) {
    if (being.count(State.RUNNING) > 1) {
      accuse("I1", "container " + being.name + " is runnable on " + where(being, State.RUNNING));
    }
    if (being.isAcknowledged && !being.mayEnd && !being.hasExited && !being.isLost && being.atStakeOn.isEmpty()
        && !being.survives()) {
      being.isLost = true; // said once
      accuse("I2", "container " + being.name + " has no copy left");
    }
  }

  /** What is in the memory of a copy now. */
  synchronized long[] content(Copy copy) {
    return copy.state == State.RUNNING ? copy.being.contentAfter(copy.being.ranNs(nowNs.getAsLong())) : copy.content;
  }

  synchronized long ranNs(Copy copy) {
    return copy.being.ranNs(nowNs.getAsLong());
  }

  /** A directory for a container is there, or is not any more. */
  synchronized void directory(StandInHost host, String container, boolean isThere) {
    var on = directoryHosts.computeIfAbsent(container, _ -> new TreeSet<>());
    if (isThere) {
      host.directories.add(container);
      on.add(host.name());
    } else {
      host.directories.remove(container);
      on.remove(host.name());
    }
  }

  /** The user has asked for its end. */
  public synchronized void mayEnd(String container) {
    var being = beings.get(container);
    if (being != null) {
      being.mayEnd = true;
    }
  }

  /** The user's wish was not granted. */
  public synchronized void mustGoOn(String container) {
    var being = beings.get(container);
    if (being != null) {
      being.mayEnd = false;
    }
  }

  /** Nobody will answer whether the user's wish was granted: what is still there is to go on. */
  public synchronized void mustGoOnIfThere(String container) {
    var being = beings.get(container);
    if (being != null && being.survives()) {
      being.mayEnd = false;
    }
  }

  /** Something became durable in a host's ledger. */
  synchronized void recorded(StandInHost host, LedgerEntry entry) {
    var being = beings.get(entry.container());
    if (being == null) {
      return;
    }
    switch (entry.status()) {
      case OWNED -> being.isAcknowledged = true;
      case GONE -> {
        if (being.copies.stream().anyMatch(copy -> copy.host == host) || host.directories.contains(entry.container())) {
          accuse("I4", "host " + host.name() + " forgets container " + entry.container() + ", of which something is left there");
        }
      }
      case ARRIVING, HELD, RELEASED -> {}
    }
  }

  /** A host has something that its ledger does not name, so that no restarted agent would find it. */
  synchronized void unnamed(StandInHost host, String container) {
    accuse("I4", "host " + host.name() + " makes something for container " + container + ", which its ledger does not name");
  }

  // ── what happens to containers and hosts ─────────────────────────────────────────────────────────────────────────

  /** The first process of a container ends by itself, now or as soon as it runs again. */
  public synchronized void exit(String container, int exitStatus) {
    var being = beings.get(container);
    if (being == null || being.hasExited) {
      return;
    }
    var running = being.copies.stream().filter(copy -> copy.state == State.RUNNING).findFirst();
    if (running.isEmpty()) {
      being.exitStatusWanted = exitStatus;
      return;
    }
    being.hasExited = true;
    running.get().host.exitStatuses.put(running.get().pid, exitStatus);
    become(running.get(), State.DEAD);
  }

  /** A container that runs has one process more. */
  public synchronized void fork(String container) {
    var being = beings.get(container);
    if (being != null && being.runs) {
      being.processes++;
    }
  }

  /** From now on a container writes so much more, and has so many pages at least. */
  public synchronized void hurry(String container, long pages, long pagesPerSecond) {
    var being = beings.get(container);
    if (being != null) {
      var before = being.model;
      var sinceNs = being.ranNs(nowNs.getAsLong());
      being.model =
          new ContainerModel(
              Math.max(before.pages(), pages),
              ranNs ->
                  before.writes().pagesWritten(ranNs) + (long) (Math.max(0, ranNs - sinceNs) * (pagesPerSecond / 1e9)),
              before.processes(),
              before.threads(),
              before.descriptors());
    }
  }

  /** A host's agent is gone, without a word: what it had stopped runs on, what it was building ends. */
  public synchronized void agentDied(StandInHost host) {
    for (var copy : List.copyOf(host.copies)) {
      copy.isCaptured = false;
      switch (copy.state) {
        case STOPPED -> become(copy, State.RUNNING);
        case BUILDING -> become(copy, State.DEAD);
        case RUNNING, FROZEN, DEAD -> {}
      }
    }
  }

  /**
   * A host was switched off: every copy on it is lost, and so is each container that was this host's or has no other copy.
   *
   * @param owned containers that its ledger has as its own
   */
  public synchronized void switchedOff(StandInHost host, Set<String> owned) {
    for (var copy : List.copyOf(host.copies)) {
      var being = copy.being;
      var others = being.copies.stream().anyMatch(other -> other != copy && other.state != State.BUILDING);
      if (copy.state != State.BUILDING) {
        being.isLost |= !others;
        if (owned.contains(being.name)) {
          being.atStakeOn = Optional.of(host);
        }
      }
      copy.isCaptured = false;
      become(copy, State.DEAD);
    }
  }

  /** A starting agent's ledger says whether a container is its own: when it is and is not there, it was lost with this host. */
  public synchronized void known(StandInHost host, String container, boolean isOwned) {
    var being = beings.get(container);
    if (being == null) {
      return;
    }
    if (being.atStakeOn.equals(Optional.of(host))) {
      being.atStakeOn = Optional.empty();
    }
    being.isAcknowledged |= isOwned;
    if (isOwned && being.copies.stream().noneMatch(copy -> copy.host == host && copy.state != State.BUILDING)) {
      being.isLost = true;
    }
    judge(being);
  }

  /** Copies on a host are lost, and nobody knows of them. */
  public synchronized void loseCopies(String host) {
    List.copyOf(host(host).copies).forEach(copy -> become(copy, State.DEAD));
  }

  // ── what is there ────────────────────────────────────────────────────────────────────────────────────────────────

  /** How many runnable copies there are. */
  public synchronized long runningCopies() {
    return runningCopies;
  }

  /** Hosts on which a container has a runnable copy. */
  public synchronized List<String> runningOn(String container) {
    var being = beings.get(container);
    return being == null ? List.of() : where(being, State.RUNNING);
  }

  /** Every copy, as {@code host: STATE}. */
  public synchronized List<String> copies(String container) {
    var being = beings.get(container);
    return being == null ? List.of() : being.copies.stream().map(copy -> copy.host.name() + ": " + copy.state).toList();
  }

  /** Directories of containers on a host. */
  public synchronized List<String> directories(String host) {
    return List.copyOf(host(host).directories);
  }

  /** Whether a ledger has had it as its host's own. */
  public synchronized boolean wasBorn(String container) {
    var being = beings.get(container);
    return being != null && being.isAcknowledged;
  }

  /** Whether it has gone with its host, ended by itself, or was never known to be there: nobody can ask for it any more. */
  public synchronized boolean isOver(String container) {
    var being = beings.get(container);
    return being == null || being.isLost || being.hasExited || being.mayEnd || !being.isAcknowledged;
  }

  /** How long a container stood still when it last did. */
  public synchronized long lastPauseNs(String container) {
    var being = beings.get(container);
    return being == null ? 0 : being.lastPauseNs;
  }

  /** What is left of a container besides one runnable copy and its directory: sentences. */
  public synchronized List<String> leftovers(String container) {
    var left = new ArrayList<String>();
    var being = beings.get(container);
    if (being != null) {
      for (var copy : being.copies) {
        if (copy.state != State.RUNNING) {
          left.add("a copy that is " + copy.state + " on " + copy.host.name());
        } else if (copy.isCaptured) {
          left.add("write tracking on " + copy.host.name());
        }
      }
    }
    var running = runningOn(container);
    for (var host : directoryHosts.getOrDefault(container, Set.of())) {
      if (!running.contains(host)) {
        left.add("a directory on " + host);
      }
    }
    return left;
  }

  private static List<String> where(Being being, State state) {
    var names = new ArrayList<String>();
    for (var copy : being.copies) {
      if (copy.state == state) {
        names.add(copy.host.name());
      }
    }
    return names;
  }
}
