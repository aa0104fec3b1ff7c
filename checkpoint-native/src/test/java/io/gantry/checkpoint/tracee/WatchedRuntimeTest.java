package io.gantry.checkpoint.tracee;

import static org.assertj.core.api.Assertions.assertThat;

import io.gantry.checkpoint.linux.SyscallNumber;
import org.junit.jupiter.api.Test;

class WatchedRuntimeTest {
  private static boolean leftOut(long... call) {
    var whole = new long[7];
    System.arraycopy(call, 0, whole, 0, call.length);
    return WatchedRuntime.givesUpRights(whole);
  }

  @Test
  void onlyCallsThatGiveUpRightsAreLeftOut() {
    assertThat(leftOut(SyscallNumber.CAPSET)).isTrue();
    assertThat(leftOut(SyscallNumber.PRCTL, 24, 21)).as("PR_CAPBSET_DROP").isTrue();
    assertThat(leftOut(SyscallNumber.PRCTL, 38, 1)).as("PR_SET_NO_NEW_PRIVS").isTrue();
    assertThat(leftOut(SyscallNumber.PRCTL, 15)).as("PR_SET_NAME").isFalse();
    assertThat(leftOut(SyscallNumber.PRCTL, 23, 21)).as("PR_CAPBSET_READ").isFalse();
    assertThat(leftOut(SyscallNumber.SETRESUID, 1000, 1000, 1000)).isTrue();
    assertThat(leftOut(SyscallNumber.SETUID, 0)).as("becoming root").isFalse();
    assertThat(leftOut(SyscallNumber.SECCOMP, 1, 0, 0x1000)).as("a filter").isTrue();
    assertThat(leftOut(SyscallNumber.SECCOMP, 1, 1, 0)).as("asking whether there are filters").isFalse();
    assertThat(leftOut(SyscallNumber.MOUNT, 1, 1, 1)).isFalse();
  }
}
