package io.gantry.simulation.host;

import io.gantry.checkpoint.Arrival;
import io.gantry.checkpoint.Capture;
import io.gantry.checkpoint.CaptureOptions;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.ContainerHandle;
import io.gantry.checkpoint.ContainerSpec;
import io.gantry.checkpoint.Engine;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.HostFacts;
import io.gantry.checkpoint.ProcessFacts;
import io.gantry.checkpoint.HostDifference;
import io.gantry.simulation.host.StandInHost.Copy;
import io.gantry.simulation.host.StandInHost.State;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Predicate;

/**
 * An engine without processes: a container is a state and a few numbers for its memory, which travel as pages. It keeps the
 * promises that {@link Engine} makes about the death of the agent. One for each life of an agent.
 */
public final class StandInEngine implements Engine {
  private static final HostFacts FACTS = new HostFacts("6.18.0", "x86_64", List.of("avx2"), 2696, "0", 1L << 34, List.of(), List.of());
  static final int PAGE_BYTES = 4096;

  private final Truth truth;
  private final StandInHost host;
  private final Life life;
  private final HostModel model;
  private final Predicate<String> isNamed;
  private final List<Finding> refusals = new CopyOnWriteArrayList<>();
  private final Queue<List<Finding>> passing = new ConcurrentLinkedQueue<>();

  /** @param isNamed whether the host's ledger names a container */
  public StandInEngine(Truth truth, Life life, HostModel model, Predicate<String> isNamed) {
    this.truth = truth;
    this.host = truth.host(life.host());
    this.life = life;
    this.model = model;
    this.isNamed = isNamed;
  }

  /** From now on preflight answers with these. */
  public void refuse(List<Finding> findings) {
    refusals.addAll(findings);
  }

  /** The next preflight, behind those that were named before, answers with these, and later ones do not. */
  public void refuseOnce(List<Finding> findings) {
    passing.add(findings);
  }

  private Copy living(ContainerHandle container) {
    return host.copy(container.initPid())
        .orElseThrow(() ->
            new CheckpointException("Container " + container.name() + " has no process " + container.initPid() + "."));
  }

  ContainerHandle handle(Copy copy) {
    var name = copy.being.name;
    return new ContainerHandle(
        name, copy.pid, copy.pid, Path.of("/cgroup", host.name(), name), Path.of("/state", host.name(), name));
  }

  Truth truth() {
    return truth;
  }

  Life life() {
    return life;
  }

  HostModel model() {
    return model;
  }

  @Override
  public HostFacts hostFacts() {
    return FACTS;
  }

  @Override
  public ContainerHandle create(ContainerSpec spec) {
    life.before("create");
    synchronized (truth) {
      nameIt(spec.name());
      var copy = truth.born(host, spec.name());
      life.takes(model.recreateNs());
      life.after("create");
      return handle(copy);
    }
  }

  private void nameIt(String container) {
    if (!isNamed.test(container)) {
      truth.unnamed(host, container);
    }
  }

  @Override
  public boolean isAlive(ContainerHandle container) {
    synchronized (truth) {
      life.before("isAlive");
      return host.copy(container.initPid()).isPresent();
    }
  }

  @Override
  public Footprint inspect(ContainerHandle container) {
    synchronized (truth) {
      life.before("inspect");
      var being = living(container).being;
      life.takes(model.inspectNs());
      life.after("inspect");
      return new Footprint(
          being.processes,
          being.model.threads() + being.processes - being.model.processes(),
          being.model.descriptors(),
          being.model.pages() * PAGE_BYTES,
          List.of(),
          List.of(),
          FACTS,
          List.of());
    }
  }

  @Override
  public void destroy(ContainerHandle container) {
    synchronized (truth) {
      life.before("destroy");
      host.copy(container.initPid()).ifPresent(copy -> truth.become(copy, State.DEAD));
      life.takes(model.destroyNs());
      life.after("destroy");
    }
  }

  @Override
  public void freeze(ContainerHandle container) {
    synchronized (truth) {
      life.before("freeze");
      truth.become(living(container), State.FROZEN);
      life.takes(model.freezerNs());
      life.after("freeze");
    }
  }

  @Override
  public void thaw(ContainerHandle container) {
    synchronized (truth) {
      life.before("thaw");
      truth.become(living(container), State.RUNNING);
      life.takes(model.freezerNs());
      life.after("thaw");
    }
  }

  @Override
  public List<ProcessFacts> processes(ContainerHandle container) {
    synchronized (truth) {
      life.before("processes");
      return host.copy(container.initPid())
          .map(copy -> List.of(new ProcessFacts(copy.pid, 1, "stand-in", copy.being.processes, PAGE_BYTES, 0)))
          .orElse(List.of());
    }
  }

  @Override
  public List<HostDifference> compare(HostFacts source) {
    return List.of();
  }

  @Override
  public List<Finding> preflight(String name, Footprint footprint) {
    synchronized (truth) {
      life.before("preflight");
      life.takes(model.inspectNs());
      life.after("preflight");
      var once = passing.poll();
      return once == null ? List.copyOf(refusals) : once;
    }
  }

  @Override
  public Optional<Integer> exitStatus(ContainerHandle container) {
    synchronized (truth) {
      life.before("exitStatus");
      return Optional.ofNullable(host.exitStatuses.get(container.initPid()));
    }
  }

  @Override
  public Capture capture(ContainerHandle container, CaptureOptions options) {
    synchronized (truth) {
      life.before("capture");
      var copy = living(container);
      if (copy.isCaptured) {
        throw new CheckpointException("Container " + container.name() + " is being captured already.");
      }
      copy.isCaptured = true;
      life.takes(model.captureNs());
      var capture = new StandInCapture(this, copy);
      life.after("capture");
      return capture;
    }
  }

  @Override
  public Arrival receive(String name, Path directory) {
    synchronized (truth) {
      life.before("receive");
      nameIt(name);
      var copy = truth.built(host, name);
      life.takes(model.captureNs());
      life.after("receive");
      return new StandInArrival(this, copy);
    }
  }

  @Override
  public void removeLeftovers(String name, Path directory) {
    synchronized (truth) {
      life.before("removeLeftovers");
      for (var copy : List.copyOf(host.copies)) {
        if (copy.being.name.equals(name)) {
          truth.become(copy, State.DEAD);
        }
      }
      life.takes(model.destroyNs());
      life.after("removeLeftovers");
    }
  }

  @Override
  public void close() {}
}
