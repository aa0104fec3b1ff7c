package io.gantry.simulation.host;

import io.gantry.actors.BlockingCalls;
import io.gantry.actors.PageLinkException;
import io.gantry.simulation.time.VirtualTime;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;

/**
 * Calls that block, on virtual time: a call has its effects at one instant and returns later, when the time it takes has passed.
 * What a dead agent has called does not happen and never returns.
 */
public final class VirtualCalls implements BlockingCalls {
  private final VirtualTime time;
  private final Life life;
  private final long callNs;
  private final List<Call<?>> waiting = new ArrayList<>();

  /** @param callNs to get to a thread that may block */
  public VirtualCalls(VirtualTime time, Life life, long callNs) {
    this.time = time;
    this.life = life;
    this.callNs = callNs;
  }

  @Override
  public <T> CompletionStage<T> make(Callable<T> call) {
    var made = new Call<>(call);
    time.after(callNs, made::begin);
    return made.result;
  }

  /** Calls that depend on {@code cause} fail now. */
  public void breakOff(Object cause) {
    for (var call : List.copyOf(waiting)) {
      if (call.cause == cause) {
        call.breakOff();
      }
    }
  }

  private final class Call<T> implements Life.Underway {
    private final Callable<T> call;
    private final CompletableFuture<T> result = new CompletableFuture<>();
    private long spentNs;
    private Object cause;
    private VirtualTime.Due end;

    Call(Callable<T> call) {
      this.call = call;
    }

    void begin() {
      if (life.isDead()) {
        return;
      }
      life.begins(this);
      Runnable outcome;
      try {
        var value = call.call();
        outcome = () -> result.complete(value);
      } catch (Exception e) {
        outcome = () -> result.completeExceptionally(new CompletionException(e));
      } finally {
        life.returns();
      }
      var then = outcome;
      if (cause != null) {
        waiting.add(this);
      }
      end = time.after(spentNs, () -> returnWith(then));
    }

    private void returnWith(Runnable outcome) {
      waiting.remove(this);
      if (!life.isDead()) {
        outcome.run();
      }
    }

    void breakOff() {
      time.cancel(end);
      var broken = new CompletionException(new PageLinkException("The page stream was closed."));
      returnWith(() -> result.completeExceptionally(broken));
    }

    @Override
    public void takes(long ns) {
      spentNs += ns;
    }

    @Override
    public long spentNs() {
      return spentNs;
    }

    @Override
    public void dependsOn(Object on) {
      cause = on;
    }
  }
}
