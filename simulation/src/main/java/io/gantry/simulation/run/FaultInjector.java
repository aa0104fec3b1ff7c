package io.gantry.simulation.run;

import io.gantry.actors.ledger.LedgerException;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.simulation.fault.Coverage;
import io.gantry.simulation.fault.Fault;
import io.gantry.simulation.fault.FaultKind;
import io.gantry.simulation.fault.MovePhase.Side;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.run.MoveTracker.Move;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Predicate;

/** Does what the plan of a run says, and writes down which phases it has met. One thread. */
final class FaultInjector {
  /** What users do. */
  interface Users {
    void cancel(String host, String container);

    /** Wants the container elsewhere, or stopped. */
    void disturb(String host, String container, long choice);
  }

  /** What is about to happen to one host. */
  private static final class Armed {
    /** The fault whose crash comes after so many further points; none when there is no such fault. */
    Fault crash;

    int pointsLeft;
    Fault engine;
    Fault digest;
    Fault disk;
  }

  private final VirtualCluster cluster;
  private final MoveTracker tracker;
  private final Coverage coverage;
  private final EventLog log;
  private final Users users;
  private final List<Fault> pending;
  private final int[] entries;
  private final Map<String, Armed> armed = new HashMap<>();
  private final List<Fault> struck = new ArrayList<>();
  private boolean isOver;

  FaultInjector(
      VirtualCluster cluster, MoveTracker tracker, List<Fault> plan, Coverage coverage, EventLog log, Users users) {
    this.cluster = cluster;
    this.tracker = tracker;
    this.coverage = coverage;
    this.log = log;
    this.users = users;
    this.pending = new ArrayList<>(plan);
    this.entries = new int[plan.size()];
    for (var i = 0; i < entries.length; i++) {
      entries[i] = plan.get(i).entry();
    }
  }

  /** Faults that have struck. */
  List<Fault> struck() {
    return struck;
  }

  /** From now on nothing goes wrong any more, and what is wrong is mended. */
  void stop() {
    isOver = true;
    pending.clear();
    armed.clear();
    cluster.network().heal();
  }

  // ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  void entered(Move move) {
    for (var i = 0; i < pending.size(); i++) {
      var fault = pending.get(i);
      if (fault.phase().equals(move.phase) && --entries[i] == 0) {
        pending.remove(i);
        System.arraycopy(entries, i + 1, entries, i, pending.size() - i);
        i--;
        arm(fault, move);
      }
    }
  }

  private void arm(Fault fault, Move move) {
    switch (fault.kind()) {
      // These wait for an operation of the host, which follows at once.
      case ENGINE_FAILURE, ENGINE_HANG -> of(move.host).engine = fault;
      case WRONG_DIGEST -> of(move.host).digest = fault;
      case DISK_FULL, TORN_WRITE, LOST_WRITE, SLOW_DISK -> of(move.host).disk = fault;
      case HOST_CRASH, AGENT_CRASH -> {
        if (fault.effects() > 0) {
          var host = of(move.host);
          host.crash = fault;
          host.pointsLeft = fault.effects();
        } else {
          later(fault, () -> crash(fault, move.host));
        }
      }
      case NEVER_CONVERGES, PAGE_CORRUPTION -> strike(fault, move);
      case MESSAGE_LOSS, MESSAGE_DOUBLING, MESSAGE_DELAY, MESSAGE_REORDERING, ONE_WAY_PARTITION, PARTITION, SLOW_LINK,
          STREAM_BREAK, ACTOR_CRASH, CLOCK_JUMP, USER_CANCEL, CONCURRENT_REQUEST, CONTAINER_FORK, CONTAINER_EXIT ->
          later(fault, () -> strike(fault, move));
    }
  }

  private Armed of(String host) {
    return armed.computeIfAbsent(host, _ -> new Armed());
  }

  private void later(Fault fault, Runnable task) {
    cluster.time().after(
        fault.delayNs(),
        () -> {
          if (!isOver) {
            task.run();
          }
        });
  }

  // ── what ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  private void strike(Fault fault, Move move) {
    if (move.life.isDead()) {
      return;
    }
    var network = cluster.network();
    var one = move.host;
    var other = move.peer;
    var share = 0.3 + 0.7 * (Math.floorMod(fault.choice(), 1000) / 1000.0);
    switch (fault.kind()) {
      case MESSAGE_LOSS -> onLinks(fault, one, other, () -> both(one, other, (from, to) -> network.lose(from, to, share)));
      case MESSAGE_DOUBLING -> onLinks(fault, one, other, () -> both(one, other, (from, to) -> network.repeat(from, to, share)));
      case MESSAGE_DELAY ->
          onLinks(fault, one, other, () -> both(one, other, (from, to) -> network.delay(from, to, fault.lastsNs() / 4)));
      case MESSAGE_REORDERING ->
          onLinks(fault, one, other, () -> both(one, other, (from, to) -> network.shuffle(from, to, share)));
      case ONE_WAY_PARTITION ->
          onLinks(
              fault,
              one,
              other,
              () -> {
                if (fault.choice() % 2 == 0) {
                  network.cut(one, other);
                } else {
                  network.cut(other, one);
                }
              });
      case PARTITION -> onLinks(fault, one, other, () -> both(one, other, network::cut));
      case SLOW_LINK ->
          onLinks(
              fault,
              one,
              other,
              () -> both(one, other, (from, to) -> network.slow(from, to, 2 + Math.floorMod(fault.choice(), 500))));
      case STREAM_BREAK -> {
        cluster.pages().breakOff(move.migration);
        hitMove(fault, move.migration);
      }
      case PAGE_CORRUPTION -> {
        network.corrupt(one, other);
        hitMove(fault, move.migration);
      }
      case ACTOR_CRASH -> {
        if (tracker.moves().contains(move)) {
          move.isDoomed = true;
          said(fault, move.host);
        }
      }
      case CLOCK_JUMP -> {
        cluster.jumpClock(one, fault.choice() % 3 == 0 ? -fault.lastsNs() : fault.lastsNs() * 4);
        hitHost(fault, one);
      }
      case USER_CANCEL -> {
        hitMove(fault, move.migration);
        users.cancel(one, move.container);
      }
      case CONCURRENT_REQUEST -> {
        hitMove(fault, move.migration);
        users.disturb(one, move.container, fault.choice());
      }
      case NEVER_CONVERGES -> {
        cluster.truth().hurry(move.container, 20_000, 600_000);
        hitMove(fault, move.migration);
      }
      case CONTAINER_FORK -> {
        cluster.truth().fork(move.container);
        hitMove(fault, move.migration);
      }
      case CONTAINER_EXIT -> {
        hitMove(fault, move.migration);
        cluster.truth().exit(move.container, Math.floorMod(fault.choice(), 128));
      }
      case HOST_CRASH, AGENT_CRASH, DISK_FULL, TORN_WRITE, LOST_WRITE, SLOW_DISK, ENGINE_FAILURE, ENGINE_HANG, WRONG_DIGEST ->
          throw new IllegalStateException(fault.kind() + " is armed, not struck.");
    }
  }

  private interface OnLink {
    void change(String from, String to);
  }

  private static void both(String one, String other, OnLink change) {
    change.change(one, other);
    change.change(other, one);
  }

  private void onLinks(Fault fault, String one, String other, Runnable change) {
    change.run();
    hit(fault, move -> move.host.equals(one) && move.peer.equals(other) || move.host.equals(other) && move.peer.equals(one));
    said(fault, one);
    cluster.time().after(
        fault.lastsNs(),
        () -> {
          if (!isOver) {
            cluster.network().heal();
          }
        });
  }

  private void crash(Fault fault, String host) {
    var life = cluster.life(host);
    if (life.isEmpty()) {
      return;
    }
    hitHost(fault, host);
    if (fault.kind() == FaultKind.HOST_CRASH) {
      cluster.switchOff(host, new SplittableRandom(fault.choice()));
    } else {
      cluster.kill(host);
    }
    cluster.time().after(fault.lastsNs(), () -> cluster.start(host));
  }

  // ── at the points of a host ──────────────────────────────────────────────────────────────────────────────────────

  void before(Life life, String operation) {
    point(life);
    var host = armed.get(life.host());
    if (host == null || life.isDead()) {
      return;
    }
    if (host.engine != null && isOfEngine(operation)) {
      var fault = host.engine;
      host.engine = null;
      hitSide(fault, life.host(), sideOf(operation));
      if (fault.kind() == FaultKind.ENGINE_HANG) {
        life.takesExactly(fault.lastsNs());
      } else {
        throw new CheckpointException("The engine failed at " + operation + ".");
      }
    }
    if (host.disk != null && operation.startsWith("ledger.")) {
      var fault = host.disk;
      host.disk = null;
      hitHost(fault, life.host());
      disturbDisk(fault, life);
    }
  }

  void after(Life life) {
    point(life);
  }

  private void point(Life life) {
    var host = armed.get(life.host());
    if (host != null && host.crash != null && --host.pointsLeft <= 0) {
      var fault = host.crash;
      host.crash = null;
      crash(fault, life.host());
    }
  }

  private void disturbDisk(Fault fault, Life life) {
    var disk = cluster.truth().host(life.host()).disk();
    switch (fault.kind()) {
      case DISK_FULL -> {
        disk.full(true);
        mendDiskLater(fault, life);
      }
      case TORN_WRITE -> {
        disk.tear(Math.floorMod(fault.choice(), 300));
        mendDiskLater(fault, life);
      }
      case LOST_WRITE -> {
        disk.tear(Integer.MAX_VALUE);
        mendDiskLater(fault, life);
      }
      case SLOW_DISK -> life.takesExactly(fault.lastsNs());
      default -> throw new LedgerException("No fault of a disk: " + fault.kind(), true);
    }
  }

  private void mendDiskLater(Fault fault, Life life) {
    cluster.time().after(fault.lastsNs(), () -> cluster.truth().host(life.host()).disk().mend());
  }

  String digest(Life life, String digest) {
    var host = armed.get(life.host());
    if (host == null || host.digest == null) {
      return digest;
    }
    var fault = host.digest;
    host.digest = null;
    hitHost(fault, life.host());
    return "0000" + digest;
  }

  private static boolean isOfEngine(String operation) {
    return switch (operation) {
      case "inspect", "capture", "capture.round", "capture.freeze", "capture.sendLast", "capture.hold", "capture.resume",
          "capture.destroyOriginal", "thaw", "destroy", "preflight", "receive", "arrival.pages", "arrival.complete",
          "arrival.activate", "arrival.discard", "removeLeftovers", "stream.send", "stream.receive" ->
          true;
      default -> false;
    };
  }

  private static Side sideOf(String operation) {
    return switch (operation) {
      case "preflight", "receive", "arrival.pages", "arrival.complete", "arrival.activate", "arrival.discard", "removeLeftovers",
          "stream.receive" ->
          Side.DESTINATION;
      default -> Side.SOURCE;
    };
  }

  // ── what is written down ─────────────────────────────────────────────────────────────────────────────────────────

  /** A move's actor fails now. */
  void failed(Move move) {
    coverage.hit(FaultKind.ACTOR_CRASH, move.phase);
  }

  private void hitMove(Fault fault, String migration) {
    hit(fault, move -> move.migration.equals(migration));
    said(fault, "");
  }

  private void hitHost(Fault fault, String host) {
    hit(fault, move -> move.host.equals(host));
    said(fault, host);
  }

  private void hitSide(Fault fault, String host, Side side) {
    // A copy that was found after a restart is thawed and destroyed by the same calls as an original.
    hit(fault, move -> move.host.equals(host) && (move.phase.side() == side || side == Side.SOURCE));
    said(fault, host);
  }

  private void hit(Fault fault, Predicate<Move> which) {
    for (var move : tracker.moves()) {
      if (which.test(move)) {
        coverage.hit(fault.kind(), move.phase);
      }
    }
    struck.add(fault);
  }

  private void said(Fault fault, String host) {
    log.add(cluster.time().nowNs(), EventLog.Kind.FAULT, host, "", fault.kind().title(), "");
  }
}
