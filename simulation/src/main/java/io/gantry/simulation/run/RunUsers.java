package io.gantry.simulation.run;

import akka.actor.typed.ActorRef;
import io.gantry.actors.MigrateOptions;
import io.gantry.actors.MigrationOutcome;
import io.gantry.actors.MigrationOutcome.Result;
import io.gantry.actors.NodeCommand;
import io.gantry.actors.ledger.LedgerEntry;
import io.gantry.simulation.host.Life;
import io.gantry.simulation.host.Truth;
import io.gantry.simulation.run.EventLog.Kind;
import io.gantry.simulation.time.VirtualTime;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Predicate;

/** Those who let containers be born, moved, cancelled and stopped in a run. One thread. */
final class RunUsers implements FaultInjector.Users {
  private static final long LOOK_NS = 50_000_000;
  private static final long PATIENCE_NS = 150_000_000_000L;
  /** Longer than anything that may hold up a stop hangs. */
  private static final long STOP_NS = 40_000_000_000L;
  /** A node that has died took the wish along, or another one still waits until it has taken the container up, for five seconds at most. */
  private static final long LATE_STOP_NS = 6_000_000_000L;

  private static final int REFUSALS_MAX = 20;

  private final VirtualCluster cluster;
  private final RunSettings settings;
  private final SplittableRandom chance;
  private final List<String> hosts;
  private final EventLog log;
  private final Predicate<String> isMoving;
  private final VirtualTime time;
  private final Truth truth;
  private final List<Owner> owners = new ArrayList<>();
  /** Who is to be stopped, and until when that may come about. */
  private final Map<String, Long> stopping = new TreeMap<>();

  private boolean isStopped;
  private boolean isDue;

  /** @param isMoving whether a container is in a move, on either side */
  RunUsers(
      VirtualCluster cluster, RunSettings settings, SplittableRandom chance, List<String> hosts, EventLog log,
      Predicate<String> isMoving) {
    this.cluster = cluster;
    this.settings = settings;
    this.chance = chance;
    this.hosts = hosts;
    this.log = log;
    this.isMoving = isMoving;
    this.time = cluster.time();
    this.truth = cluster.truth();
  }

  /** Whoever wants one container, and what he waits for. */
  private final class Owner {
    final String container;
    String at;
    boolean isBorn;
    int movesLeft;
    int refusals;

    /** The node that was asked and has not answered; none when nothing is awaited. */
    Optional<Life> asked = Optional.empty();

    long askedAtNs;
    long asks;

    /** Whether the answer may be missing, because the one who would give it has died or cannot be reached. */
    boolean isExcused;

    boolean isProving;
    boolean isProven;
    String lastAnswer = "";

    Owner(String container, String at) {
      this.container = container;
      this.at = at;
      this.movesLeft = settings.moves();
    }

    boolean isDone() {
      return isBorn && movesLeft <= 0 && asked.isEmpty() || truth.isOver(container) && isBorn;
    }

    private <T> void ask(
        String host, Function<ActorRef<T>, NodeCommand> command, Consumer<T> then) {
      var number = ++asks;
      asked = cluster.life(host);
      askedAtNs = time.nowNs();
      isExcused = false;
      cluster.<T>ask(
          host,
          command,
          answer -> {
            if (number == asks) {
              asked = Optional.empty();
              then.accept(answer);
            }
          });
    }

    void beBorn() {
      if (!cluster.isUp(at)) {
        time.after(LOOK_NS, this::beBorn);
        return;
      }
      this.<NodeCommand.RunReply>ask(
          at,
          replyTo -> new NodeCommand.RunContainer(container, Optional.empty(), List.of("/bin/true"), Map.of(), "/", replyTo),
          reply -> {
            switch (reply) {
              case NodeCommand.Started _ -> {
                said("started");
                isBorn = true;
                next();
              }
              case NodeCommand.Rejected rejected -> {
                said(rejected.problem().name());
                // Taken by itself: the node that let it be born has died before it could say so.
                isBorn = rejected.problem() == NodeCommand.Problem.NAME_TAKEN && truth.wasBorn(container);
                time.after(LOOK_NS, isBorn ? this::next : this::beBorn);
              }
            }
          });
    }

    private void said(String answer) {
      lastAnswer = answer;
      log.add(time.nowNs(), Kind.USER, "", "", answer, container);
    }

