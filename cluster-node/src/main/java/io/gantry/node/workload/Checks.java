package io.gantry.node.workload;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

/** Counts what was checked and what was wrong. Thread-safe. */
final class Checks {
  private final AtomicLong made = new AtomicLong();
  private final AtomicLong failed = new AtomicLong();
  private final AtomicReference<String> first = new AtomicReference<>("");

  /** Counts a check; the sentence is only asked for when it failed. */
  void check(boolean holds, java.util.function.Supplier<String> sentence) {
    made.incrementAndGet();
    if (!holds) {
      fail(sentence.get());
    }
  }

  /** Counts checks that held. */
  void passed(long count) {
    made.addAndGet(count);
  }

  void fail(String sentence) {
    failed.incrementAndGet();
    if (first.compareAndSet("", sentence)) {
      System.err.println(sentence);
    }
  }

  long made() {
    return made.get();
  }

  long failed() {
    return failed.get();
  }

  /** The first thing that was wrong, or empty. */
  String first() {
    return first.get();
  }
}
