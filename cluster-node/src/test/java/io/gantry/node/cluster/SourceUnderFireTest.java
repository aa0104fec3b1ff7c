package io.gantry.node.cluster;

import java.util.List;
import java.util.stream.Stream;

/** Faults on the source's side, and the end of the container itself. */
class SourceUnderFireTest extends UnderFire {
  static Stream<FireCase> cases() {
    var container =
        List.of("PreCopying", "Freezing", "AwaitingReady").stream()
            .map(phase -> new FireCase(phase, 0, FireCase.Fault.KILL_CONTAINER, FireCase.Side.SOURCE));
    return Stream.concat(cases(FireCase.Side.SOURCE).stream(), container);
  }
}
