package io.gantry.simulation;

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
import io.gantry.checkpoint.PageSink;
import io.gantry.checkpoint.ProcessFacts;
import io.gantry.simulation.StandInHost.Copy;
import io.gantry.simulation.StandInHost.State;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Supplier;

/**
 * An engine without processes: a container is a state and a text for its memory, which travels as pages. It keeps the
 * promises that {@link Engine} makes about the death of the agent. Each
 * operation is a point for {@link Faults}. One for each life of an agent.
 */
public final class StandInEngine implements Engine {
  private static final HostFacts FACTS = new HostFacts("6.18.0", "x86_64", List.of("avx2"), 2696, "0", 1L << 34, List.of());
  private static final int PAGE_BYTES = 4096;

  /** Message that carries the digest. */
  private static final int STATE = 4;

  private final StandInTruth truth;
  private final StandInHost host;
  private final Faults faults;
  private final List<Finding> refusals = new CopyOnWriteArrayList<>();
  private volatile boolean isDead;

  public StandInEngine(StandInTruth truth, String host, Faults faults) {
    this.truth = truth;
    this.host = truth.host(host);
    this.faults = faults;
  }

  /** From now on preflight answers with these. */
  public void refuse(List<Finding> findings) {
    refusals.addAll(findings);
  }

  /** The agent has died: nothing it still does has an effect. */
  void kill() {
    truth.change(
        () -> {
          isDead = true;
          host.agentDied();
          return true;
        });
  }

  private <T> T act(String operation, Supplier<T> effect) {
    faults.reach(host.name(), operation);
    return truth.change(
        () -> {
          if (isDead) {
            throw new CheckpointException("The agent of " + host.name() + " is dead.");
          }
          return effect.get();
        });
  }

  private Optional<Copy> find(ContainerHandle container) {
    return host.copies.stream().filter(copy -> copy.pid == container.initPid()).findFirst();
  }

  private Copy living(ContainerHandle container) {
    return find(container)
        .filter(copy -> copy.state != State.DEAD)
        .orElseThrow(() ->
            new CheckpointException("Container " + container.name() + " has no process " + container.initPid() + "."));
  }

  private ContainerHandle handle(Copy copy) {
    return new ContainerHandle(
        copy.container, copy.pid, copy.pid, Path.of("/sys/fs/cgroup", host.name(), copy.container),
            Path.of("/state", host.name(), copy.container));
  }

  @Override
  public HostFacts hostFacts() {
    return FACTS;
  }

  @Override
  public ContainerHandle create(ContainerSpec spec) {
    return act(
        "create",
        () -> {
          var copy = new Copy(spec.name(), truth.nextPid(), State.RUNNING, "memory of " + spec.name());
          host.copies.add(copy);
          truth.born(spec.name());
          return handle(copy);
        });
  }

  @Override
  public boolean isAlive(ContainerHandle container) {
    return act("isAlive", () -> find(container).filter(copy -> copy.state != State.DEAD).isPresent());
  }

  @Override
  public Footprint inspect(ContainerHandle container) {
    return act(
        "inspect",
        () -> {
          living(container);
          return new Footprint(1, 1, 3, PAGE_BYTES, List.of(), List.of(), FACTS, List.of());
        });
  }

  @Override
  public void destroy(ContainerHandle container) {
    act(
        "destroy",
        () -> {
          var copy = find(container);
          copy.ifPresent(
              found -> {
                if (found.state == State.RUNNING) {
                  truth.stopped(container.name()); // only a running container is stopped by its user
                }
                found.state = State.DEAD;
              });
          return true;
        });
  }

  @Override
  public void freeze(ContainerHandle container) {
    act("freeze", () -> living(container).state = State.FROZEN);
  }

  @Override
  public void thaw(ContainerHandle container) {
    act("thaw", () -> living(container).state = State.RUNNING);
  }

  @Override
  public List<ProcessFacts> processes(ContainerHandle container) {
    return act(
        "processes",
        () -> find(container).filter(copy -> copy.state != State.DEAD)
            .map(copy -> new ProcessFacts(copy.pid, 1, "stand-in", 1, PAGE_BYTES, 0)).stream().toList());
  }

  @Override
  public List<Finding> preflight(String name, Footprint footprint) {
    return act("preflight", () -> List.copyOf(refusals));
  }

  @Override
  public Optional<Integer> exitStatus(ContainerHandle container) {
    return act("exitStatus", () -> find(container).map(copy -> copy.exitStatus).filter(status -> status >= 0));
  }

