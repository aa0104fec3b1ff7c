package io.gantry.node.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.gantry.node.CommandException;
import io.gantry.node.control.ControlClient;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;

/**
 * Makes things go wrong while a program that would betray a second copy of itself ({@link TestProgram#WITNESS}) moves between nodes, and looks
 * afterwards: exactly one copy runs, it has gone on without a gap or a repetition, and nothing of the other is left. One thread.
 */
final class FireDriver implements AutoCloseable {
  private static final String NAME = "witness";
  private static final Duration SETTLED_MAX = Duration.ofSeconds(60);
  private static final Duration REACHED_MAX = Duration.ofSeconds(40);

  /** A move may fail for a reason of its own before the fault, most of all when the case before has just cut a link. */
  private static final int MOVES_MAX = 4;
  private static final int MEBIBYTES = 64;
  private static final int THREADS = 200;

  private final TestCluster cluster;
  private final int nodes;
  private WatchedProgram program;
  private int where;
  private int moves;
  private int runs;

  /**
   * What a case came to.
   *
   * @param result what the user was told, and where the container is now
   * @param settledMs from the fault until exactly one copy ran and every node knew; restarting an agent and healing a link are part of it
   * @param stalledMs for how long the program stood still meanwhile, by its own clock, all gaps of more than 10 ms together
   */
  record Outcome(FireCase fireCase, String result, long settledMs, long stalledMs) {}

  /** @param nodes at least 2, and 3 when there are to be bystanders */
  FireDriver(int nodes) throws IOException {
    this.nodes = nodes;
    cluster = TestCluster.start(TestCluster.Options.nodes(nodes).inNamespaces().withoutRehearsal().onSmallDisks());
    try {
      startProgram();
    } catch (RuntimeException | Error failure) {
      cluster.close();
      throw failure;
    }
  }

  private void startProgram() {
    program =
        new WatchedProgram(
            TestProgram.WITNESS, cluster.directory().resolve("witness-" + runs++), Integer.toString(MEBIBYTES), Integer.toString(THREADS));
    where = 0;
    cluster.node(0).run(NAME, program.command().toArray(String[]::new));
    program.awaitRunning();
  }

  private String logs() {
    var all = new StringBuilder();
    for (int i = 0; i < nodes; i++) {
      all.append("\n--- n").append(i).append('\n').append(tail(cluster.node(i).log()));
    }
    return all.toString();
  }

  private static String tail(String log) {
    return log.substring(Math.max(0, log.length() - 12_000));
  }

  /** Moves the program from where it is and lets the case happen; returns when everything has settled, and fails when it does not settle well. */
  Outcome run(FireCase fireCase) {
    for (int attempt = 1; ; attempt++) {
      awaitReady();
      Optional<Outcome> outcome = attempt(fireCase, attempt == MOVES_MAX);
      if (outcome.isPresent()) {
        return outcome.get();
      }
    }
  }

  private Optional<Outcome> attempt(FireCase fireCase, boolean last) {
    TestCluster.Node source = cluster.node(where);
    // Every other node in turn.
    int to = (where + 1 + moves++ % (nodes - 1)) % nodes;
    TestCluster.Node destination = cluster.node(to);
    TestCluster.Node victim =
        switch (fireCase.side()) {
          case SOURCE -> source;
          case DESTINATION -> destination;
          case BYSTANDER -> cluster.node(3 - where - to);
        };
    long initPid = initPid(source);
    long gapsMs = program.number("all_gaps_ms");
    var reached = new CompletableFuture<Long>();
    var struck = new AtomicBoolean();
    var move =
        CompletableFuture.supplyAsync(
            () -> move(source, destination, progress -> strikeWhenReached(fireCase, progress, struck, victim, initPid, reached)),
            task -> Thread.ofPlatform().daemon().name("move").start(task));
    Optional<Long> struckNs = await(reached, struck, move, fireCase, last);
    if (struckNs.isEmpty()) {
      settle(fireCase);
      return Optional.empty();
    }
    repair(fireCase, victim);
    String said = said(move);
    String place = settle(fireCase);
    long settledMs = (System.nanoTime() - struckNs.get()) / 1_000_000;
    long stalledMs = program.number("all_gaps_ms") - gapsMs;
    if (place.equals("ended")) {
      cleanUpEnded();
      startProgram();
    }
    return Optional.of(new Outcome(fireCase, said + ", " + place, settledMs, stalledMs));
  }

