package io.gantry.node.cluster;

import java.util.stream.Stream;

/** Faults on the destination's side, and on a node that has nothing to do with the move. */
class DestinationUnderFireTest extends UnderFire {
  static Stream<FireCase> cases() {
    return Stream.concat(
        cases(FireCase.Side.DESTINATION).stream(),
        Stream.of(
            new FireCase("PreCopying", 0, FireCase.Fault.CUT, FireCase.Side.BYSTANDER),
            new FireCase("SendingLast", 0, FireCase.Fault.KILL, FireCase.Side.BYSTANDER),
            new FireCase("AwaitingReady", 0, FireCase.Fault.STOP, FireCase.Side.BYSTANDER)));
  }
}
