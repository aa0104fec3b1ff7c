package io.gantry.checkpoint.linux;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Sizes as the kernel's headers have them on x86-64. */
class LayoutsTest {
  @Test
  void structuresHaveTheKernelsSizes() {
    assertThat(Ptrace.IOVEC.byteSize()).isEqualTo(16);
    assertThat(Ptrace.PEEKSIGINFO_ARGS.byteSize()).isEqualTo(16);
    assertThat(Ptrace.RSEQ_CONFIGURATION.byteSize()).isEqualTo(24);
    assertThat(Wait.SIGINFO_CHILD.byteSize()).isEqualTo(128);
    assertThat(Poll.POLLFD.byteSize()).isEqualTo(8);
    // CLONE_ARGS_SIZE_VER2
    assertThat(Clone3.ARGUMENTS.byteSize()).isEqualTo(88);
  }
}