  private ObjectNode move(TestCluster.Node source, TestCluster.Node destination, java.util.function.Consumer<ObjectNode> progress) {
    return source.ask(
        ControlClient.request("migrate").put("container", NAME).put("to", destination.name()).put("deadline_ms", 30_000), progress);
  }

  private void strikeWhenReached(
      FireCase fireCase, JsonNode progress, AtomicBoolean struck, TestCluster.Node victim, long initPid, CompletableFuture<Long> reached) {
    if (progress.path("phase").asText().equals(fireCase.phase()) && struck.compareAndSet(false, true)) {
      LockSupport.parkNanos(fireCase.delayMs() * 1_000_000L);
      long now = System.nanoTime();
      strike(fireCase, victim, initPid);
      reached.complete(now);
    }
  }

  private void strike(FireCase fireCase, TestCluster.Node victim, long initPid) {
    switch (fireCase.fault()) {
      case KILL -> victim.kill();
      case STOP -> victim.signal("STOP");
      case RESTART -> victim.signal("TERM");
      case CUT -> victim.setLink(false);
      case CUT_SENDING -> victim.setSending(false);
      case FULL -> victim.fillDisk(true);
      case KILL_CONTAINER -> ProcessHandle.of(initPid).ifPresent(ProcessHandle::destroyForcibly);
    }
  }

  private void repair(FireCase fireCase, TestCluster.Node victim) {
    switch (fireCase.fault()) {
      case KILL -> {
        pause(1000);
        victim.start();
      }
      case RESTART -> {
        victim.terminate();
        victim.start();
      }
      case STOP -> {
        pause(3000);
        victim.signal("CONT");
      }
      case CUT -> {
        pause(4000);
        victim.setLink(true);
      }
      case CUT_SENDING -> {
        pause(4000);
        victim.setSending(true);
      }
      case FULL -> {
        pause(3000);
        victim.fillDisk(false);
      }
      case KILL_CONTAINER -> {}
    }
  }

  /** How long a fault lasts; it is part of the case, not a wait for something. */
  private static void pause(long milliseconds) {
    LockSupport.parkNanos(milliseconds * 1_000_000);
  }

  /** When the fault happened; empty when the move has ended before. */
  private Optional<Long> await(
      CompletableFuture<Long> reached, AtomicBoolean struck, CompletableFuture<ObjectNode> move, FireCase fireCase, boolean last) {
    try {
      CompletableFuture.anyOf(reached, move.handle((outcome, failure) -> outcome)).get(REACHED_MAX.toMillis(), TimeUnit.MILLISECONDS);
      if (!struck.get()) {
        if (last) {
          throw new AssertionError(fireCase + ": the phase was not reached in " + MOVES_MAX + " moves; the last: " + said(move) + logs());
        }
        return Optional.empty();
      }
      // The move may have ended while the fault was being made.
      return Optional.of(reached.get(REACHED_MAX.toMillis(), TimeUnit.MILLISECONDS));
    } catch (TimeoutException | ExecutionException never) {
      throw new AssertionError(fireCase + ": the phase was not reached; the move: " + said(move) + logs(), never);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", interrupted);
    }
  }

  /** What the user was told; nothing when the agent that was asked has died meanwhile. */
  private static String said(CompletableFuture<ObjectNode> move) {
    try {
      return move.get(SETTLED_MAX.toMillis(), TimeUnit.MILLISECONDS).path("outcome").asText();
    } catch (ExecutionException failed) {
      if (failed.getCause() instanceof CommandException known) {
        return known.code().word();
      }
      throw new AssertionError(failed);
    } catch (TimeoutException late) {
      return "no answer";
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", interrupted);
    }
  }

