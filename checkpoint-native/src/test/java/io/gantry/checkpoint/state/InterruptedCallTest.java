package io.gantry.checkpoint.state;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.tracee.TimedWaits;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class InterruptedCallTest {
  private static final long REQUEST = 0x1000;
  private static final long REMAINDER = 0x2000;
  private static final byte[] MOV_NANOSLEEP = {(byte) 0xb8, 35, 0, 0, 0, 0x0f, 0x05};

  /** At the first address stands ten seconds, at the second four. */
  private static final InterruptedCall.TimespecReader MEMORY =
      address -> address == REQUEST ? 10_000_000_000L : address == REMAINDER ? 4_000_000_000L : fail(address);

  private static long fail(long address) {
    throw new AssertionError("nobody needs 0x" + Long.toHexString(address));
  }

  private static long[] inside(long number, long result, long... arguments) {
    long[] registers = new long[27];
    registers[RegisterSet.ORIG_AX] = number;
    registers[RegisterSet.AX] = result;
    registers[RegisterSet.IP] = 0x400010;
    int[] places = {RegisterSet.DI, RegisterSet.SI, RegisterSet.DX, RegisterSet.R10};
    for (int i = 0; i < arguments.length; i++) {
      registers[places[i]] = arguments[i];
    }
    return registers;
  }

  private static InterruptedCall.Continuation of(long[] registers, OptionalLong waited) {
    return InterruptedCall.of(registers, new byte[0], Optional.empty(), 0, waited, false, MEMORY);
  }

  @Test
  void threadOutsideAnyCallIsLeftAlone() {
    long[] registers = inside(-1, -516);
    assertThat(of(registers, OptionalLong.empty()).registers()).isEqualTo(registers);
    assertThat(of(registers, OptionalLong.empty()).call()).isEmpty();
  }

  @Test
  void callsThatTheKernelRestartsAreLeftToIt() {
    for (long result : new long[] {-512, -513, -514}) {
      long[] registers = inside(0, result);
      assertThat(of(registers, OptionalLong.empty()).registers()).isEqualTo(registers);
    }
  }

  @Test
  void remainderThatTheKernelWroteIsTheTimeLeft() {
    var call = of(inside(35, -516, REQUEST, REMAINDER), OptionalLong.of(1)).call().orElseThrow();
    assertThat(call.getNumber()).isEqualTo(35);
    assertThat(call.getNanosecondsLeft()).isEqualTo(4_000_000_000L);
  }

  @Test
  void clockTellsTheTimeLeftWhereThereIsNoRemainder() {
    assertThat(of(inside(35, -516, REQUEST, 0), OptionalLong.of(3_000_000_000L)).call().orElseThrow().getNanosecondsLeft())
        .isEqualTo(7_000_000_000L);
    assertThat(of(inside(230, -516, 1, 0, REQUEST, 0), OptionalLong.of(3_000_000_000L)).call().orElseThrow().getNanosecondsLeft())
        .isEqualTo(7_000_000_000L);
    assertThat(of(inside(7, -516, 0, 0, 5_000), OptionalLong.of(1_000_000_000L)).call().orElseThrow().getNanosecondsLeft())
        .isEqualTo(4_000_000_000L);
    assertThat(of(inside(202, -516, 0x5000, 128, 1, REQUEST), OptionalLong.of(9_000_000_000L)).call().orElseThrow().getNanosecondsLeft())
        .isEqualTo(1_000_000_000L);
  }

  @Test
  void waitOfUnknownBeginningGetsItsWholeTime() {
    assertThat(of(inside(7, -516, 0, 0, 5_000), OptionalLong.empty()).call().orElseThrow().getNanosecondsLeft())
        .isEqualTo(5_000_000_000L);
  }

  @Test
  void waitThatIsOverDueEndsAtOnce() {
    assertThat(of(inside(7, -516, 0, 0, 5), OptionalLong.of(1_000_000_000L)).call().orElseThrow().getNanosecondsLeft()).isEqualTo(1);
  }

  @Test
  void absoluteAndEndlessWaitsAreIssuedAgain() {
    long[][] calls = {inside(230, -516, 1, 1, REQUEST, 0), inside(7, -516, 0, 0, 0xffff_ffffL), inside(202, -516, 0x5000, 9 | 128, 1, REQUEST)};
    for (long[] registers : calls) {
      var continuation = of(registers, OptionalLong.of(5));
      assertThat(continuation.call()).isEmpty();
      assertThat(continuation.registers()[RegisterSet.AX]).isEqualTo(registers[RegisterSet.ORIG_AX]);
      assertThat(continuation.registers()[RegisterSet.IP]).isEqualTo(0x40000e);
      assertThat(continuation.registers()[RegisterSet.ORIG_AX]).isEqualTo(-1);
    }
  }

  @Test
  void callThatWasContinuedBeforeIsFoundByItsInstruction() {
    var found = InterruptedCall.of(inside(219, -516, REQUEST, REMAINDER), MOV_NANOSLEEP, Optional.empty(), 0, OptionalLong.empty(), false, MEMORY);
    assertThat(found.call().orElseThrow().getNumber()).isEqualTo(35);
    var unknown = InterruptedCall.of(inside(219, -516, REQUEST, REMAINDER), new byte[7], Optional.empty(), 0, OptionalLong.empty(), false, MEMORY);
    assertThat(unknown.call()).isEmpty();
    assertThat(unknown.registers()[RegisterSet.AX]).isEqualTo(-4);
  }

  @Test
  void waitThatAnEarlierStopInterruptedIsRemembered() {
    long[] registers = inside(219, -516, 0, 0, 5_000);
    var known = Optional.of(new TimedWaits.TimedWait(7, 3_000, 0x400010, 0));
    var call = InterruptedCall.of(registers, new byte[0], known, 1_000, OptionalLong.empty(), false, MEMORY).call().orElseThrow();
    assertThat(call.getNumber()).isEqualTo(7);
    assertThat(call.getNanosecondsLeft()).isEqualTo(2_000);
  }

  @Test
  void epollThatOurStopEndedIsIssuedAgainWithTheTimeLeft() {
    var continuation = of(inside(232, -4, 3, 0x1000, 8, 5_000), OptionalLong.of(2_000_000_000L));
    assertThat(continuation.registers()[RegisterSet.AX]).isEqualTo(232);
    assertThat(continuation.registers()[RegisterSet.R10]).isEqualTo(3_000);
  }

  @Test
  void callThatASignalEndedKeepsItsAnswer() {
    long[] registers = inside(232, -4, 3, 0x1000, 8, 5_000);
    assertThat(InterruptedCall.of(registers, new byte[0], Optional.empty(), 0, OptionalLong.empty(), true, MEMORY).registers()).isEqualTo(registers);
  }
}
