package io.gantry.simulation.run;

import io.gantry.simulation.fault.Coverage;
import io.gantry.simulation.time.VirtualActorSystem;
import java.util.ArrayList;
import java.util.List;

/** Many seeds, one after the other, on one thread and in one actor system. */
public final class Exploration {
  /** After so many failures there is nothing more to be learned. */
  private static final int FAILURES_MAX = 10;

  /** Learns how far it is. */
  @FunctionalInterface
  public interface Progress {
    Progress SILENT = (_, _, _, _) -> {};

    /** @param done seeds; @param migrations begun in them; @param failures seeds that broke something; @param coverage so far */
    void at(long done, long migrations, int failures, Coverage coverage);
  }

  /**
   * What came of it.
   *
   * @param seeds how many were run
   * @param migrations moves that were begun
   * @param completed moves that were completed
   * @param rolledBack moves that were undone or refused
   * @param failures runs that broke an invariant, at most ten
   * @param coverage which fault has struck in which phase
   * @param steps things that happened on the virtual queue
   * @param seconds of real time
   */
  public record Summary(
      long seeds, long migrations, long completed, long rolledBack, List<RunResult> failures, Coverage coverage, long steps,
      double seconds) {
    public Summary {
      failures = List.copyOf(failures);
    }

    public double migrationsPerSecond() {
      return seconds == 0 ? 0 : migrations / seconds;
    }
  }

  private Exploration() {}

  /**
   * Runs {@code count} seeds from {@code first} on; ends early after ten failures.
   *
   * @param progress is told after every seed
   */
  public static Summary run(RunSettings settings, long first, long count, Progress progress) {
    var coverage = new Coverage(settings.faults());
    var failures = new ArrayList<RunResult>();
    long migrations = 0;
    long completed = 0;
    long rolledBack = 0;
    long steps = 0;
    long done = 0;
    var beginNs = System.nanoTime();
    try (var actors = new VirtualActorSystem()) {
      for (var seed = first; seed - first < count && failures.size() < FAILURES_MAX; seed++) {
        var result = SeedRun.run(actors, settings, seed, SeedRun.plan(settings, seed), coverage, false);
        done++;
        migrations += result.migrations();
        completed += result.completed();
        rolledBack += result.rolledBack();
        steps += result.steps();
        if (!result.isSound()) {
          failures.add(result);
        }
        progress.at(done, migrations, failures.size(), coverage);
      }
    }
    return new Summary(
        done, migrations, completed, rolledBack, failures, coverage, steps, (System.nanoTime() - beginNs) / 1e9);
  }

  /** Runs one seed again, in words. */
  public static RunResult replay(RunSettings settings, long seed) {
    try (var actors = new VirtualActorSystem()) {
      return SeedRun.run(actors, settings, seed, SeedRun.plan(settings, seed), new Coverage(settings.faults()), true);
    }
  }
}
