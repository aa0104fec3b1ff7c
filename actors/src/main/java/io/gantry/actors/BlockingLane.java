package io.gantry.actors;

import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;

/**
 * Blocking calls one after the other, in the order in which they were asked for, away from the actors' threads. A capture or an
 * arrival is used through one lane, so that never two threads are in it. {@link #submit} is called by one actor.
 */
public final class BlockingLane {
  private final BlockingCalls calls;
  private CompletionStage<?> last = CompletableFuture.completedFuture(null);

  public BlockingLane(BlockingCalls calls) {
    this.calls = calls;
  }

  /** Makes the call when all before it have ended, however they did. */
  public <T> CompletionStage<T> submit(Callable<T> call) {
    CompletionStage<T> result = last.handle((_, _) -> true).thenCompose(_ -> calls.make(call));
    last = result;
    return result;
  }

  /** The sentence of what a call threw. */
  public static String sentence(Throwable failure) {
    var cause = failure;
    while (cause instanceof CompletionException && cause.getCause() != null) {
      cause = cause.getCause();
    }
    var message = cause.getMessage();
    return message == null || message.isBlank() ? cause.getClass().getSimpleName() + "." : message;
  }

  /** What a call threw, out of its wrapping. */
  public static Throwable cause(Throwable failure) {
    return failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
  }
}
