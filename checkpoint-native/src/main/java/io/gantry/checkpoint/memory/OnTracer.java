package io.gantry.checkpoint.memory;

/** Runs work on the tracer thread. */
@FunctionalInterface
public interface OnTracer {
  /** Returns when the work is done; what it throws comes through. Calls from the tracer thread itself run at once. */
  void run(Runnable work);
}