  /** Waits until exactly one copy runs (or, when the container was killed, none) and all nodes say so; then it must be the right one. */
  private String settle(FireCase fireCase) {
    long deadlineNs = System.nanoTime() + SETTLED_MAX.toNanos();
    String seen = "";
    while (System.nanoTime() < deadlineNs) {
      seen = look();
      if (seen.startsWith("on n")) {
        where = Integer.parseInt(seen.substring("on n".length()));
        assertSound(fireCase);
        return seen;
      }
      if (seen.equals("ended") && fireCase.fault() == FireCase.Fault.KILL_CONTAINER) {
        return seen;
      }
      pause(50);
    }
    throw new AssertionError(fireCase + ": it has not settled within " + SETTLED_MAX + ", but is: " + seen + logs());
  }

  /** {@code on n0} and so on, {@code ended}, or a description of what is not settled yet. */
  private String look() {
    List<Copy> copies = copies();
    var entries = new ArrayList<String>();
    for (int i = 0; i < nodes; i++) {
      entries.add(entry(i));
    }
    if (copies.isEmpty() && entries.stream().allMatch(entry -> entry.endsWith(" exited"))) {
      return "ended";
    }
    if (copies.size() == 1 && !copies.getFirst().frozen()) {
      for (int i = 0; i < nodes; i++) {
        String wanted = "n" + i + " running";
        if (entries.stream().allMatch(wanted::equals) && initPid(cluster.node(i)) == copies.getFirst().initPid()) {
          return "on n" + i;
        }
      }
    }
    return "copies " + copies + ", the nodes say " + entries;
  }

  private String entry(int node) {
    try {
      return cluster.node(node).container(NAME).map(entry -> entry.path("node").asText() + " " + entry.path("status").asText()).orElse("nothing");
    } catch (CommandException unreachable) {
      return unreachable.code().word();
    }
  }

  private long initPid(TestCluster.Node node) {
    try {
      return node.container(NAME).map(entry -> entry.path("init_pid").asLong()).orElse(0L);
    } catch (CommandException unreachable) {
      return 0;
    }
  }

  /**
   * A process tree with this program in it.
   *
   * @param runs neither frozen, nor stopped by a tracer, nor ended
   */
  private record Copy(long initPid, boolean frozen, boolean runs) {}

  /** Looks at the host, not at what the nodes say: every living process that runs the program in its directory. */
  private List<Copy> copies() {
    var found = new ArrayList<Copy>();
    for (ProcessHandle process : ProcessHandle.allProcesses().toList()) {
      Path directory = Path.of("/proc/" + process.pid());
      Optional<String> command = text(directory.resolve("cmdline"));
      if (command.isPresent() && command.get().contains("/witness\0" + program.directory())) {
        boolean frozen =
            text(directory.resolve("cgroup"))
                .flatMap(text -> text.lines().filter(line -> line.startsWith("0::")).findFirst())
                .flatMap(line -> text(cgroupRoot().resolve("." + line.substring(3)).resolve("cgroup.events")))
                .map(events -> events.contains("frozen 1"))
                .orElse(false);
        found.add(new Copy(process.pid(), frozen, !frozen && !isStopped(directory)));
      }
    }
    return found;
  }

  /** By the state letter behind the name ({@code man 5 proc_pid_stat}); also one that has ended meanwhile. */
  private static boolean isStopped(Path directory) {
    return text(directory.resolve("stat")).map(stat -> "tTZX".indexOf(stat.charAt(stat.lastIndexOf(')') + 2)) >= 0).orElse(true);
  }

  private static Path cgroupRoot() {
    return io.gantry.checkpoint.tracee.Cgroup.mountPoint();
  }