    void next() {
      if (isDone() || isStopped && !isProving) {
        return;
      }
      find();
      // A node that has it not would pass the command on, and that may be lost.
      if (!cluster.isUp(at) || !truth.runningOn(container).contains(at) || isMoving.test(container)) {
        later();
        return;
      }
      var to = otherThan(at);
      log.add(time.nowNs(), Kind.USER, at, to, "asks for a move", container);
      this.<NodeCommand.MigrateReply>ask(
          at,
          replyTo -> new NodeCommand.MigrateContainer(container, to, options(), Optional.empty(), replyTo),
          reply -> onMove(to, reply));
    }

    private MigrateOptions options() {
      var options = MigrateOptions.defaults();
      return settings.faults().isEmpty() || chance.nextInt(4) > 0 ? options
          : options.withDeadline(Duration.ofMillis(50 + chance.nextInt(5000))).withOnStall(
              chance.nextBoolean() ? MigrateOptions.OnStall.ABORT : MigrateOptions.OnStall.FREEZE);
    }

    private void onMove(String to, NodeCommand.MigrateReply reply) {
      switch (reply) {
        case NodeCommand.MigrationEnded(var outcome) -> {
          said(outcome.outcome().name());
          judge(outcome);
          if (outcome.outcome() == Result.COMPLETED) {
            at = to;
            isProven |= isProving;
          }
          if (isProving && outcome.outcome() == Result.IN_DOUBT) {
            truth.accuse("I3", "a move of container " + container + " is in doubt though nothing is wrong any more");
          }
          movesLeft--;
          time.after(settings.faults().isEmpty() ? 0 : chance.nextLong(20_000_000), isProving ? this::proveSoon : this::next);
        }
        case NodeCommand.Rejected rejected -> {
          said(rejected.problem().name());
          if (rejected.sentence().isBlank()) {
            truth.accuse("I3", "a command was rejected without a reason: " + rejected.problem());
          }
          later();
        }
      }
    }

    private void judge(MigrationOutcome outcome) {
      if (outcome.outcome() != Result.COMPLETED && outcome.reason().isBlank()) {
        truth.accuse("I3", "a move of container " + container + " ended " + outcome.outcome() + " without a reason");
      }
    }

    private void later() {
      if (++refusals > REFUSALS_MAX && !isProving) {
        refusals = 0;
        movesLeft--;
      }
      time.after(10_000_000 + chance.nextLong(200_000_000), isProving ? this::proveSoon : this::next);
    }

    private void find() {
      var running = truth.runningOn(container);
      if (!running.isEmpty() && !running.contains(at)) {
        at = running.getFirst();
      }
    }

    /** Looks whether an answer is still to be expected. */
    void look() {
      if (asked.isPresent() && (asked.get().isDead() || isExcused || time.nowNs() - askedAtNs > PATIENCE_NS)) {
        if (!asked.get().isDead() && !isExcused) {
          truth.accuse("I3", "the owner of " + container + " has got no answer from node " + asked.get().host());
        }
        asked = Optional.empty();
        asks++;
        if (isBorn) {
          movesLeft--;
          later();
        } else {
          beBorn();
        }
      }
    }

    // ── when everything is mended ──────────────────────────────────────────────────────────────────────────────────

    void proveSoon() {
      if (isProven || asked.isPresent()) {
        return;
      }
      find();
      if (!truth.isOver(container)) {
        next();
        return;
      }
      var owner = hosts.stream().filter(this::isNamedBy).findFirst();
      if (owner.isEmpty()) {
        isProven = true;
        return;
      }
      truth.mayEnd(container);
      this.<NodeCommand.StopReply>ask(
          owner.get(),
          replyTo -> new NodeCommand.StopContainer(container, replyTo),
          reply -> {
            said(reply instanceof NodeCommand.Rejected rejected ? rejected.problem().name() : "stopped");
            time.after(LOOK_NS, this::proveSoon);
          });
    }

    private boolean isNamedBy(String host) {
      return cluster.ledger(host).stream()
          .anyMatch(entry -> entry.container().equals(container) && entry.status() != LedgerEntry.Status.GONE);
    }

    /** What is not in order about this container; empty when all is. */
    String disorder() {
      if (asked.isPresent() && !asked.get().isDead() && !isExcused) {
        return "the owner of " + container + " has got no answer from node " + asked.get().host();
      }
      if (truth.isOver(container)) {
        var copies = truth.copies(container);
        if (!copies.isEmpty()) {
          return "of container " + container + ", which is over, there is left " + copies;
        }
        return "";
      }
      var running = truth.runningOn(container);
      if (running.size() != 1) {
        return "container " + container + " runs on " + running + ", its copies are " + truth.copies(container);
      }
      var left = truth.leftovers(container);
      if (!left.isEmpty()) {
        return "of container " + container + " there is left " + left;
      }
      return "";
    }
  }