  @Override
  public Capture capture(ContainerHandle container, CaptureOptions options) {
    return act("capture", () -> new StandInCapture(living(container)));
  }

  @Override
  public Arrival receive(String name, Path directory) {
    return act(
        "receive",
        () -> {
          var copy = new Copy(name, truth.nextPid(), State.BUILDING, "");
          host.copies.add(copy);
          return new StandInArrival(copy);
        });
  }

  @Override
  public void removeLeftovers(String name, Path directory) {
    act(
        "removeLeftovers",
        () -> {
          host.copies.stream().filter(copy -> copy.container.equals(name)).forEach(copy -> copy.state = State.DEAD);
          return true;
        });
  }

  @Override
  public void close() {}

  private static String digest(String content) {
    return Integer.toHexString(content.hashCode());
  }

  private final class StandInCapture implements Capture {
    private final Copy copy;
    private boolean isOver;

    StandInCapture(Copy copy) {
      this.copy = copy;
    }

    private void check() {
      if (copy.state == State.DEAD) {
        throw new CheckpointException("Container " + copy.container + " has ended.");
      }
    }

    @Override
    public RoundReport round(PageSink sink) {
      act(
          "capture.round",
          () -> {
            check();
            return true;
          });
      var begin = sink.bytesSent();
      sink.pages(1, new long[] {0x10_000}, new int[] {1}, 1, this::read);
      sink.flush();
      return new RoundReport(1, 0, sink.bytesSent() - begin, 1_000_000, 0, 1);
    }

    private void read(long[] addresses, int[] pageCounts, int runCount, MemorySegment destination) {
      destination.fill((byte) 0);
      var bytes = copy.content.getBytes(StandardCharsets.UTF_8);
      MemorySegment.copy(MemorySegment.ofArray(bytes), 0, destination, 0, bytes.length);
    }

    @Override
    public FreezeReport freeze() {
      return act(
          "capture.freeze",
          () -> {
            check();
            copy.state = State.STOPPED;
            return new FreezeReport(100_000, 1);
          });
    }

    @Override
    public LastReport sendLast(PageSink sink) {
      act("capture.sendLast", () -> true);
      var begin = sink.bytesSent();
      sink.pages(1, new long[] {0x10_000}, new int[] {1}, 1, this::read);
      sink.message(STATE, digest(copy.content).getBytes(StandardCharsets.UTF_8));
      return new LastReport(1, 0, sink.bytesSent() - begin, 100_000, 100_000, digest(copy.content));
    }

    @Override
    public void hold() {
      act(
          "capture.hold",
          () -> {
            check();
            copy.state = State.FROZEN;
            return true;
          });
    }

    @Override
    public void resume() {
      act(
          "capture.resume",
          () -> {
            if (copy.state != State.DEAD) {
              copy.state = State.RUNNING;
            }
            isOver = true;
            return true;
          });
    }

    @Override
    public void destroyOriginal() {
      act(
          "capture.destroyOriginal",
          () -> {
            copy.state = State.DEAD;
            isOver = true;
            return true;
          });
    }

    @Override
    public void close() {
      truth.change(
          () -> {
            if (!isOver && copy.state == State.STOPPED) {
              copy.state = State.RUNNING;
            }
            isOver = true;
            return true;
          });
    }
  }

  private final class StandInArrival implements Arrival {
    private final Copy copy;
    private String digest = "";

    StandInArrival(Copy copy) {
      this.copy = copy;
    }

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
      faults.reach(host.name(), "arrival.pages");
      var text = new String(data.toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
      copy.content = text.substring(0, text.indexOf(0));
    }

    @Override
    public void zero(int space, long address, long pageCount) {}

    @Override
    public void message(int type, byte[] bytes) {
      digest = new String(bytes, StandardCharsets.UTF_8);
    }

    @Override
    public Report complete() {
      return act(
          "arrival.complete",
          () -> {
            if (copy.state != State.BUILDING || digest.isEmpty()) {
              throw new CheckpointException("The copy of " + copy.container + " is not complete.");
            }
            copy.state = State.FROZEN;
            return new Report(handle(copy), digest(copy.content), 100_000);
          });
    }

    @Override
    public void activate() {
      act("arrival.activate", () -> copy.state = State.RUNNING);
    }

    @Override
    public void discard() {
      act("arrival.discard", () -> copy.state = State.DEAD);
    }

    @Override
    public void close() {
      truth.change(
          () -> {
            if (copy.state == State.BUILDING) {
              copy.state = State.DEAD;
            }
            return true;
          });
    }
  }
}