  private static Optional<String> text(Path file) {
    try {
      return Optional.of(new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1));
    } catch (IOException gone) {
      return Optional.empty();
    }
  }

  /** It goes on, has found nothing wrong with itself, and its numbers have neither a gap nor a repetition. */
  private void assertSound(FireCase fireCase) {
    program.awaitBeats(3);
    assertThat(program.text("errors")).as(fireCase + ": errors that the program has found in itself" + logs()).isEmpty();
    String journal = program.text("journal");
    long wanted = 1;
    for (String line : journal.substring(0, journal.lastIndexOf('\n')).split("\n")) {
      if (Long.parseLong(line) != wanted) {
        throw new AssertionError(fireCase + ": the journal has " + line + " where " + wanted + " should be" + logs());
      }
      wanted++;
    }
    assertThat(ContainerFacts.traces(initPid(cluster.node(where)))).as(fireCase + ": traces of a move").isEmpty();
    // An agent that was stopped may first go on building a copy that nobody wants any more; it must not run, and must go.
    assertThat(copies().stream().filter(Copy::runs)).as(fireCase + ": copies that run" + logs()).hasSize(1);
    Awaitility.await(fireCase + ": the other copy to go").atMost(Duration.ofSeconds(20)).until(() -> copies().size() == 1);
  }

  private void cleanUpEnded() {
    for (int i = 0; i < nodes; i++) {
      if (entry(i).equals("n" + i + " exited")) {
        cluster.node(i).ask(ControlClient.request("stop").put("container", NAME));
      }
    }
    // A name is free when every node knows it.
    Awaitility.await("all nodes to know that it is gone")
        .atMost(Duration.ofSeconds(20))
        .until(() -> IntStream.range(0, nodes).allMatch(node -> entry(node).equals("nothing")));
  }

  /** All nodes see each other again, so that the next case begins as the first did. */
  private void awaitReady() {
    cluster.awaitReachable(nodes);
    assertThat(look()).as("before the next case").isEqualTo("on n" + where);
  }

  /** Asks the program for its verdict, ends everything, and fails when something is left. */
  @Override
  public void close() {
    try {
      program.assertVerdictOk();
    } finally {
      cluster.close();
    }
  }

  /** Writes a report of all outcomes: fault by phase and side, how many, what came of them, how long until settled. */
  static String table(List<Outcome> outcomes) {
    var rows = new java.util.TreeMap<String, List<Outcome>>();
    for (Outcome outcome : outcomes) {
      FireCase at = outcome.fireCase();
      rows.computeIfAbsent("| " + at.fault() + " | " + at.side() + " | " + at.phase() + " |", key -> new ArrayList<>()).add(outcome);
    }
    var text =
        new StringBuilder(
            "| fault | side | phase | cases | outcomes | settled after, median and longest, ms | program stood still, median and longest, ms |\n"
                + "|---|---|---|---:|---|---:|---:|\n");
    rows.forEach(
        (key, all) -> {
          var results = new java.util.TreeMap<String, Integer>();
          all.forEach(outcome -> results.merge(outcome.result().replaceAll(", on n[0-9]", ""), 1, Integer::sum));
          var times = all.stream().map(Outcome::settledMs).sorted().toList();
          var stalls = all.stream().map(Outcome::stalledMs).sorted().toList();
          text.append(key).append(' ').append(all.size()).append(" | ");
          text.append(String.join(", ", results.entrySet().stream().map(entry -> entry.getValue() + " × " + entry.getKey()).toList()));
          text.append(" | ").append(times.get(times.size() / 2)).append(", ").append(times.getLast());
          text.append(" | ").append(stalls.get(stalls.size() / 2)).append(", ").append(stalls.getLast()).append(" |\n");
        });
    return text.toString();
  }

  /** Replaces a file, for a long run that can be looked at while it goes on. */
  static void write(Path file, String text) {
    try {
      Files.writeString(file, text);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }
}
