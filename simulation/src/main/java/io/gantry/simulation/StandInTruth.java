package io.gantry.simulation;

import io.gantry.simulation.StandInHost.Copy;
import io.gantry.simulation.StandInHost.State;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Everything that is really there on all hosts, and the judge of the invariants: after every change it looks whether a
 * container has more than one runnable copy (I1) and
 * whether one has none at all (I2). Any thread; all state is behind one lock.
 */
public final class StandInTruth {
  private final Map<String, StandInHost> hosts = new LinkedHashMap<>();
  private final Map<String, Boolean> alive = new TreeMap<>();
  private final List<String> violations = new ArrayList<>();
  private int lastPid = 1000;

  /** A host of that name, made when it is first asked for. */
  public synchronized StandInHost host(String name) {
    return hosts.computeIfAbsent(name, StandInHost::new);
  }

  /** What was broken, in order; empty when all went well. */
  public synchronized List<String> violations() {
    return List.copyOf(violations);
  }

  /** Hosts on which a container has a runnable copy. */
  public synchronized List<String> runningOn(String container) {
    return where(container, State.RUNNING);
  }

  /** Every copy that is not dead, as {@code host: STATE}. */
  public synchronized List<String> copies(String container) {
    return hosts.values().stream()
        .flatMap(
            host ->
                host.copies.stream()
                    .filter(copy -> copy.container.equals(container) && copy.state != State.DEAD)
                    .map(copy -> host.name() + ": " + copy.state))
        .toList();
  }

  /** The memory of the runnable copy. */
  public synchronized String content(String container) {
    return hosts.values().stream()
        .flatMap(host -> host.copies.stream())
        .filter(copy -> copy.container.equals(container) && copy.state == State.RUNNING)
        .map(copy -> copy.content)
        .collect(Collectors.joining(" and "));
  }

  /** Directories of containers on a host. */
  public synchronized List<String> directories(String host) {
    return List.copyOf(host(host).directories);
  }

  /** The first process of a container ends by itself. */
  public synchronized void exit(String container, int exitStatus) {
    change(
        () -> {
          alive.put(container, false);
          hosts
              .values()
              .forEach(
                  host ->
                      host.copies.stream()
                          .filter(copy -> copy.container.equals(container))
                          .forEach(
                              copy -> {
                                copy.state = State.DEAD;
                                copy.exitStatus = exitStatus;
                              }));
          return true;
        });
  }

  /** A held or frozen copy is lost, as when its host was switched off and on. */
  public synchronized void loseCopies(String host) {
    host(host).copies.forEach(copy -> copy.state = State.DEAD);
  }

  synchronized int nextPid() {
    return ++lastPid;
  }

  synchronized void born(String container) {
    alive.put(container, true);
  }

  synchronized void stopped(String container) {
    alive.put(container, false);
  }

  /** Makes a change and judges what it has led to. */
  synchronized <T> T change(Supplier<T> change) {
    var result = change.get();
    alive.forEach(
        (container, shouldLive) -> {
          var running = where(container, State.RUNNING);
          if (running.size() > 1) {
            violations.add("I1: container " + container + " is runnable on " + running);
          }
          if (shouldLive && copies(container).stream().noneMatch(copy -> !copy.endsWith("BUILDING"))) {
            violations.add("I2: container " + container + " has no copy left");
          }
        });
    return result;
  }

  private List<String> where(String container, State state) {
    var names = new ArrayList<String>();
    for (var host : hosts.values()) {
      for (Copy copy : host.copies) {
        if (copy.container.equals(container) && copy.state == state) {
          names.add(host.name());
        }
      }
    }
    return names;
  }
}
