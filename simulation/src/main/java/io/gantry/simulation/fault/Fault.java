package io.gantry.simulation.fault;

/**
 * One thing that goes wrong in a run.
 *
 * @param kind what
 * @param phase it strikes when a move of the run is in this phase
 * @param entry at which entry into that phase, counted from 1 over the whole run
 * @param delayNs how long after the entry
 * @param effects for crashes: after how many further effects of that host, counting each twice, before and after; 0: at once
 * @param lastsNs how long it lasts, or how long a crashed host is away, or how far a clock jumps
 * @param choice for what else is to be chosen, such as the share of lost messages; any number
 */
public record Fault(FaultKind kind, MovePhase phase, int entry, long delayNs, int effects, long lastsNs, long choice) {
  @Override
  public String toString() {
    var text = new StringBuilder(kind.title()).append(" at entry ").append(entry).append(" into ").append(phase);
    if (delayNs > 0) {
      text.append(" + ").append(delayNs / 1000).append(" µs");
    }
    if (effects > 0) {
      text.append(", ").append(effects).append(effects == 1 ? " effect" : " effects").append(" later");
    }
    return text.append(" for ").append(lastsNs / 1_000_000).append(" ms").toString();
  }
}