  private String otherThan(String host) {
    var index = hosts.indexOf(host);
    var other = chance.nextInt(hosts.size() - 1);
    return hosts.get(other >= index ? other + 1 : other);
  }

  /** Lets containers be born as soon as the nodes are up. */
  void begin() {
    for (var i = 0; i < settings.containers(); i++) {
      var owner = new Owner("c" + i, hosts.get(chance.nextInt(hosts.size())));
      truth.expect(owner.container, settings.container());
      owners.add(owner);
      time.after(2_000_000, owner::beBorn);
    }
    time.after(1_000_000, cluster.network()::tellPeers);
    time.after(LOOK_NS, this::look);
  }

  private void look() {
    isDue = true;
    owners.forEach(Owner::look);
    stopping.entrySet().removeIf(
        wish -> {
          var isForgotten = time.nowNs() > wish.getValue(); // lost on its way to another node
          if (isForgotten) {
            truth.mustGoOnIfThere(wish.getKey());
          }
          return isForgotten;
        });
    time.after(LOOK_NS, this::look);
  }

  /** Whether something has come about that is worth asking after. */
  boolean isDueToLook() {
    var due = isDue;
    isDue = false;
    return due;
  }

  boolean areDone() {
    return owners.stream().allMatch(Owner::isDone);
  }

  /** They ask for nothing new. */
  void stop() {
    isStopped = true;
  }

  /** What is not in order about a container; empty when all is. */
  String disorder() {
    for (var owner : owners) {
      var disorder = owner.disorder();
      if (!disorder.isEmpty()) {
        return disorder;
      }
    }
    for (var host : hosts) {
      for (var entry : cluster.ledger(host)) {
        var running = truth.runningOn(entry.container());
        if (entry.status() != LedgerEntry.Status.GONE && !truth.isOver(entry.container())
            && !(running.contains(host) && entry.status() == LedgerEntry.Status.OWNED)) {
          return "the ledger of " + host + " has container " + entry.container() + " as " + entry.status();
        }
      }
    }
    return "";
  }

  /** Moves every container once more, and stops those that have ended. */
  void prove() {
    for (var owner : owners) {
      owner.isProving = true;
      owner.isBorn = true;
      owner.movesLeft = Integer.MAX_VALUE;
      owner.asked = Optional.empty();
      owner.asks++;
      owner.proveSoon();
    }
  }

  boolean isProven() {
    return owners.stream().allMatch(owner -> owner.isProven);
  }

  String unproven() {
    return owners.stream().filter(owner -> !owner.isProven)
        .map(owner -> owner.container + " (" + owner.lastAnswer + ") ").reduce("", String::concat);
  }

  void died(Life life) {
    // A command may have been on its way through that node, or be carried out by it.
    owners.forEach(owner -> owner.isExcused |= owner.asked.isPresent());
    stopping.replaceAll((_, until) -> Math.min(until, time.nowNs() + LATE_STOP_NS));
  }

  @Override
  public void cancel(String host, String container) {
    if (cluster.isUp(host)) {
      cluster.<NodeCommand.CancelReply>ask(
          host,
          replyTo -> new NodeCommand.CancelMigration(container, replyTo),
          reply -> log.add(time.nowNs(), Kind.USER, host, "", reply.getClass().getSimpleName(), container));
    }
  }

  @Override
  public void disturb(String host, String container, long choice) {
    if (!cluster.isUp(host)) {
      return;
    }
    if (choice % 4 == 0) {
      cluster.<NodeCommand.StopReply>ask(
          host,
          replyTo -> {
            truth.mayEnd(container);
            stopping.put(container, time.nowNs() + STOP_NS);
            return new NodeCommand.StopContainer(container, replyTo);
          },
          reply -> {
            stopping.remove(container);
            if (reply instanceof NodeCommand.Rejected) {
              truth.mustGoOn(container);
            }
          });
    } else {
      cluster.<NodeCommand.MigrateReply>ask(
          host,
          replyTo ->
              new NodeCommand.MigrateContainer(container, otherThan(host), MigrateOptions.defaults(), Optional.empty(), replyTo),
          reply -> log.add(time.nowNs(), Kind.USER, host, "", reply.getClass().getSimpleName(), container));
    }
  }
}
