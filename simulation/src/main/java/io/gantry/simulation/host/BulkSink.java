package io.gantry.simulation.host;

/** A sink that can be told of pages that are not really there, so that they take their time. */
public interface BulkSink {
  /** So many more pages with content are sent here; the call under way takes as long as they need. */
  void carry(long pages);
}
