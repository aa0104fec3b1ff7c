package io.gantry.checkpoint;

import java.util.Set;

/**
 * How strictly a destination compares a source with itself.
 *
 * @param cpu whether it must have what the source's processors have, or the very same
 * @param refuse names of traits (see {@link HostTrait}) whose difference forbids a move; all others only cause a warning
 * @param ignore names of traits that are not compared
 */
public record HostPolicy(Cpu cpu, Set<String> refuse, Set<String> ignore) {
  /** Features may be added, and every other difference is only told. */
  public static final HostPolicy DEFAULT = new HostPolicy(Cpu.SUPERSET, Set.of(), Set.of());

  /** What processors a container may go to. */
  public enum Cpu {
    /** Those that have every feature of the source's. */
    SUPERSET,
    /** Those of the same vendor, family, model and stepping with the same features, so that nothing differs that CPUID tells. */
    EXACT
  }

  public HostPolicy {
    refuse = Set.copyOf(refuse);
    ignore = Set.copyOf(ignore);
  }
}
