package io.gantry.actors;

import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;

/** Where calls that block are made, away from the actors' threads. A simulation lets them take virtual time. */
@FunctionalInterface
public interface BlockingCalls {
  /** Makes a call once; the stage completes when it has ended, with a {@link CompletionException} when it threw. Any thread. */
  <T> CompletionStage<T> make(Callable<T> call);

  /** On the threads of {@code executor}. */
  static BlockingCalls on(Executor executor) {
    return new BlockingCalls() {
      @Override
      public <T> CompletionStage<T> make(Callable<T> call) {
        return CompletableFuture.supplyAsync(() -> result(call), executor);
      }
    };
  }

  /** At once, on the thread that asks; for an actor that has a thread of its own. */
  static BlockingCalls here() {
    return new BlockingCalls() {
      @Override
      public <T> CompletionStage<T> make(Callable<T> call) {
        try {
          return CompletableFuture.completedFuture(result(call));
        } catch (CompletionException e) {
          return CompletableFuture.failedFuture(e);
        }
      }
    };
  }

  private static <T> T result(Callable<T> call) {
    try {
      return call.call();
    } catch (Exception e) {
      throw new CompletionException(e);
    }
  }
}
