package io.gantry.checkpoint;

import java.util.List;
import java.util.stream.Collectors;

/** The container holds something Gantry cannot carry; it was not touched. Carries every reason, not only the first. */
public final class RefusedException extends CheckpointException {
  private static final long serialVersionUID = 1L;

  private final transient List<Finding> findings;

  public RefusedException(List<Finding> findings) {
    super(findings.stream().map(Finding::toString).collect(Collectors.joining("; ")));
    this.findings = List.copyOf(findings);
  }

  public List<Finding> findings() {
    return findings;
  }
}
